"""What a collector answers: to one event, and about itself."""

import threading
from collections.abc import Mapping

import attrs
from attrs import define, frozen

from walker_collector.delivery import Answer, DestinationStatus


@define  # not frozen, as one is made per event: that would take three times as long
class PushResult:
    """What is known of an event when `push` returns.

    `destinations` maps each destination's id to "accepted" (it will be delivered), "held" (waits
    for consent), "ignored" (by a rule), "dropped" (consent denied and `queue` false), and after
    `wait=True` also "delivered", "empty" (nothing was asked of it) or "failed" (a dead letter);
    `reasons` says why, where there is a why.
    """

    id: str
    destinations: Mapping[str, str] = attrs.field(factory=dict)
    reasons: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def ok(self) -> bool:
        """Whether no destination failed."""
        return "failed" not in self.destinations.values()


@frozen(kw_only=True)
class Status:
    """The figures of a collector: accepted since it began, and those of each destination."""

    accepted: int
    durable: bool
    stored: int
    destinations: Mapping[str, DestinationStatus]


@define(eq=False)
class Waiter:
    """Gathers the destinations' answers to one event."""

    expected: int
    answers: dict[str, Answer] = attrs.Factory(dict)
    complete: threading.Event = attrs.Factory(threading.Event)

    def __call__(self, destination: str, answer: Answer) -> None:
        self.answers[destination] = answer
        if len(self.answers) >= self.expected:
            self.complete.set()


def answered(accepted: PushResult, waiter: Waiter) -> PushResult:
    """Return what is known of an event after those who were asked have answered."""
    statuses = dict(accepted.destinations)
    reasons = {}
    for destination, answer in dict(waiter.answers).items():
        statuses[destination] = answer.status
        if answer.reason:
            reasons[destination] = answer.reason
    return PushResult(accepted.id, statuses, reasons)
