"""Results of a push, and the status of a collector."""

from collections.abc import Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import attrs
import msgspec
from attrs import define, frozen

from walker_collector.delivery.status import Answer, DestinationStatus, EventStatus
from walker_collector.interrupts import Notifier, deadline_after, process_is_ending

_BAD: Final = frozenset({"failed", "closed"})


class PushResult(msgspec.Struct, gc=False):  # as one is made per event: a fifth of an attrs class
    """The result of a push: the event's id, and a status per destination.

    `destinations` maps each destination's id to "accepted" (it will be delivered), "held" (waits
    for consent), "ignored" (by a rule), "dropped" (consent denied and `queue` false), and after
    `wait=True` also "delivered", "empty" (the event gave it nothing to send), "failed" (a dead
    letter), "erased" (its person was erased first) or "closed" (the collector was closed first:
    with a spool the event waits there, in memory it is lost). `reasons` has a reason for some.
    """

    id: str
    destinations: Mapping[str, EventStatus] = {}
    reasons: Mapping[str, str] = {}

    @property
    def ok(self) -> bool:
        """Whether no destination has the status "failed" or "closed"."""
        return _BAD.isdisjoint(self.destinations.values())

    if not TYPE_CHECKING:  # type checkers refuse to await a result anyway

        def __await__(self):
            raise TypeError(
                "push returns its result at once, and the event was accepted; in a coroutine "
                "write `await collector.apush(...)`"
            )


@frozen(kw_only=True)
class Status:
    """The figures of a collector: events accepted since its start, and each destination's.

    `repeated` counts events that were sent again under the same id, and `corrected` those at an
    impossible time, which got the time of their receipt.
    `full`: there is no room for an event just now. `closed`: none is accepted any more. `trouble`:
    the reason why the spool cannot be used just now, with the remedy; "" if it can.
    `posted`: events that wait in the outbox, to be accepted, and `posted_age` the time (s) since
    the first of them was pushed; None: the spool has no outbox.
    """

    accepted: int
    durable: bool
    stored: int
    destinations: Mapping[str, DestinationStatus]
    repeated: int = 0
    corrected: int = 0
    full: bool = False
    closed: bool = False
    trouble: str = ""
    posted: int | None = None
    posted_age: float = 0.0

    @property
    def unready(self) -> str:
        """The reason why events should be sent to another process, if there is one; else ""."""
        if self.closed:
            return "closing"
        if self.full:
            return "there is no room for events"
        if self.trouble:  # its text names the server, and load balancers are not the only ones here
            return "the spool cannot be used just now; the log says why"
        down = [
            id_
            for id_, item in self.destinations.items()
            if item.state == "down" and not item.initialised
        ]
        return f"cannot be initialised: {', '.join(down)}" if down else ""


@define(eq=False)
class Waiter:
    """Gathers the destinations' answers to one event, for a call that waits for them."""

    expected: int
    answers: dict[str, Answer] = attrs.Factory(dict)
    over: bool = False
    patient: bool = False
    _changes: Notifier = attrs.Factory(Notifier)

    def __call__(self, destination: str, answer: Answer) -> None:
        self.answers[destination] = answer
        if self.complete():
            self._changes.notify_all()

    def complete(self) -> bool:
        """Return whether every destination has answered."""
        return len(self.answers) >= self.expected

    def wait(self, timeout: float | None, closing: float) -> None:
        """Wait for the answers, at most `timeout` s.

        After the main thread has ended, the interpreter waits for this thread: then the wait is at
        most `closing` s, the time that a closing collector takes for deliveries.
        """
        deadline = deadline_after(timeout)
        if self._changes.wait_for(lambda: self.complete() or process_is_ending(), deadline):
            deadline = min(deadline, deadline_after(closing))
            self._changes.wait_for(self.complete, deadline)
        self.over = True


@define(eq=False)
class Decision:
    """Gathers the decisions of the destinations on one event, and gives them to a future.

    They decide when they have delivered it, will never do so, or hold it. `accepted` is the result
    of the push.
    """

    accepted: PushResult
    future: Future[PushResult]
    expected: int
    answers: dict[str, Answer] = attrs.Factory(dict)
    patient: bool = True

    @property
    def over(self) -> bool:
        """Whether nobody waits any longer."""
        return self.future.done()

    def __call__(self, destination: str, answer: Answer) -> None:
        if answer.status == "accepted":
            return
        self.answers[destination] = answer
        if len(self.answers) >= self.expected:
            decide(self.future, answered(self.accepted, self.answers))


def decide(future: Future[PushResult], result: PushResult) -> None:
    """Give a result to a future, unless it has one or was cancelled."""
    with suppress(InvalidStateError):
        future.set_result(result)


def answered(accepted: PushResult, answers: Mapping[str, Answer]) -> PushResult:
    """Return the result of a push with the answers of the destinations."""
    statuses = dict(accepted.destinations)
    reasons = {}
    for destination, answer in dict(answers).items():
        statuses[destination] = answer.status
        if answer.reason:
            reasons[destination] = answer.reason
    return PushResult(accepted.id, statuses, reasons)
