"""Backoff and breaker: arithmetic over clocks that are passed in."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walker_collector.config import BreakerConfig, RetryConfig
from walker_collector.delivery.backoff import (
    DOWN_CAP,
    Breaker,
    backoff,
    down_delay,
    exhausted,
    requested_wait,
)

RETRY = RetryConfig(base=500, cap=300_000)


@pytest.mark.parametrize(
    ("failures", "ceiling"), [(1, 500), (2, 1_000), (3, 2_000), (10, 256_000), (11, 300_000)]
)
def test_wait_doubles_with_every_failure_up_to_the_cap(failures: int, ceiling: int) -> None:
    assert backoff(RETRY, failures, lambda: 1.0) == ceiling
    assert backoff(RETRY, failures, lambda: 0.5) == ceiling // 2
    assert backoff(RETRY, failures, lambda: 0.0) == 0


@given(failures=st.integers(1, 10**6), chance=st.floats(0, 1, exclude_max=True))
def test_wait_is_never_beyond_the_cap(failures: int, chance: float) -> None:
    assert 0 <= backoff(RETRY, failures, lambda: chance) <= RETRY.cap


@pytest.mark.parametrize(
    ("after", "wait"),
    [(None, 0), (2.5, 2_500), (10_000, 60_000), (-5, 0), (math.inf, 60_000), (math.nan, 0)],
)
def test_asked_wait_is_honoured_up_to_the_cap(after: float | None, wait: int) -> None:
    assert requested_wait(after, 60_000) == wait


def test_event_is_given_up_by_attempts_or_by_age() -> None:
    assert exhausted(19, 20, age=0, age_max=1_000) == ""
    assert exhausted(20, 20, age=0, age_max=1_000) == "20 attempts"
    assert exhausted(1, 1, age=0, age_max=1_000) == "1 attempt"
    assert exhausted(1, 20, age=5_400_000, age_max=5_400_000) == "1.5 hours"


def test_destination_that_is_down_is_left_alone_for_longer_and_longer() -> None:
    waits = [down_delay(failures) for failures in range(1, 9)]
    assert waits == [15_000, 30_000, 60_000, 120_000, 240_000, 480_000, DOWN_CAP, DOWN_CAP]


def test_breaker_opens_at_the_threshold_and_lets_one_probe_after_the_cooldown() -> None:
    breaker = Breaker(BreakerConfig(threshold=2, cooldown=100))
    breaker.failed(0)
    assert breaker.allows(0)
    breaker.failed(10)
    assert breaker.open
    assert not breaker.allows(109)
    assert breaker.allows(110)
    breaker.probing = breaker.wary
    assert not breaker.allows(110), "one probe at a time"


def test_breaker_closes_after_a_probe_that_went_well() -> None:
    breaker = Breaker(BreakerConfig(threshold=1, cooldown=100))
    breaker.failed(0)
    breaker.probing = breaker.wary
    breaker.succeeded()
    assert not breaker.open
    assert breaker.allows(0)
    breaker.probing = breaker.wary
    assert breaker.allows(0), "closed, any number may be under way"


def test_breaker_waits_again_after_a_probe_that_failed() -> None:
    breaker = Breaker(BreakerConfig(threshold=1, cooldown=100))
    breaker.failed(0)
    breaker.probing = breaker.wary
    breaker.failed(150)
    assert not breaker.allows(249)
    assert breaker.allows(250)
