"""The erasure of people: their entries leave memory, and nothing of them in flight goes on."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from walker_collector.delivery.holds import Holds
from walker_collector.delivery.outcome import Disposition
from walker_collector.delivery.pending_state import PendingState
from walker_collector.spool import FRESH, Change, Entry, Forgotten, State


class Erasures:
    """Removes people's entries, waits for those in flight, and follows the spool."""

    def __init__(self, state: PendingState, holds: Holds) -> None:
        self._state = state
        self._holds = holds
        self._revoked: set[int] = set()
        """Entries in flight whose person was erased: nothing of them is sent any more."""
        self._settling: set[int] = set()
        """Entries in flight whose disposition is decided, but not followed yet."""
        self.erased: set[int] = set()
        """Entries that were in flight when their person was erased, and were not delivered."""

    @contextmanager
    def erasing(self, people: set[str]) -> Iterator[None]:
        """Let nothing of these people be read or taken meanwhile."""
        with self._state.refill_paused():
            with self._state.lock:
                self._state.queue.block(people)
            try:
                yield
            finally:
                with self._state.lock:
                    self._state.queue.unblock(people)

    def erase(self, people: set[str], wait: Callable[[float], object], deadline: float) -> set[int]:
        """Remove these people's events from memory; the spool removes them on disk.

        `wait`s, until the monotonic `deadline` (s), for their entries in flight.
        """

        def in_flight() -> set[int]:
            return {seq for seq, entry in self._state.in_flight.items() if entry[1] in people}

        self._holds.follow_joins()
        self.erased.clear()
        revoked = in_flight() - self._settling
        self._revoked |= revoked
        gone = self._remove(people)
        while in_flight() and time.monotonic() < deadline:
            wait(deadline - time.monotonic())
        self._revoked |= in_flight()
        return gone | self._remove(people) | (self.erased & revoked)

    def _remove(self, people: set[str]) -> set[int]:
        removed = self._state.queue.remove(lambda entry: entry[1] in people)
        if not self._state.spool.durable:  # else the spool counts what it removes
            self._state.waiting -= len(removed)
        held = self._state.held.of(people)
        for entry in held:
            self._state.held.remove(entry)
        for entry in [*removed, *held]:
            self._state.attempts.pop(entry[0], None)
        return {entry[0] for entry in [*removed, *held]}

    def on_erased(self, people: set[str], removed: Forgotten) -> set[int]:
        """Follow the spool, which has removed these people's events.

        Returns the numbers of those that were in memory alone.
        """
        gone = self._remove(people)  # pushed or replayed meanwhile
        waiting = removed.counts.get((self._state.destination.id, State.WAITING), 0)
        # Entries in flight are counted when their outcome comes.
        self._state.waiting -= waiting - sum(seq in removed.seqs for seq in self._state.in_flight)
        self._state.dead -= removed.counts.get((self._state.destination.id, State.DEAD), 0)
        return gone

    def may_proceed(self, entry: Entry) -> bool:
        """Tell whether an entry in flight may still be sent, or its person is being erased."""
        return entry[0] not in self._revoked and not self._state.queue.is_blocked(
            self._state.queue.person(entry)
        )

    def decide(self, entries: list[Entry], dispositions: list[Disposition]) -> list[Disposition]:
        """Return the dispositions to write: entries erased while in flight are done, however their
        delivery went. An erasure that begins now waits until the others are followed.
        """
        self._settling.update(entry[0] for entry in entries)
        if not self._revoked:
            return dispositions
        return [
            Disposition(Change(entry, None), FRESH) if entry[0] in self._revoked else item
            for entry, item in zip(entries, dispositions, strict=True)
        ]

    def settled(self, entry: Entry, *, delivered: bool) -> bool:
        """Note that an entry's disposition is followed; return whether it was erased meanwhile."""
        self._settling.discard(entry[0])
        if entry[0] not in self._revoked:
            return False
        self._revoked.discard(entry[0])
        if not delivered:
            self.erased.add(entry[0])
        return True

    def all_delivered(self, entries: list[Entry]) -> None:
        """Do as `settled` for a batch that was delivered."""
        if self._revoked:
            self._revoked.difference_update(entry[0] for entry in entries)
