"""Calls of push(wait=True) that wait for a destination's answer to their event."""

from collections.abc import Callable, Collection
from typing import Final

from walker_collector.delivery.outcome import Outcome
from walker_collector.delivery.status import Answer
from walker_collector.spool import Entry, Fate, SpoolUpdate, State, UpdateKind, mark_of

OnAnswer = Callable[[str, Answer], None]
"""Called once, with the destination's id and its answer."""

_FINAL: Final = ("delivered", "ignored", "empty", "held", "dropped")
_ERASED: Final = Answer("erased", "its person was erased")
_BEHIND: Final = Answer(
    "accepted", "waits behind an earlier event of its person that will be retried"
)
_CLOSED: Final = {
    True: Answer("closed", "the collector closed before delivery; it waits in the spool"),
    False: Answer("closed", "the collector closed before delivery; without a spool it is lost"),
}


class Waiters:
    """Callbacks by the numbers of their events; guarded by the lock of the PendingEvents."""

    def __init__(self, destination: str, *, durable: bool) -> None:
        self._destination = destination
        self._closed = _CLOSED[durable]
        self.waiting: dict[int, tuple[Entry, OnAnswer]] = {}
        self._erased: set[int] = set()
        """Entries whose person another process has erased since they were added."""

    def add(self, entries: list[Entry], state: State, on_answer: OnAnswer) -> None:
        """Add a push that waits for these entries; held ones are answered at once."""
        for entry in entries:
            self.waiting[entry[0]] = entry, on_answer
            if state is State.HELD:
                self._answer(entry[0], Answer("held", "consent not granted"))

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
        elif outcome.kind in _FINAL:
            self._answer(entry[0], Answer(outcome.kind, outcome.reason))
        elif outcome.kind != "not_attempted":
            self._answer(entry[0], Answer("accepted", f"will be retried: {outcome.reason}"))

    def decided(self, seq: int, fate: Fate | None) -> None:
        """Answer for an entry that another process delivers, if there is news; None: it is gone."""
        if fate is None:
            self._answer(seq, _ERASED if seq in self._erased else Answer("delivered"))
        elif fate.state is State.DEAD:
            self._answer(seq, Answer("failed", fate.reason))
        elif fate.state is State.HELD:
            self._answer(seq, Answer("held", "consent not granted"))
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
        if waiting is not None:
            waiting[1](self._destination, answer)
