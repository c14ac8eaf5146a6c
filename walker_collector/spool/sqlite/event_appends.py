"""Accepting events into a spool file: numbers, repeats, room, and one transaction for a group."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence

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
from walker_collector.spool.processes.page import BYTES, ERASURES, EVENTS, SEQ
from walker_collector.spool.repeats import marks_of, note_repeats, without_repeats
from walker_collector.spool.room import lack_of_room
from walker_collector.spool.sqlite import (
    event_tables,
    people_tables,
    position_tables,
    recent_tables,
    shard_tables,
)
from walker_collector.spool.sqlite.file_core import FileCore
from walker_collector.spool.sqlite.group_commit import Tally


class EventAppends:
    """Implements `EventStore.append`. `on_foreign`: see `DurableSpool.join`."""

    core: FileCore
    on_foreign: Callable[[], None]
    _expected: int
    """The next number, if no other process appends."""
    _foreign: bool

    def append(
        self,
        events: Sequence[NewEvent],
        on_committed: OnCommitted,
        learned: PeopleUpdate | None = None,
        positions: Sequence[Position] = (),
    ) -> Sequence[int]:
        core = self.core
        count, words = len(events), core.words
        size = len(events[0].body) if count == 1 else sum([len(event.body) for event in events])
        self._check_room(count, size)
        for states in _different(events):
            core.catalog.ensure(frozenset(states))
        marks = marks_of(events) if count > 1 or events[0].mark else []
        new, seqs = events, range(0)
        runs: list[EntryRun] = []

        def insert(db: sqlite3.Connection) -> range:
            nonlocal new, seqs
            if seqs and event_tables.has(db, seqs[0], new[0].body):
                # Committed already, by a thread that was interrupted before it noted so.
                return seqs
            uncounted = core.uncounted_erasures
            if count > 1 or events[0].as_of != words[ERASURES] + uncounted:
                people_tables.check_not_overtaken(db, events, words[ERASURES], uncounted)
            seqs = self._take_numbers(count)
            new = self._keep_marks(db, events, marks, seqs) if marks else events
            seqs = self._give_back(seqs, len(new))
            runs[:] = assign_seqs(new, seqs.start)
            try:
                self._insert(db, runs)
            except sqlite3.IntegrityError:
                # Somebody has deleted the lock files, and another process given these numbers.
                seqs = range(0)
                core.files.recount(db)
                raise
            if learned is not None:
                core.learn(db, learned)
            position_tables.advance(db, positions)
            return seqs

        def hand_over(_: object) -> None:
            if learned is not None:
                core.learned(learned)
            if self._foreign:
                self._foreign = False
                self.on_foreign()
            on_committed(runs)

        def tally(seqs: range) -> Tally:
            return len(seqs), size if len(seqs) == count else sum(len(event.body) for event in new)

        alone = learned is None and count == 1 and not marks and not positions
        result: range = core.commits.run(
            insert,
            hand_over,
            tally,
            single=alone and not any(events[0].states.values()),
        )
        return result

    def _keep_marks(
        self,
        db: sqlite3.Connection,
        events: Sequence[NewEvent],
        marks: Sequence[bytes],
        seqs: range,
    ) -> Sequence[NewEvent]:
        """Remember the marks of events, in their order with these numbers; return those to store.

        These are all but the repeated ones.
        """
        catalog, recent = self.core.catalog.current, self.core.recent
        if recent_tables.insert_new(db, catalog, events, seqs, recent):
            return events
        known = recent_tables.numbers_of(db, marks, events[0].at, recent)
        new = without_repeats(events, known)
        stored = recent_tables.insert_events(db, catalog, new, seqs[: len(new)], recent)
        note_repeats(events, stored, known)
        return new

    def _take_numbers(self, count: int) -> range:
        """Reserve numbers before events are written: none is ever given twice."""
        words = self.core.words
        first = words[SEQ] + 1
        words[SEQ] += count
        if first != self._expected:
            self._foreign = True
        self._expected = first + count
        return range(first, first + count)

    def _give_back(self, seqs: range, used: int) -> range:
        """Give back the last numbers just reserved, which nothing was written under."""
        left = len(seqs) - used
        self.core.words[SEQ] -= left
        self._expected -= left
        return seqs[:used]

    def _insert(self, db: sqlite3.Connection, runs: Iterable[EntryRun]) -> None:
        shards = self.core.shards
        shard = shard_tables.shard_in(db, shards) if shards > 1 else None
        for entries, states in runs:
            event_tables.insert(db, self.core.catalog.current, entries, states, shard)

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


def _different(events: Sequence[NewEvent]) -> list[Mapping[str, State]]:
    """Return the first states of these events, once where they are shared."""
    if len(events) == 1:
        return [events[0].states]
    return list({id(event.states): event.states for event in events}.values())
