"""Calls from coroutines: the same as from threads, and the event loop never waits."""

import asyncio
import collections
import sqlite3
import threading
import time
from collections.abc import Awaitable, Coroutine, Iterator, Mapping
from contextvars import ContextVar
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest

from tests.core.support import (
    MARKETING,
    PATIENCE,
    Record,
    config,
    event,
    flow,
    guarded,
    plugin,
    running,
)
from tests.support import exit_status, in_fork
from walker_collector import (
    Collector,
    CollectorClosed,
    EventError,
    PushResult,
    ReentrantCall,
    SpoolFull,
)
from walker_collector.delivery.worker import DestinationWorker
from walker_collector.intake.sink import SpoolSink
from walker_collector.spool.sqlite.group_commit import GroupCommit

T = TypeVar("T")

BOUND = 0.02
"""The longest pause (s) of an event loop."""
_STEPS = 100_000
_STEPS_TIME = 0.004
"""Seconds that so many steps take on the usual machine, a small virtual one of 2025."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, for no longer than a test waits."""

    async def bounded() -> T:
        async with asyncio.timeout(PATIENCE):
            return await main

    return asyncio.run(bounded())


async def seen(holds: Any) -> None:
    """Wait until a condition holds, and give other tasks their turn."""
    while not holds():  # bounded: by `run`
        await asyncio.sleep(0.001)


@attrs.define(eq=False)
class Gated:
    """A destination that takes no event until it is opened."""

    record: Record = attrs.Factory(Record)
    opened: threading.Event = attrs.Factory(threading.Event)

    def push(self, event: dict[str, Any], context: Any) -> None:
        assert self.opened.wait(PATIENCE)
        self.record.push(event, context)


@pytest.fixture
def gated() -> Iterator[Gated]:
    made = Gated()
    yield made
    made.opened.set()


def full(gated: Gated, spool: Path | None, wait: int = 10_000, room: int = 3) -> Any:
    """Return a flow with room for a few events, whose destination takes none for now."""
    made = flow(plugin(gated.push), spool, queue_max=room, queue_wait=wait)
    if spool is None:
        return made
    bounded = attrs.evolve(made.collector.spool, max_events=room)
    return attrs.evolve(made, collector=attrs.evolve(made.collector, spool=bounded))


async def fill(collector: Collector) -> int:
    """Push until there is no more room; return how many events were accepted."""
    await collector.apush(event(0))
    await seen(lambda: collector.status_of("there").in_flight)  # now no event leaves the queue
    for n in range(1, 100):
        if collector.status().full:
            return n
        await collector.apush(event(n))
    raise AssertionError("there is always room")


async def longest_pause(seconds: float) -> float:
    """Return the longest time (s) that the loop has not come round."""
    longest, last = 0.0, time.perf_counter()
    until = last + seconds
    while last < until:
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last - 0.001), now
    return longest


async def longest_round(work: Awaitable[object]) -> float:
    """Return the longest time (s) that the loop's thread has computed before it came round.

    The time that other processes take the machine for does not count, and on a slow machine a
    second counts for less.
    """
    longest, last = 0.0, time.thread_time()
    task = asyncio.ensure_future(work)
    while not task.done():  # bounded: by `run`
        await asyncio.sleep(0.001)
        now = time.thread_time()
        longest, last = max(longest, now - last), now
    return longest / slowness()


def slowness() -> float:
    """Return how many times slower this machine is than the usual one; 1 if it is quicker."""

    def steps() -> float:
        began = time.thread_time()
        collections.deque((number + 1 for number in range(_STEPS)), maxlen=0)
        return time.thread_time() - began

    return max(1.0, min(steps() for _ in range(5)) / _STEPS_TIME)


async def shortest_of_pauses() -> float:
    """Return the longest pause of a quiet while: other processes may take the machine in some."""
    pauses = [await longest_pause(0.05)]
    while min(pauses) >= BOUND and len(pauses) < 20:
        pauses.append(await longest_pause(0.05))
    return min(pauses)


def test_apush_accepts_as_push_does(spool: Path | None) -> None:
    record = Record()

    async def main() -> list[PushResult]:
        async with Collector(flow(plugin(record.push), spool)) as collector:
            first = await collector.apush("order complete", data={"n": 0}, user={"id": "ines"})
            second = await collector.apush(event(1), wait=True, timeout=PATIENCE)
            assert await collector.aflush(PATIENCE)
            return [first, second]

    first, second = run(main())
    assert (dict(first.destinations), dict(second.destinations)) == (
        {"there": "accepted"},
        {"there": "delivered"},
    )
    assert record.numbers == [0, 1]
    assert record.ids == [first.id, second.id]


def test_mistakes_are_raised_where_the_event_is_pushed(spool: Path | None) -> None:
    async def main() -> None:
        async with Collector(flow(plugin(Record().push), spool)) as collector:
            with pytest.raises(EventError, match="did you mean data"):
                await collector.apush("order complete", date={})  # type: ignore[call-arg]
            with pytest.raises(EventError, match="entity action"):
                await collector.apush("order")
            with pytest.raises(EventError, match="timeout is a number"):
                await collector.apush("order complete", wait=True, timeout="1")  # type: ignore[arg-type]
            with pytest.raises(EventError, match="apush_many: takes a list of events, not str"):
                await collector.apush_many("order complete")  # type: ignore[arg-type]
            for wrong, told in {
                lambda c: c.aconsent("marketing"): "aconsent: takes .*; write aconsent",
                lambda c: c.aconsent(MARKETING, user=None): "aconsent: user is None",
                lambda c: c.aconsent(
                    MARKETING, user={"userId": "u1"}
                ): "aconsent: user needs an id",
                lambda c: c.aforget({}): "aforget: user needs an id",
                lambda c: c.aflush("1"): "aflush: timeout is a number",
                lambda c: c.aclose("1"): "aclose: timeout is a number",
            }.items():
                with pytest.raises(EventError, match=f"^{told}"):
                    await wrong(collector)
        with pytest.raises(CollectorClosed):
            await collector.apush(event(0))

    run(main())


def test_timeout_of_a_wait_ends_it_and_the_event_stays(gated: Gated) -> None:
    async def main() -> PushResult:
        with running(flow(plugin(gated.push))) as collector:
            result = await collector.apush(event(0), wait=True, timeout=0.01)
            gated.opened.set()
            assert await collector.aflush(PATIENCE)
            return result

    assert dict(run(main()).destinations) == {"there": "accepted"}
    assert gated.record.numbers == [0]


def test_apush_many_tells_each_event_its_result_and_runs_commands(spool: Path | None) -> None:
    record = Record()

    def events() -> Iterator[Mapping[str, Any]]:
        yield event(0, "ines")
        yield {"name": "oops"}
        yield {"name": "walker consent", "data": MARKETING, "user": {"id": "ines"}}
        yield from (event(n, "ines") for n in range(1, 250))
        raise ZeroDivisionError

    async def main() -> list[Any]:
        async with Collector(guarded(record, spool)) as collector:
            return await collector.apush_many(events())

    results = run(main())
    assert [dict(item.destinations) for item in results[:1] + results[2:4]] == [
        {"there": "held"},
        {},
        {"there": "accepted"},
    ]
    assert isinstance(results[1], EventError)
    assert "apush_many: the iterable of events raised ZeroDivisionError" in str(results[-1])
    assert record.numbers == [*range(250)]


def test_consent_and_erasure_take_effect(spool: Path | None) -> None:
    record = Record()

    async def main() -> None:
        async with Collector(guarded(record, spool)) as collector:
            await collector.apush(event(0, "ines"))
            await collector.apush(event(1, "tomasz"))
            assert await collector.aforget({"id": "tomasz"}) == 1
            assert await collector.aconsent(MARKETING, user={"id": "ines"}) == 0
            assert await collector.aconsent(MARKETING, {"id": "tomasz"}) == 0

    run(main())
    assert record.numbers == [0]


# --- never blocking the loop -----------------------------------------------------------------


def test_loop_goes_on_while_there_is_no_room(
    gated: Gated, spool: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_room, waited_until = DestinationWorker.wait_for_room, []

    def spy(worker: Any, count: int, limit: int, deadline: float, closed: Any) -> bool:
        waited_until.append(deadline - time.monotonic())
        return wait_for_room(worker, count, limit, deadline, closed)

    monkeypatch.setattr(DestinationWorker, "wait_for_room", spy)
    monkeypatch.setattr(SpoolSink, "wait_for_room", None)  # would sleep

    async def main() -> tuple[int, float]:
        async with Collector(full(gated, spool)) as collector:
            accepted = await fill(collector)
            pushes = [asyncio.create_task(collector.apush(event(n))) for n in range(100, 120)]
            longest = await shortest_of_pauses()
            assert not any(push.done() for push in pushes)
            gated.opened.set()
            await asyncio.gather(*pushes)
            return accepted, longest

    accepted, longest = run(main())
    assert max(waited_until, default=0) <= 0
    assert longest < BOUND
    assert gated.record.numbers == [*range(accepted), *range(100, 120)]


def test_loop_goes_on_while_the_disk_is_slow(tmp_path: Path) -> None:
    record, path = Record(), tmp_path / "spool.db"

    async def main() -> float:
        async with Collector(flow(plugin(record.push), path)) as collector:
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")  # nobody else can write now
            calls: list[Any] = [asyncio.create_task(collector.apush(event(0)))]
            calls.append(asyncio.create_task(collector.aconsent(MARKETING, {"id": "u1"})))
            calls.append(asyncio.create_task(collector.apush_many([event(1), event(2)])))
            longest = await shortest_of_pauses()
            assert not any(call.done() for call in calls)
            other.execute("ROLLBACK")
            other.close()
            await asyncio.gather(*calls)
            return longest

    assert run(main()) < BOUND
    assert record.numbers == [0, 1, 2]


@pytest.mark.parametrize("call", ["apush", "apush_many"])
def test_loop_goes_on_while_a_crowd_pushes_at_once(
    call: str, gated: Gated, spool: Path | None
) -> None:
    """From the first call to the end of the wait for room; garbage may be collected in one try."""

    async def one_try(collector: Collector) -> float:
        events = [event(n, f"u{n}") for n in range(1_500)]
        await asyncio.sleep(0)
        if call == "apush":
            pushes = map(collector.apush, events)
            return await longest_round(asyncio.gather(*pushes, return_exceptions=True))
        return await longest_round(collector.apush_many(events))

    async def main() -> list[float]:
        with running(full(gated, spool, wait=100)) as collector:
            await fill(collector)
            rounds = [await one_try(collector)]
            while min(rounds) >= BOUND and len(rounds) < 10:
                rounds.append(await one_try(collector))
            return rounds

    assert min(run(main())) < BOUND


def test_loop_goes_on_while_a_crowd_states_its_consent(spool: Path | None) -> None:
    async def main() -> list[float]:
        with running(guarded(Record(), spool)) as collector:
            rounds: list[float] = []
            while min(rounds, default=1.0) >= BOUND and len(rounds) < 10:
                people = [{"id": f"u{n}"} for n in range(300)]
                calls = (collector.aconsent(MARKETING, user) for user in people)
                rounds.append(await longest_round(asyncio.gather(*calls)))
            return rounds

    assert min(run(main())) < BOUND


def test_cancelled_task_that_waits_for_its_turn_has_accepted_nothing(spool: Path | None) -> None:
    record = Record()

    async def main() -> tuple[list[Any], int]:
        async with Collector(flow(plugin(record.push), spool)) as collector:
            pushes = [asyncio.create_task(collector.apush(event(n))) for n in range(1_000)]
            await asyncio.sleep(0)  # each has called, and most wait
            for push in pushes[1::2]:
                push.cancel()
            results = await asyncio.gather(*pushes, return_exceptions=True)
            assert await collector.aflush(PATIENCE)
            return results, collector.status().accepted

    results, accepted = run(main())
    taken = [n for n, result in enumerate(results) if isinstance(result, PushResult)]
    assert {*range(0, 1_000, 2)} <= {*taken}
    assert 500 <= len(taken) < 1_000
    assert record.numbers == taken
    assert accepted == len(taken)


def test_tasks_are_woken_some_at_a_time(gated: Gated, spool: Path | None) -> None:
    async def main() -> list[int]:
        with running(full(gated, spool, wait=50)) as collector:
            await fill(collector)
            pushes = [asyncio.create_task(collector.apush(event(n))) for n in range(450)]
            ended = [0]
            while ended[-1] < len(pushes):  # bounded: by `run`
                await asyncio.sleep(0)
                ended.append(sum(push.done() for push in pushes))
            await asyncio.gather(*pushes, return_exceptions=True)
            return ended

    # Twice a hundred, where the last of a group and the first of the next are in one round.
    assert max(after - before for before, after in pairwise(run(main()))) <= 200


def test_other_tasks_get_their_turn_while_many_events_are_read() -> None:
    read = 0
    seen_at: list[int] = []

    def events() -> Iterator[Mapping[str, Any]]:
        nonlocal read
        for read in range(1, 1_001):  # looked at by the other task
            yield event(read)

    async def main() -> None:
        async with Collector(flow(plugin(Record().push))) as collector:
            pushing = asyncio.create_task(collector.apush_many(events()))
            while not pushing.done():  # bounded: by `run`
                await asyncio.sleep(0)
                seen_at.append(read)

    run(main())
    assert max(after - before for before, after in pairwise(seen_at)) <= 100
    assert seen_at[-1] == 1_000


def test_a_push_in_memory_makes_no_detour_by_a_thread() -> None:
    async def main() -> list[str]:
        async with Collector(flow(plugin(Record().push))) as collector:
            before = {*threading.enumerate()}
            for n in range(10):
                await collector.apush(event(n))
            return [thread.name for thread in {*threading.enumerate()} - before]

    assert not any(name.startswith("walker-async") for name in run(main()))


def test_pushes_of_many_tasks_are_committed_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    commit = GroupCommit._commit

    def counted(self: GroupCommit, writes: Any) -> None:
        if threading.current_thread().name.startswith("walker-async"):
            commits.append(len(writes))
        commit(self, writes)

    monkeypatch.setattr(GroupCommit, "_commit", counted)

    async def main() -> None:
        async with Collector(flow(plugin(Record().push), tmp_path / "spool.db")) as collector:
            await asyncio.gather(*[collector.apush(event(n)) for n in range(200)])

    run(main())
    assert 1 <= len(commits) <= 5


# --- order, room and the end of waiting ------------------------------------------------------


def test_tasks_are_served_in_the_order_of_their_calls(gated: Gated, spool: Path | None) -> None:
    async def main() -> int:
        async with Collector(full(gated, spool)) as collector:
            accepted = await fill(collector)
            pushes = [asyncio.create_task(collector.apush(event(n))) for n in range(100, 160)]
            await asyncio.sleep(0)
            gated.opened.set()
            later = collector.apush_many([event(n) for n in range(160, 200)])
            await asyncio.gather(*pushes, later)
            return accepted

    accepted = run(main())
    assert gated.record.numbers == [*range(accepted), *range(100, 200)]


def test_all_that_find_no_room_are_told_after_one_wait(gated: Gated, spool: Path | None) -> None:
    async def main() -> tuple[list[Any], float]:
        with running(full(gated, spool, wait=200)) as collector:
            await fill(collector)
            began = time.monotonic()
            pushes = [collector.apush(event(n)) for n in range(50)]
            results = await asyncio.gather(*pushes, return_exceptions=True)
            return results, time.monotonic() - began

    results, took = run(main())
    assert [type(result) for result in results] == [SpoolFull] * 50
    assert 0.2 <= took < 5  # and not 50 times 0.2


def test_call_of_many_events_waits_for_room_once(gated: Gated, spool: Path | None) -> None:
    async def main() -> tuple[list[Any], float, int]:
        with running(full(gated, spool, wait=300)) as collector:
            await fill(collector)
            began = time.monotonic()
            events = [event(n) for n in range(1_000)]
            grant = {"name": "walker consent", "data": MARKETING, "user": {"id": "u1"}}
            results = await collector.apush_many([*events, grant])
            return results[:-1], time.monotonic() - began, collector.status().accepted

    results, took, accepted = run(main())
    assert [type(result) for result in results] == [SpoolFull] * 1_000
    assert 0.3 <= took < 3  # and not 10 times 0.3
    assert gated.record.numbers == []
    assert accepted < 100


def test_cancelled_task_that_waits_for_room_has_accepted_nothing(
    gated: Gated, spool: Path | None
) -> None:
    async def main() -> int:
        async with Collector(full(gated, spool)) as collector:
            accepted = await fill(collector)
            pushes = [asyncio.create_task(collector.apush(event(n))) for n in range(100, 110)]
            await asyncio.sleep(0.05)
            for push in pushes[::2]:
                push.cancel()
            await asyncio.sleep(0)
            gated.opened.set()
            results = await asyncio.gather(*pushes, return_exceptions=True)
            assert [isinstance(item, asyncio.CancelledError) for item in results] == [
                True,
                False,
            ] * 5
            assert await collector.aflush(PATIENCE)
            assert collector.status().accepted == accepted + 5
            return accepted

    accepted = run(main())
    assert gated.record.numbers == [*range(accepted), *range(101, 110, 2)]


def test_event_of_a_cancelled_task_is_accepted_for_all_destinations_or_none(tmp_path: Path) -> None:
    records = {name: Record() for name in ("here", "there")}
    path = tmp_path / "spool.db"
    classes = {name: (plugin(record.push), config()) for name, record in records.items()}

    async def main() -> None:
        async with Collector(flow(classes, path)) as collector:
            for n in range(40):
                push = asyncio.create_task(collector.apush(event(n)))
                await asyncio.sleep(n * 0.0001)
                push.cancel()
                await asyncio.wait([push])
            await collector.apush(event(99))

    run(main())
    assert records["here"].numbers == records["there"].numbers
    assert records["here"].numbers[-1] == 99


def test_cancelled_flush_takes_its_thread_with_it(gated: Gated) -> None:
    async def main() -> None:
        with running(flow(plugin(gated.push))) as collector:
            await collector.apush(event(0))
            assert not await collector.aflush(timeout=0.01)
            flushing = asyncio.create_task(collector.aflush())
            await seen(lambda: any(t.name == "walker-async" for t in threading.enumerate()))
            flushing.cancel()
            await seen(lambda: not any(t.name == "walker-async" for t in threading.enumerate()))
            assert flushing.cancelled()

    run(main())


# --- what the event is -----------------------------------------------------------------------


def test_event_is_taken_as_it_is_at_the_call(gated: Gated, spool: Path | None) -> None:
    async def main() -> None:
        async with Collector(full(gated, spool, room=1)) as collector:
            await fill(collector)
            data = {"n": 100, "items": [1]}
            push = asyncio.create_task(collector.apush("order complete", data=data))
            await asyncio.sleep(0)
            data["items"].append(2)  # type: ignore[union-attr]
            gated.opened.set()
            await push

    run(main())
    assert gated.record.events[-1]["data"] == {"n": 100, "items": [1]}


def test_objects_in_an_event_see_the_context_of_the_call(spool: Path | None) -> None:
    record = Record()
    tenant = ContextVar[str]("tenant")

    class Lazy(Mapping[str, Any]):
        def __getitem__(self, key: str) -> Any:
            return tenant.get("nobody")

        def __iter__(self) -> Iterator[str]:
            return iter(["tenant"])

        def __len__(self) -> int:
            return 1

    async def request(collector: Collector, name: str) -> None:
        tenant.set(name)
        await collector.apush("order complete", data={"n": Lazy()}, user={"id": name})

    async def main() -> None:
        async with Collector(flow(plugin(record.push), spool)) as collector:
            await asyncio.gather(*[request(collector, name) for name in ("a", "b", "c")])

    run(main())
    assert {e["user"]["id"]: e["data"]["n"] for e in record.events} == {
        name: {"tenant": name} for name in ("a", "b", "c")
    }


# --- loops, hooks and the close ----------------------------------------------------------------


def test_several_loops_use_one_collector(spool: Path | None) -> None:
    record = Record()
    with Collector(flow(plugin(record.push), spool)) as collector:
        for n in range(3):
            run(collector.apush(event(n)))
        threads = [
            threading.Thread(target=run, args=(collector.apush(event(n)),)) for n in range(3, 6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert sorted(record.numbers) == [*range(6)]


def test_forked_child_pushes_from_a_loop_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def push(pushed: dict[str, Any], context: Any) -> None:
        with out.open("a") as file:
            file.write(f"{pushed['data']['n']}\n")

    with Collector(flow(plugin(push), tmp_path / "spool.db")) as collector:
        run(collector.apush(event(0)))
        assert collector.flush(PATIENCE)

        async def child() -> None:
            async with collector:
                await collector.apush(event(1))

        assert exit_status(in_fork(lambda: run(child()))) == 0
        assert collector.flush(PATIENCE)
    assert out.read_text() == "0\n1\n"


def test_uvloop_does_as_well(spool: Path | None) -> None:
    uvloop = pytest.importorskip("uvloop")
    record = Record()

    async def main() -> PushResult:
        async with Collector(flow(plugin(record.push), spool)) as collector:
            await collector.apush_many([event(0), event(1)])
            return await collector.apush(event(2), wait=True, timeout=float("inf"))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()).destinations == {"there": "delivered"}
    assert record.numbers == [0, 1, 2]


def test_those_that_wait_for_room_are_told_of_the_close(gated: Gated, spool: Path | None) -> None:
    async def main() -> list[Any]:
        collector = Collector(full(gated, spool))
        await fill(collector)
        pushes = [asyncio.create_task(collector.apush(event(n))) for n in range(5)]
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(collector.aclose(timeout=0))
        results = await asyncio.gather(*pushes, return_exceptions=True)
        assert not await closing
        return results

    assert [type(result) for result in run(main())] == [CollectorClosed] * 5


def test_pushes_before_a_close_are_accepted(tmp_path: Path) -> None:
    record = Record()

    async def main() -> None:
        async with Collector(flow(plugin(record.push), tmp_path / "spool.db")) as collector:
            pushes = [asyncio.create_task(collector.apush(event(n))) for n in range(50)]
            await asyncio.sleep(0)
        results = await asyncio.gather(*pushes)
        assert all(isinstance(result, PushResult) for result in results)

    run(main())
    assert record.numbers == [*range(50)]


def test_close_goes_on_though_its_task_is_cancelled(gated: Gated) -> None:
    async def main() -> None:
        collector = Collector(flow(plugin(gated.push)))
        await collector.apush(event(0))
        closing = asyncio.create_task(collector.aclose())
        await seen(lambda: collector.status().closed)
        closing.cancel()
        await asyncio.wait([closing], timeout=PATIENCE)
        gated.opened.set()
        assert await collector.aclose()

    run(main())
    assert gated.record.numbers == [0]


def test_calls_within_a_hook_do_not_wait_for_themselves() -> None:
    told: list[Any] = []
    record = Record()

    async def within(collector: Collector) -> None:
        with pytest.raises(ReentrantCall):
            await collector.apush(event(1), wait=True)
        with pytest.raises(ReentrantCall):
            await collector.aforget({"id": "u1"})
        told.append(await collector.aflush())
        await collector.apush(event(2))
        told.append(await collector.aclose())

    def push(pushed: dict[str, Any], context: Any) -> None:
        record.push(pushed, context)
        if pushed["data"]["n"] == 0:
            run(within(collector))

    collector = Collector(flow(plugin(push)))
    collector.push(event(0))
    record.wait_for(2)
    collector.close()
    assert told == [False, False]
    assert record.numbers == [0, 2]
