"""How a destination fares, and what of it is told."""

import pytest

from walker_collector.config import BreakerConfig, RetryConfig
from walker_collector.delivery.dispatch import DELIVERED, IGNORED, Outcome
from walker_collector.delivery.health import Health
from walker_collector.delivery.retry import Breaker

BUSY = Outcome("retry", "busy")


def health(threshold: int = 3) -> Health:
    breaker = Breaker(BreakerConfig(threshold=threshold, cooldown=1_000))
    return Health(RetryConfig(), breaker, lambda: 0.0)


def test_single_failures_are_told_and_the_opening_of_the_breaker_once() -> None:
    it = health()
    news = [it.judge([BUSY], now=0) for _ in range(5)]
    assert news == ["retrying", "retrying", "failing", None, None]
    assert (it.state, it.reason) == ("failing", "busy")


def test_failed_probe_is_told_as_another_opening() -> None:
    it = health(threshold=1)
    assert it.judge([BUSY], now=0) == "failing"
    it.breaker.started()
    assert it.judge([BUSY], now=1_000) == "failing"
    it.breaker.started()
    assert it.judge([DELIVERED], now=2_000) == "recovered"


def test_failures_of_one_batch_open_the_breaker() -> None:
    assert health().judge([BUSY] * 3, now=0) == "failing"


@pytest.mark.parametrize(
    ("outcomes", "news"),
    [
        ([BUSY, DELIVERED], None),
        ([IGNORED], None),
        ([Outcome("back", "503")], "failing"),
        ([Outcome("back", "no key", down=True)], "down"),
    ],
)
def test_news_of_a_batch(outcomes: list[Outcome], news: str | None) -> None:
    assert health().judge(outcomes, now=0) == news
