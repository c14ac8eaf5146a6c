"""The room for events: a push waits for it up to `collector.queueWait`."""

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from walker_collector.config import CollectorConfig
from walker_collector.delivery.workers import DestinationWorkers
from walker_collector.errors import SpoolFull
from walker_collector.intake.in_flight import Door
from walker_collector.spool import NewEvent, Spool, State

T = TypeVar("T")

_GLANCE: Final = 0.01
"""How long (s) a push sleeps between looks at a spool that was full."""


class Room:
    """Waits for room, as long as a push may: in the spool, or in the queues in memory."""

    def __init__(
        self, config: CollectorConfig, spool: Spool, workers: DestinationWorkers, door: Door
    ) -> None:
        self._config = config
        self._spool = spool
        self._workers = workers
        self._door = door

    def wait_for(self, work: Callable[[], T]) -> T:
        """Do something as soon as the spool has room for it; raises SpoolFull after `queueWait`."""
        deadline = self._deadline()
        while True:
            try:
                return work()
            except SpoolFull:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_GLANCE)
            self._door.check()  # nobody waits for room while the collector closes

    def make(self, records: Sequence[NewEvent], *, wait: bool = True) -> None:
        """Wait until the queues in memory have room; raises SpoolFull where they get none."""
        if self._spool.durable:
            return
        limit = self._config.queue_max
        for worker, _ in self._workers.active:
            if worker.waiting + len(records) <= limit:
                continue
            count = sum(item.states.get(worker.id) is State.WAITING for item in records)
            deadline = self._deadline() if wait else time.monotonic()
            if count and not worker.wait_for_room(count, limit, deadline, self._is_closed):
                self._door.check()
                raise SpoolFull(
                    f"destination {worker.id}: {limit:,} events wait already (collector.queueMax) "
                    f"and none left within {self._config.queue_wait:,} ms "
                    "(collector.queueWait); the event was not accepted. Configure "
                    "collector.spool to let them wait on disk"
                )

    def _is_closed(self) -> bool:
        return self._door.closed

    def _deadline(self) -> float:
        return time.monotonic() + self._config.queue_wait / 1000
