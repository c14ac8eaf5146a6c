"""Wait for deliveries, and give up when waiting is pointless."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from walker_collector.cli.progress_line import finished
from walker_collector.cli.signals import StopSignal
from walker_collector.collector import Collector
from walker_collector.delivery.status import DestinationStatus

STALLED: Final = 60.0
"""Seconds without a delivery after which failing destinations are given up."""
UNATTENDED: Final = 3.0
"""Seconds after which a destination that no process delivers to is given up: another process takes
over in two."""
_INTERVAL: Final = 0.2
"""Seconds between two looks at the status."""


class StallDetector:
    """Detects that nothing more can be expected to be delivered.

    That is so when every destination with pending events is down, or no process delivers to it, or
    all of them are delivered but cannot be recorded, or it has failed for STALLED s in which no
    destination finished an event. `now` returns monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._finished = -1
        self._finished_at = now()
        self._attended_at: dict[str, float] = {}

    def gave_up(
        self, statuses: Mapping[str, DestinationStatus], unattended: Collection[str] = ()
    ) -> bool:
        """Return whether to give up, given the latest status of every destination.

        `unattended`: those that no process delivers to.
        """
        count = sum(map(finished, statuses.values()))
        if count != self._finished:
            self._finished = count
            self._finished_at = self._now()
        stalled = self._now() - self._finished_at >= STALLED
        unrecorded = {id_ for id_, status in statuses.items() if _is_unrecorded(status)}
        left = self._left_alone(statuses, {*unattended, *unrecorded})
        pending = [(id_, status) for id_, status in statuses.items() if status.waiting]
        # A destination without a reason is slow, not failing: it is waited for.
        return bool(pending) and all(
            status.state == "down" or id_ in left or (stalled and status.reason)
            for id_, status in pending
        )

    def _left_alone(self, ids: Iterable[str], unattended: Collection[str]) -> set[str]:
        """Return the destinations that nothing has been done for in a while."""
        now = self._now()
        for id_ in ids:
            if id_ not in unattended:
                self._attended_at[id_] = now
        attended_at = {id_: self._attended_at.setdefault(id_, now) for id_ in unattended}
        return {id_ for id_, at in attended_at.items() if now - at >= UNATTENDED}


def _is_unrecorded(status: DestinationStatus) -> bool:
    """Return whether all events that wait in the spool are delivered: its disk is full, say."""
    return 0 < status.waiting <= status.unrecorded


def drain(
    collector: Collector,
    stop: StopSignal,
    timeout: float | None,
    statuses: Callable[[], Mapping[str, DestinationStatus]],
    unattended: Callable[[], Collection[str]] = tuple,
) -> bool:
    """Wait for deliveries. Return whether all events were delivered.

    The wait ends with a signal and after `timeout` s; without a timeout, when a StallDetector gives
    up. `statuses` returns those of all processes that deliver, `unattended` the destinations that
    none of them delivers to.
    """
    detector = StallDetector()
    deadline = None if timeout is None else time.monotonic() + timeout
    while not stop.signal:
        began = time.monotonic()
        interval = _INTERVAL if deadline is None else min(_INTERVAL, deadline - began)
        if collector.flush(max(0.0, interval)):
            return True
        if (
            detector.gave_up(statuses(), unattended())
            if deadline is None
            else time.monotonic() >= deadline
        ):
            return False
        # flush returns early when nothing can be delivered for now.
        time.sleep(max(0.0, began + interval - time.monotonic()))
    return False
