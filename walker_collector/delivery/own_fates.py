"""The fates of the entries that this process has accepted, whichever process delivers them."""

from typing import Final

from walker_collector.delivery.own_entries import OwnEntries
from walker_collector.delivery.pending_state import PendingState
from walker_collector.spool import DeadLetter, Fate, State

_ANSWERED: Final = 500
"""Pushes whose events are looked up in the spool at once."""


class OwnFates:
    """Answers the pushes that wait for their entries, and tells whether all are delivered.

    `entries` are the numbers of those that this process has accepted.
    """

    def __init__(self, state: PendingState) -> None:
        self._state = state
        self.entries = OwnEntries(state.spool.inherited if state.spool.durable else 0)

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

    def answer_repeat(self, seq: int) -> None:
        """Answer a call that waits for an entry of before, if its fate is decided."""
        state = self._state
        if state.spool.durable:
            fates = state.spool.fates(state.destination.id, [seq])
            with state.lock:
                if seq not in state.in_flight:
                    state.waiters.decided(seq, fates.get(seq))
            return
        with state.lock:
            if seq in state.in_flight or any(entry[0] == seq for entry in state.queue):
                return
            letters = state.spool.dead(state.destination.id)
            fate = next((_fate_of(letter) for letter in letters if letter.seq == seq), None)
            if seq in state.held.entries:
                fate = Fate(State.HELD, 0, "")
            state.waiters.decided(seq, fate)

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
            if any(seq in self.entries for seq in state.in_flight):
                return False
            runs = list(self.entries.runs)
        return not any(spool.has_waiting(state.destination.id, *run) for run in runs)


def _fate_of(letter: DeadLetter) -> Fate:
    return Fate(State.DEAD, letter.attempts, letter.reason)
