"""What a collector answers: to one event, and about itself."""

import time
from collections.abc import Mapping
from typing import Final

import attrs
from attrs import define, frozen

from walker_collector.delivery import Answer, DestinationStatus
from walker_collector.interrupts import Notifier, process_is_ending

_FOREVER: Final = 86_400.0 * 365
"""Seconds; locks take no times without end."""
_BAD: Final = frozenset({"failed", "closed"})


@define  # not frozen, as one is made per event: that would take three times as long
class PushResult:
    """What is known of an event when `push` returns.

    `destinations` maps each destination's id to "accepted" (it will be delivered), "held" (waits
    for consent), "ignored" (by a rule), "dropped" (consent denied and `queue` false), and after
    `wait=True` also "delivered", "empty" (nothing was asked of it), "failed" (a dead letter),
    "erased" (its person was, meanwhile) or "closed" (the collector was, before it was delivered:
    with a spool it waits there, in memory it is lost); `reasons` says why, where there is a why.
    """

    id: str
    destinations: Mapping[str, str] = attrs.field(factory=dict)
    reasons: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def ok(self) -> bool:
        """Whether no destination failed, or was closed before it had answered."""
        return _BAD.isdisjoint(self.destinations.values())


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
    _changes: Notifier = attrs.Factory(Notifier)

    def __call__(self, destination: str, answer: Answer) -> None:
        self.answers[destination] = answer
        if self.complete():
            self._changes.notify_all()

    def complete(self) -> bool:
        """Whether every destination has answered."""
        return len(self.answers) >= self.expected

    def wait(self, timeout: float | None, closing: float) -> None:
        """Wait for the answers, at most `timeout` s.

        Once the main thread has ended, the interpreter waits for this one: then no longer than
        `closing` s, as long as a closing collector waits for deliveries.
        """
        deadline = time.monotonic() + (_FOREVER if timeout is None else min(timeout, _FOREVER))
        if self._changes.wait_for(lambda: self.complete() or process_is_ending(), deadline):
            deadline = min(deadline, time.monotonic() + closing)
            self._changes.wait_for(self.complete, deadline)


def answered(accepted: PushResult, waiter: Waiter) -> PushResult:
    """Return what is known of an event after those who were asked have answered."""
    statuses = dict(accepted.destinations)
    reasons = {}
    for destination, answer in dict(waiter.answers).items():
        statuses[destination] = answer.status
        if answer.reason:
            reasons[destination] = answer.reason
    return PushResult(accepted.id, statuses, reasons)
