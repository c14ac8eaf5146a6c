"""What each destination's status says, as instruments that are read when metrics are collected."""

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
    "ignored": "Events that the mapping ignores.",
    "empty": "Events that asked nothing of the destination.",
    "retried": "Deliveries that will be tried again.",
    "died": "Events that became dead letters.",
    "replayed": "Dead letters that were told to wait again.",
    "requeued": "Dead letters that wait again, since the destination refused everything.",
    "dropped": "Events let go of, as queueMax, queueAge or queue: false say.",
    "dead_dropped": "Dead letters beyond dlqMax, which are gone.",
}
_LEVELS: Final = {
    "waiting": "Events that wait for their delivery.",
    "held": "Events held for consent.",
    "dead": "Dead letters.",
}


class Figures:
    """Instruments over the destinations that are watched, as long as they are."""

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
            "Age of the oldest event that waits.",
        )

    def watch(self, context: Context) -> None:
        """Begin to read a destination's status."""
        if context.status is not None:
            with self._lock:
                self._watched[context] = os.getpid()

    def unwatch(self, context: Context) -> None:
        """Stop reading a destination's status."""
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
        """Return the status of each destination of this process: a fork's parent has its own."""
        with self._lock:
            watched = [context for context, pid in self._watched.items() if pid == os.getpid()]
        return [(context.id, context.status()) for context in watched if context.status]
