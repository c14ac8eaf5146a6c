"""The ids that came with events lately, and how far inputs are read, in a spool file."""

from collections.abc import Collection, Sequence

from walker_collector.offsets import Position
from walker_collector.spool.repeats import RecentEvent, Unstored, UnstoredEvents, possible_marks
from walker_collector.spool.sqlite import position_tables, recent_tables
from walker_collector.spool.sqlite.file_core import FileCore


class AcceptedIds:
    """Implements the parts of a spool that are about ids that came lately, and positions."""

    core: FileCore
    _unstored: UnstoredEvents

    def came_before(self, marks: Collection[bytes], now: int) -> set[bytes]:
        rows = self.core.rows(*recent_tables.find(marks, now, self.core.recent))
        return {mark for mark, _ in rows}

    def keep_mark(self, mark: bytes, now: int) -> None:
        row = (mark, now, 0, 0, None)
        self.core.commits.run(lambda db: recent_tables.insert(db, [row], self.core.recent))

    def keep_unstored(self, events: Sequence[Unstored]) -> None:
        self._unstored.keep(events)

    def write_unstored(self) -> None:
        self._unstored.write()

    def _insert_unstored(self, events: Sequence[Unstored]) -> None:
        recent = self.core.recent
        self.core.commits.run(lambda db: recent_tables.insert_unstored(db, events, recent))

    def recent_event(self, id_: str, now: int) -> RecentEvent | None:
        recent = self.core.recent
        args = (*possible_marks(id_), now - recent, now + recent)
        return recent_tables.recent_event(self.core.rows(recent_tables.EVENT, args))

    def keep_positions(self, positions: Sequence[Position]) -> None:
        self.core.commits.run(lambda db: position_tables.advance(db, positions))

    def take_over_position(self, before: Position | None, position: Position) -> None:
        self.core.commits.run(lambda db: position_tables.take_over(db, before, position))

    def position_of(self, input: str) -> Position | None:
        return position_tables.position_of(self.core.rows(position_tables.POSITION, (input,)))
