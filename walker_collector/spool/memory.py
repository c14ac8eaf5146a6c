"""The spool of a process that keeps nothing on disk."""

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Final, Literal

from walker_collector.errors import SpoolError
from walker_collector.interrupts import run_to_the_end
from walker_collector.offsets import Position
from walker_collector.spool.base import (
    LAST_SEQ,
    RECENT,
    DeadLetter,
    EntryRun,
    Erased,
    NewEvent,
    OnCommitted,
    PeopleUpdate,
    SpoolUpdate,
    State,
    StoredEntry,
    UpdateKind,
    assign_seqs,
    check_not_overtaken,
)
from walker_collector.spool.letters import dead_letter, requeued
from walker_collector.spool.repeats import (
    Unstored,
    marks_of,
    note_repeats,
    without_repeats,
)

RECENT_MAX: Final = 100_000
"""Ids that are remembered at most; the oldest ones are forgotten."""


class MemorySpool:
    """Numbers events, keeps dead letters, and remembers the ids of events for `recent` ms.

    Waiting and held entries live in the queues, identities and consents in their own memory.
    """

    durable: Literal[False] = False
    shards: Literal[1] = 1

    def __init__(self, recent: int = RECENT) -> None:
        self._recent = _RecentIds(recent)
        self._lock = threading.Lock()
        self._seq = 0
        self._closed = False
        self.erasures = 0
        self._dead: dict[tuple[str, int], DeadLetter] = {}

    def append(
        self,
        events: Sequence[NewEvent],
        on_committed: OnCommitted,
        learned: PeopleUpdate | None = None,
        positions: Sequence[Position] = (),
    ) -> Sequence[int]:
        with self._lock:
            if self._closed:
                raise SpoolError("the collector is closed; the event was not accepted")
            check_not_overtaken(events, self.erasures)
            first, marks, new = self._seq + 1, marks_of(events), events
            if marks:
                new = self._without_repeats(events, marks, first)
            seqs, runs = range(first, first + len(new)), assign_seqs(new, first)
            self._seq += len(new)
            commit = partial(self._commit, new if marks else (), seqs, runs, on_committed)
            # Under the lock, so that queues see events in the order of their numbers.
            try:
                commit()
            except BaseException:  # a signal handler raised: no event is accepted by half
                run_to_the_end(commit)
                raise
        return seqs

    def _without_repeats(
        self, events: Sequence[NewEvent], marks: Sequence[bytes], first: int
    ) -> Sequence[NewEvent]:
        """Return the events to store, the first under this number; tell the others."""
        known = self._recent.numbers_of(marks, events[0].at)
        if not known and len({*marks}) == len(marks):
            return events
        new = without_repeats(events, known)
        note_repeats(events, {event.mark: seq for seq, event in enumerate(new, first)}, known)
        return new

    def _commit(
        self,
        marked: Sequence[NewEvent],
        seqs: range,
        runs: Sequence[EntryRun],
        on_committed: OnCommitted,
    ) -> None:
        if marked:
            self._recent.add_events(marked, seqs)
        on_committed(runs)

    def came_before(self, marks: Collection[bytes], now: int) -> set[bytes]:
        with self._lock:
            return {*self._recent.numbers_of(marks, now)}

    def keep_mark(self, mark: bytes, now: int) -> None:
        with self._lock:
            self._recent.add(mark, now, 0)

    def keep_unstored(self, events: Sequence[Unstored]) -> None:
        """Remember nothing: nobody else can ask this process."""

    def settle(self, destination: str, updates: Sequence[SpoolUpdate]) -> None:
        for update in updates:
            if update.kind is UpdateKind.DEAD:
                letter = dead_letter(destination, update)
                with self._lock:
                    self._dead[destination, letter.seq] = letter

    def counts(self, up_to: int = LAST_SEQ) -> dict[str, dict[State, int]]:
        dead = Counter(letter.destination for letter in self.dead() if letter.seq <= up_to)
        return {destination: {State.DEAD: count} for destination, count in dead.items()}

    def dead(self, destination: str | None = None, limit: int | None = None) -> list[DeadLetter]:
        with self._lock:
            letters = list(self._dead.values())
        return [letter for letter in letters if destination in (None, letter.destination)][:limit]

    def requeue(
        self, letters: Iterable[DeadLetter], without: Collection[str] = ()
    ) -> list[StoredEntry]:
        with self._lock:
            found = [self._dead.pop((item.destination, item.seq), None) for item in letters]
        return [requeued(letter, without) for letter in found if letter]

    def delete_dead(self, letters: Iterable[DeadLetter]) -> int:
        return len(self.requeue(letters))

    def erase(self, keys: Iterable[str]) -> Erased:
        erased = set(keys)
        self.erasures += 1
        with self._lock:
            places = [at for at, letter in self._dead.items() if letter.person in erased]
            for at in places:
                del self._dead[at]
        counts = Counter((destination, State.DEAD) for destination, _ in places)
        return Erased({seq for _, seq in places}, counts)

    @property
    def is_full(self) -> bool:
        return False  # the queues of the destinations are bounded

    def size(self) -> int:
        return len(self._dead)

    def close(self) -> None:
        with self._lock:
            self._closed = True


class _RecentIds:
    """The numbers of events by the marks of their ids, the oldest first."""

    def __init__(self, period: int) -> None:
        self._period = period
        self._found: dict[bytes, tuple[int, int]] = {}

    def numbers_of(self, marks: Iterable[bytes], now: int) -> dict[bytes, int]:
        """Return the numbers of those that came in the last period."""
        found = {mark: self._found[mark] for mark in marks if mark in self._found}
        since = now - self._period
        return {mark: seq for mark, (seq, at) in found.items() if at >= since}

    def add_events(self, events: Iterable[NewEvent], seqs: Iterable[int]) -> None:
        """Keep the numbers of new events that have a mark."""
        found = self._found
        for event, seq in zip(events, seqs, strict=True):
            if mark := event.mark:
                found.pop(mark, None)  # that of long ago: the new one is the last
                found[mark] = (seq, event.at)
        self._bound()

    def add(self, mark: bytes, at: int, seq: int) -> None:
        """Keep a mark with its time (ms) and number."""
        self._found.pop(mark, None)
        self._found[mark] = (seq, at)
        self._bound()

    def _bound(self) -> None:
        for _ in range(len(self._found) - RECENT_MAX):
            del self._found[next(iter(self._found))]
