from attrs import define, field

from walker_dest_customerio.ratelimit import RateLimit


@define
class Clock:
    """A clock that moves only when someone sleeps."""

    now: float = 0.0
    slept: list[float] = field(factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_requests_come_no_faster_than_the_rate() -> None:
    clock = Clock()
    limit = RateLimit(100, clock, clock.sleep)
    for _ in range(510):
        limit.wait()
    assert 4.99 < clock.now < 5.01


def test_a_burst_after_a_rest_is_a_tenth_of_a_seconds_worth() -> None:
    clock = Clock()
    limit = RateLimit(100, clock, clock.sleep)
    clock.now = 60.0
    for _ in range(10):
        limit.wait()
    assert clock.slept == []
    limit.wait()
    assert len(clock.slept) == 1


def test_slow_rate_lets_the_first_request_go_at_once() -> None:
    clock = Clock()
    limit = RateLimit(0.5, clock, clock.sleep)
    limit.wait()
    assert clock.now == 0
    limit.wait()
    assert clock.now == 2
