"""Accepting events into a spool file: numbers, repeats, room, and one transaction for a group."""

import sqlite3
from collections.abc import Mapping, Sequence

from attrs import define, field

from walker_collector.errors import SpoolFull
from walker_collector.offsets import Position
from walker_collector.spool.base import (
    EntryRun,
    NewEvent,
    OnCommitted,
    PeopleUpdate,
    State,
    assign_seqs,
)
from walker_collector.spool.processes.page import BYTES, ERASURES, EVENTS
from walker_collector.spool.repeats import marks_of, note_repeats, without_repeats
from walker_collector.spool.room import lack_of_room
from walker_collector.spool.sqlite import (
    event_tables,
    people_tables,
    position_tables,
    recent_tables,
    shard_tables,
)
from walker_collector.spool.sqlite.event_numbers import EventNumbers
from walker_collector.spool.sqlite.file_core import FileCore
from walker_collector.spool.sqlite.group_commit import Tally


class EventAppends:
    """Implements `EventStore.append`."""

    core: FileCore
    numbers: EventNumbers

    def append(
        self,
        events: Sequence[NewEvent],
        on_committed: OnCommitted,
        learned: PeopleUpdate | None = None,
        positions: Sequence[Position] = (),
    ) -> Sequence[int]:
        core = self.core
        size = _size_of(events)
        self._check_room(len(events), size)
        for states in _different(events):
            core.catalog.ensure(frozenset(states))
        appended = _Append(core, self.numbers, events, size, on_committed, learned, positions)
        seqs: range = core.commits.run(
            appended.write, appended.hand_over, appended.tally, single=appended.is_single
        )
        return seqs

    def _check_room(self, count: int, added: int) -> None:
        words, config = self.core.words, self.core.config
        if lack := lack_of_room(words[EVENTS], words[BYTES], count, added, config):
            raise SpoolFull(f"spool {self.core.path} {lack}")

    @property
    def is_full(self) -> bool:
        words, config = self.core.words, self.core.config
        return words[EVENTS] >= config.max_events or words[BYTES] >= config.max_bytes

    def size(self) -> int:
        return self.core.page.events

    def usage(self) -> tuple[int, int]:
        return self.core.page.events, self.core.page.bytes


@define(eq=False)
class _Append:
    """The steps of one `append`, for `GroupCommit.run`, which may repeat each of them.

    `size` is the bytes of the events, repeated ones among them.
    """

    _core: FileCore
    _numbers: EventNumbers
    _events: Sequence[NewEvent]
    _size: int
    _on_committed: OnCommitted
    _learned: PeopleUpdate | None
    _positions: Sequence[Position]
    _marks: Sequence[bytes] = field(init=False)
    _new: Sequence[NewEvent] = field(init=False)
    """The events without repeated ones, once these are known."""
    _seqs: range = field(default=range(0), init=False)
    """The numbers of the new events, once they are written."""
    _runs: Sequence[EntryRun] = field(default=(), init=False)

    def __attrs_post_init__(self) -> None:
        events = self._new = self._events
        self._marks = marks_of(events) if len(events) > 1 or events[0].mark else ()

    @property
    def is_single(self) -> bool:
        """Whether writing the events takes one statement."""
        return (
            len(self._events) == 1
            and self._learned is None
            and not self._marks
            and not self._positions
            and not any(self._events[0].states.values())
        )

    def write(self, db: sqlite3.Connection) -> range:
        """Write the events that are new, and return their numbers."""
        if self._seqs and event_tables.has(db, self._seqs[0], self._new[0].body):
            # Committed already, by a thread that was interrupted before it noted so.
            return self._seqs
        core = self._core
        self._check_not_overtaken(db)
        seqs = self._numbers.take(len(self._events))
        self._new = self._keep_marks(db, seqs) if self._marks else self._events
        self._seqs = self._numbers.give_back(seqs, len(self._new))
        self._runs = assign_seqs(self._new, self._seqs.start)
        try:
            self._insert(db)
        except sqlite3.IntegrityError:
            # Somebody has deleted the lock files, and another process given these numbers.
            self._seqs = range(0)
            core.files.recount(db)
            raise
        if self._learned is not None:
            core.learn(db, self._learned)
        position_tables.advance(db, self._positions)
        return self._seqs

    def tally(self, seqs: range) -> Tally:
        """Return the number of events that were written, and their bytes."""
        return len(seqs), self._size if len(seqs) == len(self._events) else _size_of(self._new)

    def hand_over(self, _: object) -> None:
        """Hand over the entries that are committed."""
        if self._learned is not None:
            self._core.learned(self._learned)
        self._numbers.tell_of_foreign()
        self._on_committed(self._runs)

    def _check_not_overtaken(self, db: sqlite3.Connection) -> None:
        """Raise Overtaken if an erasure has begun since the person of an event was found."""
        erasures, uncounted = self._core.words[ERASURES], self._core.uncounted_erasures
        if len(self._events) > 1 or self._events[0].as_of != erasures + uncounted:
            people_tables.check_not_overtaken(db, self._events, erasures, uncounted)

    def _keep_marks(self, db: sqlite3.Connection, seqs: range) -> Sequence[NewEvent]:
        """Remember the marks of the events, in their order with these numbers.

        Returns the events to store: all but the repeated ones.
        """
        events, catalog, recent = self._events, self._core.catalog.current, self._core.recent
        if recent_tables.insert_new(db, catalog, events, seqs, recent):
            return events
        known = recent_tables.numbers_of(db, self._marks, events[0].at, recent)
        new = without_repeats(events, known)
        stored = recent_tables.insert_events(db, catalog, new, seqs[: len(new)], recent)
        note_repeats(events, stored, known)
        return new

    def _insert(self, db: sqlite3.Connection) -> None:
        core = self._core
        shard = shard_tables.shard_in(db, core.shards) if core.shards > 1 else None
        for entries, states in self._runs:
            event_tables.insert(db, core.catalog.current, entries, states, shard)


def _size_of(events: Sequence[NewEvent]) -> int:
    if len(events) == 1:
        return len(events[0].body)
    return sum([len(event.body) for event in events])


def _different(events: Sequence[NewEvent]) -> list[Mapping[str, State]]:
    """Return the first states of these events, once where they are shared."""
    if len(events) == 1:
        return [events[0].states]
    return list({id(event.states): event.states for event in events}.values())
