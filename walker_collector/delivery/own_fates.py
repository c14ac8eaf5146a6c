"""The fates of the entries that this process has accepted, whichever process delivers them."""

import time
from collections.abc import Collection
from itertools import chain, islice
from typing import Final

from walker_collector.delivery.own_entries import OwnEntries
from walker_collector.delivery.pending_state import PendingState
from walker_collector.spool import Fate, State

_HELD: Final = Fate(State.HELD, 0, "")
_ANSWERED: Final = 500
"""Pushes that look up their events in the spool at once."""
_LOOKED_AT: Final = 20
"""The next entries in line that are looked at before the spool is asked."""
_ASKED: Final = 0.02
"""Seconds between such questions, while this process delivers those of others."""


class OwnFates:
    """Answers the pushes that wait for their entries, and tells whether all are delivered.

    `entries` are the numbers of those that this process has accepted.
    """

    def __init__(self, state: PendingState) -> None:
        self._state = state
        self.entries = OwnEntries(state.spool.inherited if state.spool.durable else 0)
        self._asked_at = 0.0

    def answer_from_disk(self) -> None:
        """Answer the pushes that wait for a destination that another process delivers to."""
        state = self._state
        if not state.spool.durable:
            return
        with state.lock:
            seqs = self._awaited()
        for at in range(0, len(seqs), _ANSWERED):
            some = seqs[at : at + _ANSWERED]
            fates = state.spool.fates(state.destination.id, some)
            # What is gone may have been erased since the last news, which then tells so.
            known = fates if state.consents.is_stale else some
            with state.lock:
                for seq in known:
                    state.waiters.decided(seq, fates.get(seq))

    def answer_repeats(self, seqs: Collection[int]) -> None:
        """Answer calls that have begun to wait for earlier entries of a decided fate.

        An entry that moves from now on is answered for by what moves it.
        """
        state = self._state
        # Without the lock, which a spool in memory takes while it has its own.
        fates = _fates(state, seqs)
        with state.lock:
            undecided = set(state.in_flight)
            if not state.spool.durable:
                undecided.update(entry[0] for entry in state.queue)
                fates |= {seq: _HELD for seq in state.held.entries if seq in seqs}
            for seq in set(seqs) - undecided:
                state.waiters.decided(seq, fates.get(seq))

    def answer_gone(self) -> None:
        """Answer the pushes that wait for entries which a command, or another process, has erased.

        Others that deliver to the destination may have delivered them: see `answer_from_disk`.
        """
        state = self._state
        with state.lock:
            if not (state.delivers_all and state.spool.durable):
                return
            seqs = self._awaited()
            for at in range(0, len(seqs), _ANSWERED):
                some = seqs[at : at + _ANSWERED]
                fates = state.spool.fates(state.destination.id, some)
                state.waiters.erased(set(some) - fates.keys())

    def _awaited(self) -> list[int]:
        """Return the entries that a push waits for; those in flight are answered when they end."""
        return [seq for seq in self._state.waiters.waiting if seq not in self._state.in_flight]

    def note_erased(self, marks: frozenset[int]) -> None:
        """Note the marks of keys that another process has erased."""
        with self._state.lock:
            self._state.waiters.note_erased(marks)

    @property
    def are_delivered(self) -> bool:
        """Whether all that this process has accepted is delivered, by whichever process."""
        state, spool = self._state, self._state.spool
        with state.lock:  # entries are counted as they are read, and foreign ones are there before
            if not state.waiting and (state.delivers_all and not state.window.foreign):
                return True
            if not spool.durable or (state.delivers_all and self.entries.are_all):
                return False
            soon = [entry[0] for entry in islice(state.queue.ready, _LOOKED_AT)]
            if any(seq in self.entries for seq in chain(state.in_flight, soon)):
                return False
            now, runs = time.monotonic(), list(self.entries.runs)
            if (soon or state.in_flight) and now < self._asked_at + _ASKED:
                return False  # asked again after the next batch
            self._asked_at = now
        # The newest first: mostly the only one to ask for, as its entries are the last to go.
        return not any(spool.has_waiting(state.destination.id, *run) for run in reversed(runs))


def _fates(state: PendingState, seqs: Collection[int]) -> dict[int, Fate]:
    """Return the fates of these entries that the spool knows of."""
    spool, id_ = state.spool, state.destination.id
    if spool.durable:
        return spool.fates(id_, seqs)
    return {
        letter.seq: Fate(State.DEAD, letter.attempts, letter.reason)
        for letter in spool.dead(id_)
        if letter.seq in seqs
    }
