"""No more requests per second than Customer.io asks for."""

from collections.abc import Callable
from threading import Lock


class RateLimit:
    """A token bucket: `rate` requests per second, with bursts of at most a tenth of a second's.

    Customer.io's limits count requests, whatever is in them. Safe to use from several threads.
    """

    def __init__(
        self, rate: float, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._rate = rate
        self._burst = max(1.0, rate / 10)
        self._tokens = self._burst
        self._clock = clock
        self._sleep = sleep
        self._filled_at = clock()
        self._lock = Lock()

    def wait(self) -> None:
        """Wait (s) until the next request may go."""
        with self._lock:
            now = self._clock()
            refilled = self._tokens + (now - self._filled_at) * self._rate
            self._tokens = min(self._burst, refilled) - 1
            self._filled_at = now
            owed = -self._tokens / self._rate
        if owed > 0:
            self._sleep(owed)
