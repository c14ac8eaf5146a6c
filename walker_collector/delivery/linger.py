"""The linger: a batch that is not full waits for more events. Pure, over a clock passed in."""

from typing import Self

from attrs import define

from walker_collector.config import BatchConfig


@define
class Linger:
    """The wait of a batch: `wait` ms after every arrival, but at most `age` ms after the first.

    `first_at` and `last_at` are the times (ms) of the first and the last arrival. `is_behind`: some
    of the events had to wait before, behind their person's earlier ones.
    """

    wait: int
    age: int
    first_at: int = 0
    last_at: int = 0
    is_behind: bool = False

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

    def freed(self, now: int) -> None:
        """Note that events are ready that had to wait behind their person's earlier ones."""
        self.arrived(now)
        self.is_behind = True

    def taken(self, now: int, *, is_any_left: bool) -> None:
        """Note that a batch was taken; `is_any_left`: without some that are ready."""
        if not is_any_left:
            self.first_at = 0
        elif not self.is_behind:  # else some are ready for long, behind freed ones
            self.first_at = now
        self.is_behind = self.is_behind and is_any_left

    def left(self, now: int, *, others_in_flight: bool) -> int:
        """Return the rest of the wait (ms); 0 if the clock was set back since the arrival.

        Events that had to wait before linger only while others are in flight, of which more may
        become ready.
        """
        if self.is_behind and not others_in_flight:
            return 0
        end = min(self.last_at + self.wait, self.first_at + self.age)
        return end - now if now < end <= now + self.age else 0
