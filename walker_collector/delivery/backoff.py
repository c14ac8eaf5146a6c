"""Backoff and breaker: waits between attempts, as plain state over a clock passed in.

Retry libraries (tenacity, stamina) wrap a call and sleep in its thread. Here a retry is an
entry in a queue that must survive the process and hold back one person only, so the policy is
arithmetic and the queue does the waiting.
"""

from collections.abc import Callable

from attrs import define, field

from walker_collector.config import BreakerConfig, RetryConfig
from walker_collector.text import counted

DOWN_BASE = 15_000
DOWN_CAP = 600_000
EARLY_PROBE = 50
"""First wait (ms) of an open breaker before it probes with a new person's event; it doubles."""
_EARLY_PROBE_MAX = 500
"""The longest such wait (ms)."""


def backoff(config: RetryConfig, failures: int, random: Callable[[], float]) -> int:
    """Return the wait (ms) after this number of failures in a row.

    Exponential with full jitter: anywhere between 0 and `base * 2^(failures - 1)`, at most `cap`.
    """
    ceiling = min(config.cap, config.base * 2 ** min(failures - 1, 40))
    return int(ceiling * random())


def unavailable_wait(config: RetryConfig, age: int, random: Callable[[], float]) -> int:
    """Return the wait (ms) of an event of this `age` (ms), for failures that are not counted.

    It approximates an exponential backoff, in which each wait is as long as all before it.
    """
    return int(min(config.cap, max(config.base, age)) * random())


def requested_wait(after: float | None, cap: int) -> int:
    """Return the wait (ms) that the service asked for in s (Retry-After), at most `cap` ms."""
    # Plugins read it from headers, so it may be NaN: "not > 0" is true of that as well.
    if not isinstance(after, int | float) or not after > 0:
        return 0
    return int(min(cap, after * 1000))


def exhausted(attempts: int, attempts_max: int, age: int, age_max: int) -> str:
    """Return the limit that an event has reached, as text, or ""; ages in ms."""
    if attempts >= attempts_max:
        return counted(attempts, "attempt")
    return f"{age / 3_600_000:.1f} hours" if age >= age_max else ""


@define
class Breaker:
    """Stops deliveries after `threshold` failures in a row, and probes after `cooldown` ms.

    Closed: everything passes. Wary, from two failures short of the threshold on: one event at a
    time, so that the failures that open it are those of chosen events. Open: nothing passes before
    `probe_at`. Then half-open: one probe, and its outcome closes the breaker or opens it again.

    While it is open for the first time, events of people without a failure may probe from
    `early_probe_at` on, at growing intervals: a few people's failures must not keep the others
    waiting.
    """

    config: BreakerConfig
    failures: int = 0
    probe_at: int = 0
    early_probe_at: int = 0
    probing: bool = False
    _early_wait: int = EARLY_PROBE
    _wary_from: int = field(init=False)

    @_wary_from.default
    def _first_wary(self) -> int:
        return wary_from(self.config.threshold)

    @property
    def open(self) -> bool:
        """Whether the destination fails for everybody."""
        return self.failures >= self.config.threshold

    @property
    def wary(self) -> bool:
        """Whether it is open, or two more failures would open it."""
        return self.failures >= self._wary_from

    def allows(self, now: int) -> bool:
        """Return whether a delivery may start at `now` (ms)."""
        return not self.probing and (not self.open or now >= self.probe_at)

    def succeeded(self) -> None:
        """Note a success, which closes the breaker."""
        self.failures = 0
        self.probing = False
        self._early_wait = EARLY_PROBE

    def failed(self, now: int) -> None:
        """Note a failure of the whole destination, or of a probe, at `now` (ms)."""
        was_open = self.open
        self.failures += 1
        self.probing = False
        if not self.open:
            return
        if was_open and now < self.probe_at:  # an early probe: the cooldown runs on
            self._early_wait = min(2 * self._early_wait, _EARLY_PROBE_MAX)
            self.early_probe_at = now + self._early_wait
            return
        self.probe_at = now + self.config.cooldown
        # Early probes end with the first cooldown.
        self.early_probe_at = self.probe_at if was_open else now + self._early_wait

    def failed_for(self, events: int, now: int) -> None:
        """Note failures of several events of one batch: they make it wary, but do not open it.

        The batch may hold events of a few failing people only, so a probe must decide.
        """
        for _ in range(1 if self.wary else min(events, self._wary_from - self.failures)):
            self.failed(now)


def wary_from(threshold: int) -> int:
    """Return the number of failures in a row from which one event is tried at a time."""
    return max(1, threshold - 2)


def down_delay(failures: int) -> int:
    """Return the pause (ms) of a destination after it was down `failures` times in a row."""
    return int(min(DOWN_CAP, DOWN_BASE * 2 ** min(failures - 1, 10)))
