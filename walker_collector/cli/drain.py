"""How long it makes sense to wait for deliveries."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from walker_collector.cli.signals import StopSignal
from walker_collector.collector import Collector
from walker_collector.delivery import DestinationStatus

STALLED: Final = 60.0
"""Seconds of failures without a single delivery after which waiting ends by itself."""
_GLANCE: Final = 0.2

Statuses = Mapping[str, DestinationStatus]


class StallDetector:
    """Decides when to give up on what waits: when nothing of it can be expected to move.

    That is when every destination with something left is down (it says that it cannot deliver
    anything), or has failed for a minute without delivering anything.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._since = now()
        self._settled = -1

    def gave_up(self, statuses: Statuses) -> bool:
        """Tell whether to give up, having looked at the figures once more."""
        settled = sum(map(_settled, statuses.values()))
        if settled != self._settled:
            self._settled = settled
            self._since = self._now()
        stalled = self._now() - self._since >= STALLED
        unfinished = [status for status in statuses.values() if status.waiting]
        return bool(unfinished) and all(
            status.state == "down" or (stalled and status.reason) for status in unfinished
        )


def _settled(status: DestinationStatus) -> int:
    done = status.delivered + status.ignored + status.empty + status.dropped
    return done + status.died + status.held


def drain(
    collector: Collector,
    stop: StopSignal,
    timeout: float | None,
    waiting: Callable[[int], None] = lambda count: None,
) -> bool:
    """Wait until all is delivered, nothing moves any more, `timeout` s are over, or a signal comes.

    Without a timeout, waits as long as it makes sense. `waiting` is told now and then how many
    deliveries are left. Returns whether everything was delivered.
    """
    detector = StallDetector()
    deadline = None if timeout is None else time.monotonic() + timeout
    while not stop.signal:
        glance = _GLANCE if deadline is None else min(_GLANCE, deadline - time.monotonic())
        began = time.monotonic()
        if collector.flush(max(0.0, glance)):
            return True
        statuses = collector.status().destinations
        waiting(sum(status.waiting for status in statuses.values()))
        over = detector.gave_up(statuses) if deadline is None else time.monotonic() >= deadline
        if over:
            return False
        # flush returns early where it sees that nothing can move meanwhile.
        time.sleep(max(0.0, began + glance - time.monotonic()))
    return False
