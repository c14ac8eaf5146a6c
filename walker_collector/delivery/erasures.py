"""Erase people from one destination: remove their entries, and stop those in flight."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from walker_collector.delivery.holds import Holds
from walker_collector.delivery.keyed_queue import size_of
from walker_collector.delivery.outcome import Disposition
from walker_collector.delivery.pending_state import PendingState
from walker_collector.spool import FRESH, Entry, Erased, SpoolUpdate, State, UpdateKind
from walker_collector.spool.person_keys import ordering_key


class Erasures:
    """Removes people's entries from memory, and tracks their entries in flight to the end."""

    def __init__(self, state: PendingState, holds: Holds) -> None:
        self._state = state
        self._holds = holds
        self.blocked = state.queue.people.blocked
        """People under erasure."""
        self.overtaking = holds.overtaking
        self.revoked: set[int] = set()
        """Entries in flight of an erased person: none of their further parts is sent."""
        self._stopped: set[int] = set()
        """Entries that were in flight when the erasure under way began."""
        self._settling: set[int] = set()
        """Entries in flight with a disposition that is being written to the spool."""
        self.erased: set[int] = set()
        """Entries that were in flight when their person was erased, and were not delivered."""

    @contextmanager
    def erasing(self, people: set[str]) -> Iterator[None]:
        """Neither read nor take entries of these people inside the block."""
        state = self._state
        try:
            with state.refill_paused(), self._blocked(people):
                yield
        finally:
            state.wake()

    @contextmanager
    def _blocked(self, people: set[str]) -> Iterator[None]:
        with self._state.lock:
            self._state.queue.block(map(ordering_key, people))
            # At once: a call that ends before `erase` must not be taken for one to be repeated.
            self.erased.clear()
            self._stopped = self._undecided(people)
            self.revoked |= self._stopped
        try:
            yield
        except BaseException:
            if self._state.spool.durable:  # it has their events still, which are delivered then
                with self._state.lock:
                    self.revoked -= self._in_flight(people)
            raise
        finally:
            with self._state.lock:
                self._state.queue.unblock(map(ordering_key, people))

    def in_step(self) -> AbstractContextManager[None]:
        """Keep memory and spool the same inside the block."""
        return self._state.unacked.in_step()

    def erase(self, people: set[str], deadline: float) -> set[int]:
        """Remove these people's events from memory; return their numbers.

        The spool removes those on disk. Waits for their entries in flight, until the monotonic
        `deadline` (s).
        """
        state = self._state
        with state.lock:
            self._holds.follow_joins()
            revoked = self._stopped | self._undecided(people)
            self.revoked |= revoked
            gone = self._drop(people)
            while self._in_flight(people) and (left := deadline - time.monotonic()) > 0:
                state.changed.wait(left, lock=state.lock)
            self.revoked |= self._undecided(people)
            gone |= self._drop(people) | (self.erased & revoked)
            state.waiters.erased(gone)
            state.changed.notify_all()
        return gone

    def _undecided(self, people: set[str]) -> set[int]:
        # The disposition of an entry that is being settled stands. It is in the spool, and its
        # entry in its new place, before `in_step` lets the erasure go on, which removes both.
        return self._in_flight(people) - self._settling

    def in_flight(self, people: set[str]) -> int:
        """Return the number of entries in flight of these people."""
        with self._state.lock:
            return len(self._in_flight(people))

    def _in_flight(self, people: set[str]) -> set[int]:
        return {seq for seq, entry in self._state.in_flight.items() if entry[1] in people}

    def revoke_gone(self) -> None:
        """Revoke the entries in flight that the spool has no more: another process erased them."""
        state = self._state
        undecided = list(state.in_flight.keys() - self._settling)
        if undecided and state.spool.durable:
            found = state.spool.fates(state.destination.id, undecided)
            self.revoked.update(set(undecided) - found.keys())

    def _drop(self, people: set[str]) -> set[int]:
        """Remove these people's entries, if memory alone has them; return their numbers.

        Those that a durable spool has stay until it has removed them, which may fail.
        """
        state = self._state
        if state.spool.durable:
            return set()
        queued, held = self._remove(lambda entry: entry[1] in people, people)
        state.waiting -= len(queued)
        state.counts.erased += len(queued) + len(held)
        return {entry[0] for entry in [*queued, *held]}

    def _remove(
        self, is_gone: Callable[[Entry], bool], people: set[str]
    ) -> tuple[list[Entry], list[Entry]]:
        """Remove these people's queued and held entries for which `is_gone` is true."""
        state = self._state
        queued = state.queue.remove(is_gone)
        held = list(filter(is_gone, state.held.of(people)))
        state.bytes -= size_of(queued)
        for entry in held:
            state.held.remove(entry)
        for entry in [*queued, *held]:
            state.attempts.pop(entry[0], None)
        return queued, held

    def on_erased(self, people: set[str], removed: Erased) -> set[int]:
        """Adjust memory after the spool has removed these people's events.

        Returns the numbers of events that were in memory only.
        """
        state = self._state
        with state.lock:
            gone = self._drop(people)  # pushed or replayed since `erase`
            if state.spool.durable:
                self._follow(people, removed)
            else:
                state.dead -= removed.counts.get((state.destination.id, State.DEAD), 0)
            state.waiters.erased((gone | removed.seqs) - state.in_flight.keys())
            state.changed.notify_all()
        return gone

    def _follow(self, people: set[str], removed: Erased) -> None:
        """Take the events out of memory that a durable spool has removed, and count them."""
        state, seqs = self._state, removed.seqs
        waiting, held, dead = (removed.counts.get((state.destination.id, at), 0) for at in State)
        # What the spool still has was accepted after it removed the others: taken out of memory, it
        # would wait on disk for nobody to read it.
        _, holds = self._remove(lambda entry: entry[0] in seqs, people)
        state.window.forget(seqs)
        # The spool may not have known yet that an entry was held, released, or finished.
        finished = state.unacked.drop(seqs)
        erased = waiting + held - len(finished)
        erased -= sum(seq in seqs for seq in state.in_flight)  # counted when they are settled
        state.counts.erased += erased
        if state.sharded:  # other processes had some of them
            state.waiting = len(state.queue) + len(state.in_flight)
        else:
            state.waiting -= erased - len(holds)
        state.dead -= dead + sum(kind is UpdateKind.DEAD for kind in finished.values())

    def may_proceed(self, entry: Entry) -> bool:
        """Return whether an entry in flight may still be sent.

        Not if its person is erased, or if older entries have become its person's.
        """
        with self._state.lock:
            people = self._state.queue.people
            if entry[0] in self.revoked or entry[0] in self.overtaking:
                return False
            return people.of.get(entry[0]) not in people.blocked

    def decide(self, entries: list[Entry], dispositions: list[Disposition]) -> list[Disposition]:
        """Return the dispositions to write; entries erased while in flight are always removed.

        The other entries count as settling, so that an erasure that begins now waits for them.
        """
        self._settling.update(entry[0] for entry in entries)
        if not self.revoked:
            return dispositions
        return [
            Disposition(SpoolUpdate(entry, UpdateKind.ACKED), FRESH)
            if entry[0] in self.revoked
            else item
            for entry, item in zip(entries, dispositions, strict=True)
        ]

    def undecide(self, entry: Entry) -> None:
        """Note that the disposition of an entry came to nothing: it was interrupted."""
        self._settling.discard(entry[0])

    def settled(self, entry: Entry, *, delivered: bool) -> bool:
        """Note that an entry is settled; return whether its person was erased while in flight."""
        self._settling.discard(entry[0])
        if entry[0] not in self.revoked:
            return False
        self.revoked.discard(entry[0])
        if not delivered:
            self.erased.add(entry[0])
        return True

    def all_delivered(self, entries: list[Entry]) -> None:
        """Note that the entries of a batch are settled as delivered."""
        self.revoked.difference_update(entry[0] for entry in entries)
