"""The status of each destination, as observable instruments: read when metrics are collected."""

import os
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any, Final
from weakref import WeakKeyDictionary

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from walker_collector.hookspecs import Context

Callback = Callable[[CallbackOptions], Iterable[Observation]]

_COUNTERS: Final = {
    "accepted": "Events accepted for the destination.",
    "delivered": "Events delivered.",
    "notified": "Changes of consent told to the destination.",
    "ignored": "Events that the mapping ignores.",
    "empty": "Events with nothing to send.",
    "retried": "Deliveries that will be retried.",
    "died": "Events that became dead letters.",
    "replayed": "Dead letters put back into the queue by a replay.",
    "requeued": "Dead letters put back into the queue, as the destination had refused every event.",
    "dropped": "Events dropped by the limits queueMax and queueAge, or by queue: false.",
    "erased": "Events that left undelivered with their erased person.",
    "dead_dropped": "Dead letters dropped by the limit dlqMax.",
}
_LEVELS: Final = {
    "waiting": "Events waiting for delivery.",
    "held": "Events held for consent.",
    "dead": "Dead letters.",
}


class StatusMetrics:
    """Instruments over the status of all watched destinations."""

    def __init__(self, meter: Meter) -> None:
        self._watched: WeakKeyDictionary[Context, int] = WeakKeyDictionary()
        self._lock = Lock()
        for name, about in _COUNTERS.items():
            meter.create_observable_counter(
                f"walker.events.{name}", [self._reading(name)], "{event}", about
            )
        for name, about in _LEVELS.items():
            meter.create_observable_up_down_counter(
                f"walker.events.{name}", [self._reading(name)], "{event}", about
            )
        meter.create_observable_gauge(
            "walker.queue.age",
            [self._reading("oldest_age")],
            "s",
            "Age of the oldest waiting event.",
        )

    def watch(self, context: Context) -> None:
        """Include a destination in the metrics."""
        if context.status is not None:
            with self._lock:
                self._watched[context] = os.getpid()

    def unwatch(self, context: Context) -> None:
        """Exclude a destination from the metrics."""
        with self._lock:
            self._watched.pop(context, None)

    def _reading(self, figure: str) -> Callback:
        def read(_: CallbackOptions) -> list[Observation]:
            return [
                Observation(getattr(status, figure), {"walker.destination": id})
                for id, status in self._statuses()
            ]

        return read

    def _statuses(self) -> list[tuple[str, Any]]:
        """Return the status of each destination of this process; its parent watches its own."""
        with self._lock:
            watched = [context for context, pid in self._watched.items() if pid == os.getpid()]
        return [(context.id, context.status()) for context in watched if context.status]
