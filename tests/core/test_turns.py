"""Turns: the work of many calls on one event loop."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar

import pytest

from walker_collector import turns
from walker_collector.turns import Turns


class Clock:
    """A clock (s) that passes when work is done; stands for the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(turns, "time", made)
    return made


def taking(ms: float, clock: Clock, then: Callable[[], object]) -> Callable[[], None]:
    """Return work that takes so long."""

    def work() -> None:
        clock.now += ms / 1000
        then()

    return work


def test_work_is_done_in_order_and_for_a_short_time_in_each_round(clock: Clock) -> None:
    done: list[int] = []

    async def main() -> list[int]:
        calls = Turns()
        for n in range(9):
            calls.do(taking(1, clock, lambda n=n: done.append(n)))  # type: ignore[misc]
        counts = [len(done)]
        while len(done) < 9:  # bounded: each round does some
            await asyncio.sleep(0)
            counts.append(len(done))
        return counts

    assert asyncio.run(main()) == [2, 4, 6, 8, 9]
    assert done == [*range(9)]


def test_work_that_takes_longer_than_a_turn_is_done_all_the_same(clock: Clock) -> None:
    done: list[int] = []

    async def main() -> None:
        calls = Turns()
        for n in range(3):
            calls.do(taking(50, clock, lambda n=n: done.append(n)))  # type: ignore[misc]
        assert done == [0]
        await asyncio.sleep(0)
        assert done == [0, 1]
        await asyncio.sleep(0)
        assert done == [0, 1, 2]

    asyncio.run(main())


def test_a_later_round_has_a_turn_of_its_own(clock: Clock) -> None:
    done: list[int] = []

    async def main() -> None:
        calls = Turns()
        for n in range(3):
            calls.do(taking(50, clock, lambda n=n: done.append(n)))  # type: ignore[misc]
            await asyncio.sleep(0)
            assert done[-1] == n

    asyncio.run(main())


def test_work_is_done_in_the_context_of_its_call(clock: Clock) -> None:
    tenant = ContextVar[str]("tenant")
    seen: list[str] = []

    async def request(calls: Turns, name: str) -> None:
        tenant.set(name)
        calls.do(taking(50, clock, lambda: seen.append(tenant.get("nobody"))))

    async def main() -> None:
        calls = Turns()
        await asyncio.gather(*[request(calls, name) for name in ("a", "b", "c")])
        while len(seen) < 3:  # bounded: each round does some
            await asyncio.sleep(0)

    asyncio.run(main())
    assert seen == ["a", "b", "c"]
