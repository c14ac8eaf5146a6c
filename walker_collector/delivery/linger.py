"""The linger: a batch that is not full waits for more events. Pure, over a clock passed in."""

from typing import Self

from attrs import define

from walker_collector.config import BatchConfig


@define
class Linger:
    """The wait of a batch: `wait` ms after every arrival, but at most `age` ms after the first."""

    wait: int
    age: int
    _first_at: int = 0
    _last_at: int = 0

    @classmethod
    def of(cls, batch: BatchConfig | None, default: int) -> Self:
        """Return the linger of a destination's `batch`, or the plugin's `default` (ms)."""
        age = batch.age if batch and batch.age is not None else default
        wait = batch.wait if batch and batch.wait is not None else age
        return cls(wait, max(age, wait) if batch and batch.age is None else age)

    def arrived(self, now: int) -> None:
        """Note that events have been queued."""
        self._last_at = now
        if not self._first_at:
            self._first_at = now

    def taken(self, now: int, *, more: bool) -> None:
        """Note that a batch was taken, and whether `more` events are queued."""
        self._first_at = now if more else 0

    def left(self, now: int) -> int:
        """Return the rest of the wait (ms)."""
        return max(0, min(self._last_at + self.wait, self._first_at + self.age) - now)
