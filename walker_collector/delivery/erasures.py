"""Erase people from one destination: remove their entries, and stop those in flight."""

import time
from collections.abc import Container, Iterator
from contextlib import AbstractContextManager, contextmanager

from walker_collector.delivery.holds import Holds
from walker_collector.delivery.outcome import Disposition
from walker_collector.delivery.pending_state import PendingState, size_of
from walker_collector.error_details import place_of
from walker_collector.hookspecs import Person
from walker_collector.spool import FRESH, Entry, Erased, SpoolUpdate, State, UpdateKind
from walker_collector.text import type_name


class Erasures:
    """Removes people's entries from memory, and tracks their entries in flight to the end."""

    def __init__(self, state: PendingState, holds: Holds) -> None:
        self._state = state
        self._holds = holds
        self.blocked = state.queue.people.blocked
        """People under erasure."""
        self.revoked: set[int] = set()
        """Entries in flight of an erased person: none of their further parts is sent."""
        self._settling: set[int] = set()
        """Entries in flight with a disposition that is being written to the spool."""
        self.erased: set[int] = set()
        """Entries that were in flight when their person was erased, and were not delivered."""

    @contextmanager
    def erasing(self, people: set[str]) -> Iterator[None]:
        """Neither read nor take entries of these people inside the block."""
        state = self._state
        with state.refill_paused():
            with state.lock:
                state.queue.block(people)
            try:
                yield
            finally:
                with state.lock:
                    state.queue.unblock(people)
        state.wake()

    def in_step(self) -> AbstractContextManager[None]:
        """Keep memory and spool the same inside the block."""
        return self._state.unacked.in_step()

    def erase(self, people: set[str], deadline: float) -> set[int]:
        """Remove these people's events from memory; return their numbers.

        The spool removes those on disk. Waits for their entries in flight, until the monotonic
        `deadline` (s).
        """
        state = self._state

        def in_flight() -> set[int]:
            return {seq for seq, entry in state.in_flight.items() if entry[1] in people}

        with state.lock:
            self._holds.follow_joins()
            self.erased.clear()
            # The disposition of an entry that is being settled is decided, and stands.
            revoked = in_flight() - self._settling
            self.revoked |= revoked
            gone = self._remove(people)
            while in_flight() and (left := deadline - time.monotonic()) > 0:
                state.changed.wait(left, lock=state.lock)
            self.revoked |= in_flight()
            gone |= self._remove(people) | (self.erased & revoked)
            state.waiters.erased(gone)
            state.changed.notify_all()
        return gone

    def _remove(self, people: set[str], among: Container[int] | None = None) -> set[int]:
        """Remove these people's entries, or those `among` these numbers; return their numbers."""

        def is_gone(entry: Entry) -> bool:
            return entry[1] in people and (among is None or entry[0] in among)

        removed = self._state.queue.remove(is_gone)
        self._state.bytes -= size_of(removed)
        held = list(filter(is_gone, self._state.held.of(people)))
        if not self._state.spool.durable:  # else the spool counts what it removes
            self._state.waiting -= len(removed)
            self._state.counts.erased += len(removed) + len(held)
        for entry in held:
            self._state.held.remove(entry)
        for entry in [*removed, *held]:
            self._state.attempts.pop(entry[0], None)
        return {entry[0] for entry in [*removed, *held]}

    def on_erased(self, people: set[str], removed: Erased) -> set[int]:
        """Adjust memory after the spool has removed these people's events.

        Returns the numbers of events that were in memory only.
        """
        state, id_, in_flight = self._state, self._state.destination.id, self._state.in_flight
        with state.lock:
            # Pushed or replayed since `erase`. What a durable spool still has was accepted after it
            # removed the others: taken out of memory, it would wait on disk for nobody to read it.
            gone = self._remove(people, removed.seqs if state.spool.durable else None)
            # Entries in flight are subtracted when they are settled.
            waiting = removed.counts.get((id_, State.WAITING), 0)
            waiting -= sum(seq in removed.seqs for seq in in_flight)
            state.waiting -= waiting
            state.counts.erased += waiting + removed.counts.get((id_, State.HELD), 0)
            state.dead -= removed.counts.get((id_, State.DEAD), 0)
            state.waiters.erased((gone | removed.seqs) - in_flight.keys())
            state.changed.notify_all()
        return gone

    def notify(self, person: Person) -> None:
        """Call the hook `erased`, for the destination to drop its memory of a person."""
        destination = self._state.destination
        if destination.config.disabled:
            return
        try:
            destination.hooks.erased(person=person, context=destination.context)
        except BaseException as error:  # a plugin's bug must not stop an erasure
            self._state.log.error(
                "destination %s: erased raised %s at %s",
                destination.id,
                type_name(error),
                place_of(error),
            )

    def may_proceed(self, entry: Entry) -> bool:
        """Return whether an entry in flight may still be sent: not if its person is erased."""
        people = self._state.queue.people
        return entry[0] not in self.revoked and people.of.get(entry[0]) not in people.blocked

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
