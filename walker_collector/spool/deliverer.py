"""The process that delivers to a destination, and how that goes, as other processes see it."""

import time
from collections.abc import Sequence
from typing import Final

from attrs import frozen

from walker_collector.moments import show_ms
from walker_collector.text import storable

TROUBLED: Final = ("down", "failing")
"""The states in which nothing goes out to a destination."""


@frozen
class Member:
    """A living process; `delivers` are the destinations that it can deliver to.

    `settled`: it has been there for a while. `silent`: it lives, but gives no sign, as a process
    does that is stopped by a signal or a debugger.
    """

    token: str
    pid: int
    host: str
    since: float
    delivers: frozenset[str]
    settled: bool
    silent: bool

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.since))
        return f"process {self.pid} on {storable(self.host)} since {since}"


@frozen
class DestinationHealth:
    """How deliveries to a destination go, as the process that delivers tells others.

    since: the time since which it is in this state, with or without a reason (ms since 1970).
    until: no delivery starts before that time; 0: at any time. An "idle" one with a reason: the
    process has tried nothing yet, and that is the last failure of the process before.
    """

    state: str
    reason: str = ""
    since: int = 0
    until: int = 0


@frozen
class Deliverer:
    """The process that delivers a shard to a destination (None: nobody does), and how that goes.

    `health`: as told by that process; or, if there is none, by the last one; None: not told.
    """

    member: Member | None
    health: DestinationHealth | None = None


NOBODY: Final = Deliverer(None)


def trouble(deliverers: Sequence[Deliverer]) -> str:
    """Return the reason why these deliverers of all shards do not deliver; "" if they do."""
    return "; ".join(filter(None, (_absence(deliverers), _last_failure(deliverers))))


def _absence(deliverers: Sequence[Deliverer]) -> str:
    members = [each.member for each in deliverers]
    if missing := members.count(None):
        shards = f" {missing} of {len(members)} shards" if missing < len(members) else ""
        return f"no process delivers{shards} to it now"
    silent = dict.fromkeys(str(member) for member in members if member and member.silent)
    return f"{', '.join(silent)} has to deliver, and gives no sign of life" if silent else ""


def _last_failure(deliverers: Sequence[Deliverer]) -> str:
    found = [each for each in deliverers if each.health and _has_failed(each)]
    if not found:
        return ""
    last = max(found, key=lambda each: each.health.since if each.health else 0)
    assert last.health is not None  # of those that were found, each has one
    health, since = last.health, show_ms(last.health.since)
    if health.state not in TROUBLED:
        return f"events have failed since {since}: {health.reason}"
    if last.member is None or last.member.silent:
        return f"it was {health.state} since {since}: {health.reason}"
    return f"{health.state}: {health.reason}"


def _has_failed(deliverer: Deliverer) -> bool:
    """Return whether a failure may be why nothing goes out; some events fail while others go."""
    health, goes = deliverer.health, deliverer.member and not deliverer.member.silent
    return bool(health and health.reason) and not (goes and health and health.state == "ready")
