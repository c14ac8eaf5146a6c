"""Initialise a destination, and those it requires, before its first delivery."""

import threading
from collections.abc import Sequence
from typing import Self

import attrs

from walker_collector.delivery.destination import Destination
from walker_collector.delivery.log_limiter import LogLimiter
from walker_collector.delivery.outcome import Outcome
from walker_collector.error_details import after_of, failure_of, reason_of
from walker_collector.errors import DestinationDown, RetryLater


class Initialisation:
    """Calls a destination's `init` once, before its first delivery, and `shutdown` at the end."""

    def __init__(self, destination: Destination, log: LogLimiter) -> None:
        self.done = False
        self._destination = destination
        self._log = log
        self._lock = threading.Lock()
        self._required: Sequence[Self] = ()

    def require(self, others: Sequence[Self]) -> None:
        """Initialise these other destinations first."""
        self._required = others

    def ensure(self) -> Outcome | None:
        """Initialise the destination unless that is done; return the outcome of a failure."""
        if self.done:  # without the lock: this is asked for every batch
            return None
        with self._lock:
            if self.done:
                return None
            for other in self._required:
                refused = other.ensure()
                if refused is not None:
                    reason = f"waits for destination {other._destination.id}: {refused.reason}"
                    return attrs.evolve(refused, reason=reason)
            return self._init()

    def _init(self) -> Outcome | None:
        destination = self._destination
        try:
            destination.hooks.init(context=destination.context)
        except DestinationDown as error:
            return Outcome("unavailable", reason_of(error), down=True)
        except RetryLater as error:
            return Outcome("unavailable", reason_of(error), after=after_of(error))
        except BaseException as error:  # a plugin's bug must not stop the other destinations
            destination.log_bug("init", error)
            failure = failure_of(error, destination.module)
            return Outcome("unavailable", f"init raised {failure}", down=True)
        self.done = True
        self._log.info("destination %s: initialised", destination.id)
        return None

    def shut_down(self) -> None:
        """Call `shutdown` if the destination was initialised."""
        if not self.done:
            return
        destination = self._destination
        try:
            destination.hooks.shutdown(context=destination.context)
        except BaseException as error:  # a plugin's bug must not stop the others' shutdown
            destination.log_bug("shutdown", error)
        else:
            self._log.info("destination %s: shut down", destination.id)
