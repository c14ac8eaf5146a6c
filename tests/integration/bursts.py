"""Bursts of events while the events of some people are never taken."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import Factory, define, frozen

from tests.core.support import flow, plugin, running
from walker_collector import Item, RetryLater
from walker_collector.config import DestinationConfig

Way = Literal["push", "index"]


@frozen
class Bursts:
    """`size` events at the start of each second; each poisonous person has some of them.

    way: how the destination says RetryLater: from `push`, or by index from `push_batch`.
    """

    way: Way
    seconds: int = 10
    size: int = 100
    people: int = 1_000
    poisonous: int = 20

    def person(self, n: int) -> int:
        """Return whose event it is: each hundredth part of a burst is poisonous, in turn."""
        every = self.people // self.poisonous
        return (n // every % self.poisonous) * every if n % every == 0 else n % self.people

    def is_poisonous(self, n: int) -> bool:
        """Tell whether an event is of somebody whose events are never taken."""
        return self.person(n) % (self.people // self.poisonous) == 0


@define
class Times:
    """When each event was pushed and delivered, by number (monotonic s)."""

    pushed: dict[int, float] = Factory(dict)
    delivered: dict[int, float] = Factory(dict)

    def late(self, bursts: Bursts, limit: float) -> dict[int, float]:
        """Return the others' events that took longer than `limit` (s), or never came (inf)."""
        taken = {
            n: self.delivered.get(n, float("inf")) - pushed
            for n, pushed in self.pushed.items()
            if not bursts.is_poisonous(n)
        }
        return {n: round(seconds, 2) for n, seconds in taken.items() if seconds > limit}


def run(bursts: Bursts, spool: Path | None = None) -> Times:
    """Push all bursts into a destination with the default settings; return the times."""
    times = Times()

    def take(n: int) -> None:
        if bursts.is_poisonous(n):
            raise RetryLater("not this one")
        times.delivered[n] = time.monotonic()

    def push(event: dict[str, Any], context: Any) -> None:
        take(event["data"]["n"])

    def push_batch(batch: Sequence[Item]) -> dict[int, Exception]:
        failures: dict[int, Exception] = {}
        for at, item in enumerate(batch):
            try:
                take(item.event["data"]["n"])
            except RetryLater as error:
                failures[at] = error
        return failures

    cls = plugin(push) if bursts.way == "push" else plugin(None, push_batch)
    with running(flow({"there": (cls, DestinationConfig())}, spool)) as collector:
        second = threading.Event()
        for burst in range(bursts.seconds):
            began = time.monotonic()
            for n in range(burst * bursts.size, (burst + 1) * bursts.size):
                times.pushed[n] = time.monotonic()
                collector.push(
                    {
                        "name": "order complete",
                        "data": {"n": n},
                        "user": {"id": f"u{bursts.person(n)}"},
                    }
                )
            second.wait(max(0.0, began + 1 - time.monotonic()))
        second.wait(1)
        return times
