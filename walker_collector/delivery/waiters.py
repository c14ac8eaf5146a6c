"""The pushes that wait for a destination's answer to their event."""

from collections.abc import Callable, Collection
from typing import Final

from walker_collector.delivery.outcome import Outcome
from walker_collector.delivery.status import Answer
from walker_collector.spool import Change, Entry, State

Waiter = Callable[[str, Answer], None]
"""Is told the destination's id and its answer, once."""

_FINAL: Final = ("delivered", "ignored", "empty", "held", "dropped")
_ERASED: Final = Answer("erased", "its person was erased")
_CLOSED: Final = {
    True: Answer("closed", "the collector was closed before; it waits in the spool"),
    False: Answer("closed", "the collector was closed before; it is lost, as there is no spool"),
}


class Waiters:
    """Waiters by the numbers of their events; guarded by the lock of the PendingEvents."""

    def __init__(self, destination: str, *, durable: bool) -> None:
        self._destination = destination
        self._closed = _CLOSED[durable]
        self._waiters: dict[int, Waiter] = {}

    def __bool__(self) -> bool:
        return bool(self._waiters)

    def add(self, entries: list[Entry], state: State, waiter: Waiter) -> None:
        """Have a push wait for these entries; a held one has its answer already."""
        for entry in entries:
            self._waiters[entry[0]] = waiter
            if state is State.HELD:
                self._answer(entry[0], Answer("held", "consent not granted"))

    def settle(
        self, entry: Entry, outcome: Outcome, change: Change | None, erased: Collection[int]
    ) -> None:
        """Give the answer that follows from an outcome, where it is one."""
        if not self._waiters:
            return
        if entry[0] in erased:
            self._answer(entry[0], _ERASED)
        elif change is not None and change.state is State.DEAD:
            self._answer(entry[0], Answer("failed", change.attempt.reason))
        elif outcome.kind in _FINAL:
            self._answer(entry[0], Answer(outcome.kind, outcome.reason))
        elif outcome.kind != "not_attempted":
            self._answer(entry[0], Answer("accepted", f"will be tried again: {outcome.reason}"))

    def delivered(self, entries: list[Entry]) -> None:
        """Tell that all of these were delivered."""
        if self._waiters:
            for entry in entries:
                self._answer(entry[0], Answer("delivered"))

    def blocked(self, in_flight: Collection[int], reason: str) -> None:
        """Tell all whose events are not in flight that the destination is left alone."""
        answer = Answer("accepted", f"will be tried later: {reason}")
        for seq in self._waiters.keys() - set(in_flight):
            self._answer(seq, answer)

    def erased(self, seqs: Collection[int]) -> None:
        """Tell that the people of these events were erased."""
        for seq in self._waiters.keys() & set(seqs):
            self._answer(seq, _ERASED)

    def closed(self) -> None:
        """Tell everybody that the collector is closed."""
        for seq in list(self._waiters):
            self._answer(seq, self._closed)

    def _answer(self, seq: int, answer: Answer) -> None:
        waiter = self._waiters.pop(seq, None)
        if waiter is not None:
            waiter(self._destination, answer)
