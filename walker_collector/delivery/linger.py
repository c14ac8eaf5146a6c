"""The linger: a batch that is not full waits for more events. Pure, over a clock passed in."""

from typing import Self

from attrs import define

from walker_collector.config import BatchConfig


@define
class Linger:
    """The wait of a batch: `wait` ms after every arrival, but at most `age` ms after the first.

    `first_at` and `last_at` are the times (ms) of the first and the last arrival.
    """

    wait: int
    age: int
    first_at: int = 0
    last_at: int = 0

    @classmethod
    def of(cls, batch: BatchConfig | None, default: int) -> Self:
        """Return the linger of a destination's `batch`, or the plugin's `default` (ms)."""
        age = batch.age if batch and batch.age is not None else default
        wait = batch.wait if batch and batch.wait is not None else age
        return cls(wait, max(age, wait) if batch and batch.age is None else age)

    def arrived(self, now: int) -> None:
        """Note that events have been queued."""
        self.last_at = now
        self.first_at = self.first_at or now

    def left(self, now: int) -> int:
        """Return the rest of the wait (ms); 0 if the clock was set back since the arrival."""
        end = min(self.last_at + self.wait, self.first_at + self.age)
        return end - now if now < end <= now + self.age else 0
