"""The ids that came lately, and positions in inputs."""

from collections.abc import Collection, Sequence

from walker_collector.offsets import Position
from walker_collector.spool.postgres import mark_rows, position_rows
from walker_collector.spool.postgres.spool_core import SpoolCore
from walker_collector.spool.postgres.transactions import Transaction
from walker_collector.spool.repeats import RecentEvent, Unstored, UnstoredEvents, possible_marks


class StoredTraces:
    """Implements the parts of a spool that are about ids that came lately, and positions."""

    core: SpoolCore
    _unstored: UnstoredEvents

    def came_before(self, marks: Collection[bytes], now: int) -> set[bytes]:
        recent = self.core.recent
        rows = self.core.rows("came_before", (list(marks), now - recent, now + recent))
        return {mark for (mark,) in rows}

    def keep_mark(self, mark: bytes, now: int) -> None:
        def work(tx: Transaction) -> None:
            tx.add_marks([(mark, now, 0, (), None)])
            mark_rows.forget_some(tx, mark, now, 1, self.core.recent)

        self.core.writes.run(work)

    def keep_unstored(self, events: Sequence[Unstored]) -> None:
        self._unstored.keep(events)

    def write_unstored(self) -> None:
        self._unstored.write()

    def _insert_unstored(self, events: Sequence[Unstored]) -> None:
        recent = self.core.recent
        self.core.writes.run(lambda tx: mark_rows.keep_unstored(tx, events, recent))

    def recent_event(self, id_: str, now: int) -> RecentEvent | None:
        recent = self.core.recent
        values = (list(possible_marks(id_)), now - recent, now + recent)
        return mark_rows.recent_event(self.core.rows("recent_event", values))

    def position_of(self, input: str) -> Position | None:
        return position_rows.position_of(self.core.rows("position", (input,)))

    def take_over_position(self, before: Position | None, position: Position) -> None:
        self.core.writes.run(lambda tx: position_rows.take_over(tx, before, position))

    def keep_positions(self, positions: Sequence[Position]) -> None:
        self.core.writes.run(lambda tx: position_rows.advance(tx, positions))
