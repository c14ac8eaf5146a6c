"""Calls that wait for a destination's answer to their event."""

from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

from walker_collector.delivery.outcome import Outcome
from walker_collector.delivery.status import Answer, EventStatus
from walker_collector.spool import Entry, Fate, SpoolUpdate, State, UpdateKind, mark_of


class Listener(Protocol):
    """Called with the answer of each destination to an event, by its id.

    over: whether nobody waits any longer. patient: whether it waits on after an answer "accepted",
    which says that the event has to wait.
    """

    @property
    def over(self) -> bool: ...

    @property
    def patient(self) -> bool: ...

    def __call__(self, destination: str, answer: Answer) -> None: ...


Listeners = Mapping[int, Listener]
"""Waiting calls, by the numbers of their entries."""

_FINAL: Final[Mapping[str, EventStatus]] = {
    "delivered": "delivered",
    "ignored": "ignored",
    "empty": "empty",
    "held": "held",
    "dropped": "dropped",
}
"""Kinds of outcomes after which nothing more becomes of an event, as statuses."""
_HELD: Final = Answer("held", "consent not granted")
_ERASED: Final = Answer("erased", "its person was erased")
_BEHIND: Final = Answer(
    "accepted", "waits behind an earlier event of its person that will be retried"
)
_CLOSED: Final = {
    True: Answer("closed", "the collector closed before delivery; it waits in the spool"),
    False: Answer("closed", "the collector closed before delivery; without a spool it is lost"),
}


_FEW: Final = 100
"""Listeners that may come before a look which of them have given up."""


class Waiters:
    """Listeners by the numbers of their events; guarded by the lock of the PendingEvents."""

    def __init__(self, destination: str, *, durable: bool) -> None:
        self._destination = destination
        self._closed = _CLOSED[durable]
        self.waiting: dict[int, tuple[Entry, list[Listener]]] = {}
        self._next_look = _FEW
        """How many listeners may come before the next look which ones have given up."""
        self._erased: set[int] = set()
        """Entries of people that another process has erased since they were added."""

    def add(self, entries: list[Entry], state: State, listeners: Listeners) -> None:
        """Add the calls that wait for these entries; held ones are answered at once."""
        for entry in entries:
            if (listener := listeners.get(entry[0])) is None:
                continue
            self.waiting.setdefault(entry[0], (entry, []))[1].append(listener)
            if state is State.HELD:
                self._answer(entry[0], _HELD)
            self._next_look -= 1
        if self._next_look < 0:
            self._drop_those_over()

    def _drop_those_over(self) -> None:
        """Drop the listeners that have given up; not often, as it looks at all of them."""
        for seq, (_, listeners) in list(self.waiting.items()):
            listeners[:] = [listener for listener in listeners if not listener.over]
            if not listeners:
                del self.waiting[seq]
        left = sum(len(listeners) for _, listeners in self.waiting.values())
        self._next_look = max(_FEW, left)

    def settle(
        self, entry: Entry, outcome: Outcome, update: SpoolUpdate | None, erased: Collection[int]
    ) -> None:
        """Give the answer that follows from an outcome, if any."""
        if not self.waiting:
            return
        if entry[0] in erased:
            self._answer(entry[0], _ERASED)
        elif update is not None and update.kind is UpdateKind.DEAD:
            self._answer(entry[0], Answer("failed", update.delivery.reason))
        elif status := _FINAL.get(outcome.kind):
            self._answer(entry[0], Answer(status, outcome.reason))
        elif outcome.kind != "not_attempted":
            self._answer(entry[0], Answer("accepted", f"will be retried: {outcome.reason}"))

    def decided(self, seq: int, fate: Fate | None) -> None:
        """Answer for an entry that another process delivers, if there is news; None: it is gone."""
        if fate is None:
            self._answer(seq, _ERASED if seq in self._erased else Answer("delivered"))
        elif fate.state is State.DEAD:
            self._answer(seq, Answer("failed", fate.reason))
        elif fate.state is State.HELD:
            self._answer(seq, _HELD)
        elif fate.attempts:
            self._answer(seq, Answer("accepted", f"will be tried again: {fate.reason}"))

    def note_erased(self, marks: Collection[int]) -> None:
        """Note the marks of keys that another process has erased."""
        self._erased &= self.waiting.keys()
        self._erased.update(
            seq for seq, (entry, _) in self.waiting.items() if mark_of(entry[1]) in marks
        )

    def delivered(self, entries: list[Entry]) -> None:
        """Answer that these entries were delivered."""
        for entry in entries:
            self._answer(entry[0], Answer("delivered"))

    def blocked(self, in_flight: Collection[int], reason: str) -> None:
        """Answer, for entries not in flight, that the destination gets no deliveries for now."""
        answer = Answer("accepted", f"will be tried later: {reason}")
        for seq in self.waiting.keys() - set(in_flight):
            self._answer(seq, answer)

    def behind_retry(self, is_behind: Callable[[Entry], bool]) -> None:
        """Answer, for entries behind a retry, that they wait for it: that may take hours."""
        for seq in [seq for seq, (entry, _) in self.waiting.items() if is_behind(entry)]:
            self._answer(seq, _BEHIND)

    def erased(self, seqs: Collection[int]) -> None:
        """Answer that the people of these events were erased."""
        for seq in self.waiting.keys() & set(seqs):
            self._answer(seq, _ERASED)

    def closed(self) -> None:
        """Answer to all that the collector is closed."""
        for seq in list(self.waiting):
            self._answer(seq, self._closed)

    def _answer(self, seq: int, answer: Answer) -> None:
        waiting = self.waiting.pop(seq, None)
        if waiting is None:
            return
        entry, listeners = waiting
        for listener in listeners:
            listener(self._destination, answer)
        if answer.status == "accepted":
            patient = [listener for listener in listeners if listener.patient and not listener.over]
            if patient:
                self.waiting[seq] = entry, patient
