"""Somebody sets the system's clock, by a day: deliveries, pauses and ages do not notice."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.core.support import PATIENCE, Record, config, event, flow, one, plugin, running, until
from walker_collector import Collector, DestinationStatus, Item, RetryLater
from walker_collector.config import BatchConfig, BreakerConfig, RetryConfig
from walker_collector.moments import SteadyClock, now_ms

DAY = 86_400_000
MARKETING = {"marketing": True}
SetClock = Callable[[int], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Set the system's clock by so many ms from where it was at first."""
    shift, system = [0], time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: system() + shift[0] * 1_000_000)

    def set_by(ms: int) -> None:
        shift[0] = ms

    return set_by


def there(collector: Collector) -> DestinationStatus:
    return collector.status().destinations["there"]


@pytest.fixture(params=[False, True], ids=["memory", "spool"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "spool.db" if request.param else None


@pytest.mark.parametrize("ms", [-DAY, DAY], ids=["back", "forward"])
@pytest.mark.parametrize("waits", ["for a retry", "for the breaker", "as it was asked to"])
def test_waits_pass_as_ever_when_the_clock_is_set(
    waits: str, ms: int, set_clock: SetClock, spool: Path | None
) -> None:
    record, failing = Record(), [True]

    def push_batch(batch: Any) -> Any:
        if not failing[0]:
            record.push_batch(batch)
            return None
        if waits == "as it was asked to":
            raise RetryLater("busy", after=0.2)
        return dict.fromkeys(range(len(batch)), RetryLater("busy"))

    breaker = BreakerConfig(threshold=1 if waits == "for the breaker" else 1_000, cooldown=200)
    retry = RetryConfig(base=100, cap=300)
    settings = config(breaker=breaker, retry=retry)
    cls = plugin(None, push_batch, linger=0)
    with running(flow({"there": (cls, settings)}, spool)) as collector:
        collector.push(event(1))
        until(lambda: bool(there(collector).reason))
        failing[0] = False
        set_clock(ms)
        record.wait_for(1)
        set_clock(-ms)
        collector.push(event(2))
        record.wait_for(2)
        assert collector.flush(PATIENCE)
        assert (there(collector).delivered, there(collector).died) == (2, 0)


@pytest.mark.parametrize("ms", [-DAY, DAY], ids=["back", "forward"])
def test_batch_waits_no_longer_than_its_linger_when_the_clock_is_set(
    ms: int, set_clock: SetClock
) -> None:
    record = Record()
    batch = BatchConfig(size=10, wait=50, age=200)
    with running(one(plugin(None, record.push_batch), batch=batch)) as collector:
        collector.push(event(1))
        set_clock(ms)
        collector.push(event(2))
        record.wait_for(2)
        collector.push(event(3))
        record.wait_for(3)


@pytest.mark.parametrize("ms", [-DAY, 2, DAY], ids=["back", "a little forward", "forward"])
def test_batch_waits_for_more_when_the_clock_was_set(ms: int, set_clock: SetClock) -> None:
    record = Record()
    sizes: list[int] = []

    def push_batch(batch: Sequence[Item]) -> None:
        sizes.append(len(batch))
        record.push_batch(batch)

    batch = BatchConfig(size=50, wait=60_000)
    with running(one(plugin(None, push_batch), batch=batch)) as collector:
        set_clock(ms)
        for n in range(50):
            collector.push(event(n))
        record.wait_for(50)
    assert sizes == [50]


@pytest.mark.parametrize("ms", [-DAY, DAY], ids=["back", "forward"])
def test_held_event_is_not_too_old_as_the_clock_is_set(
    ms: int, set_clock: SetClock, spool: Path | None
) -> None:
    record = Record()
    flow_ = one(plugin(record.push), spool, consent=MARKETING, queue_age=3_600_000)
    with running(flow_) as collector:
        collector.push(event(1, "ana"))
        set_clock(ms)
        collector.push(event(2, "bob"))
        collector.push(event(3, "bob"))
        assert (there(collector).held, there(collector).dropped) == (3, 0)
        collector.consent(MARKETING, user={"id": "ana"})
        record.wait_for(1)


@pytest.mark.parametrize("ms", [-DAY, DAY], ids=["back", "forward"])
def test_event_is_not_given_up_for_an_age_that_the_clock_has_made_up(
    ms: int, set_clock: SetClock, spool: Path | None
) -> None:
    record, failing = Record(), [True]

    def push(event: dict[str, Any], context: Any) -> None:
        if failing[0]:
            raise RetryLater("busy")
        record.push(event, context)

    retry = RetryConfig(base=1, cap=2, attempts=1_000_000, age=3_600_000)
    with running(one(plugin(push), spool, retry=retry)) as collector:
        collector.push(event(1, "before"))
        until(lambda: there(collector).retried > 2)
        set_clock(ms)
        collector.push(event(2, "after"))
        retried = there(collector).retried
        until(lambda: there(collector).retried > retried + 10)
        failing[0] = False
        record.wait_for(2)
        assert there(collector).died == 0


def test_due_time_on_disk_is_bounded_when_the_clock_was_set_back(
    set_clock: SetClock, tmp_path: Path
) -> None:
    record = Record()

    def busy(event: dict[str, Any], context: Any) -> None:
        raise RetryLater("busy", after=0.2)

    retry = RetryConfig(base=200, cap=300)
    set_clock(DAY)
    with running(one(plugin(busy), tmp_path / "spool.db", retry=retry)) as collector:
        collector.push(event(1))
        until(lambda: there(collector).retried > 0)
    set_clock(0)
    with running(one(plugin(record.push), tmp_path / "spool.db", retry=retry)):
        record.wait_for(1)


def test_steady_clock_passes_by_itself_and_an_age_is_the_smaller_of_two(
    set_clock: SetClock,
) -> None:
    clock = SteadyClock()
    start = now_ms()
    assert abs(clock() - start) < 1_000
    set_clock(DAY)
    assert abs(clock() - start) < 1_000
    assert clock.earlier() - start < 1_000
    set_clock(-DAY)
    assert abs(clock() - start) < 1_000
    assert abs(clock.earlier() - now_ms()) < 1_000
    assert SteadyClock(lambda: 5)() == SteadyClock(lambda: 5).earlier() == 5
