"""How a destination fares: whether a delivery may start, and what outcomes teach."""

from collections.abc import Callable, Sequence
from typing import Literal

from attrs import define, field

from walker_collector.config import RetryConfig
from walker_collector.delivery.dispatch import Outcome
from walker_collector.delivery.retry import Breaker, asked, backoff, down_delay

News = Literal["down", "failing", "retrying", "recovered"]


@define
class Health:
    """The breaker of a destination, and the pauses that its failures as a whole ask for.

    `reason` is why it does not deliver; times in ms.
    """

    retry: RetryConfig
    breaker: Breaker
    random: Callable[[], float]
    reason: str = ""
    down: int = 0
    whole_failures: int = 0
    pause_until: int = 0
    ready: bool = field(default=False)

    @property
    def failing(self) -> bool:
        """Whether it fails for everybody, so that a failure says nothing about one event."""
        return self.breaker.open

    @property
    def state(self) -> str:
        """What it is called in figures: "idle" before its first delivery."""
        if self.down:
            return "down"
        if self.failing:
            return "failing"
        return "ready" if self.ready else "idle"

    def wait(self, now: int) -> int | None:
        """Return how long until a delivery may start; None: until the probe is back."""
        if now < self.pause_until:
            return self.pause_until - now
        if self.breaker.allows(now):
            return 0
        return None if self.breaker.probing else max(1, self.breaker.opens_at - now)

    def blocked_beyond(self, horizon: int) -> bool:
        """Tell whether nothing may start until after `horizon`."""
        return self.pause_until > horizon or (self.failing and self.breaker.opens_at > horizon)

    def judge(self, outcomes: Sequence[Outcome], now: int) -> News | None:
        """Learn from the outcomes of a batch; return what is worth telling."""
        whole = next((item for item in outcomes if item.kind == "back" and item.reason), None)
        if whole is not None:
            return self._fails(whole, now)
        if any(item.kind in ("delivered", "told", "rejected") for item in outcomes):
            return self.recover()
        return self._single_failures(outcomes, now)

    def _single_failures(self, outcomes: Sequence[Outcome], now: int) -> News | None:
        # What was under way when the breaker opened says nothing new; a failed probe does.
        told = self.failing and not self.breaker.probing
        self.breaker.probing = False
        failures = [outcome for outcome in outcomes if outcome.kind == "retry"]
        for outcome in failures:
            self.breaker.failed(now)
            self.reason = outcome.reason
        if not failures or told:
            return None
        return "failing" if self.failing else "retrying"

    def recover(self) -> News | None:
        """Note that it answered well; tell if it had not before."""
        news: News | None = "recovered" if self.down or self.failing else None
        self.breaker.succeeded()
        self.down = self.whole_failures = 0
        self.reason = ""
        return news

    def _fails(self, whole: Outcome, now: int) -> News:
        self.reason = whole.reason
        if whole.down:
            self.down += 1
            self.breaker.probing = False
            pause = down_delay(self.down)
        else:
            self.whole_failures += 1
            self.breaker.failed(now)
            wanted = asked(whole.after, self.retry.cap)
            pause = max(backoff(self.retry, self.whole_failures, self.random), wanted)
        self.pause_until = max(self.pause_until, now + pause)
        return "down" if whole.down else "failing"
