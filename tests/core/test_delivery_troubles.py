"""Trouble of some, trouble of all, and threads that meet anything; with real workers."""

import threading
import time
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.core.support import (
    PATIENCE,
    Clock,
    Record,
    event,
    one,
    plugin,
    running,
    until,
    wake_workers,
)
from tests.core.test_worker import status
from walker_collector import (
    Collector,
    Item,
    NotAttempted,
    NothingToSend,
    Rejected,
    RetryLater,
)
from walker_collector.config import BreakerConfig, RetryConfig, RuleConfig
from walker_collector.delivery.entries_in_flight import Batch, EntriesInFlight

# --- some people's trouble -------------------------------------------------------------------

TROUBLED = {f"u{n}" for n in range(20)}


class Arrivals:
    """A destination that always fails for some people, and notes when the others' events came."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}

    def push(self, event: dict[str, Any], context: Any) -> None:
        if event["user"]["id"] in TROUBLED:
            raise RetryLater("busy")
        self.at[event["data"]["n"]] = time.monotonic()

    def push_batch(self, batch: Sequence[Item]) -> dict[int, Exception]:
        failures: dict[int, Exception] = {}
        for index, item in enumerate(batch):
            try:
                self.push(item.event, item.context)
            except RetryLater as error:
                failures[index] = error
        return failures


@pytest.mark.parametrize("batching", [False, True], ids=["one by one", "in batches"])
@pytest.mark.parametrize("first", [0, 500], ids=["the troubled first", "the troubled last"])
def test_people_in_trouble_delay_nobody_else(batching: bool, first: int) -> None:
    """Twenty of a thousand people always fail; the others' events are there within a second."""
    arrivals = Arrivals()
    cls = plugin(None if batching else arrivals.push, arrivals.push_batch if batching else None)
    pushed: dict[int, float] = {}
    pause = threading.Event()
    with running(one(cls, breaker=BreakerConfig(), retry=RetryConfig())) as collector:
        for burst in range(4):
            for n in range(burst * 250, (burst + 1) * 250):
                pushed[n] = time.monotonic()
                collector.push(event(n, f"u{(n + first) % 1000}"))
            pause.wait(0.3)
        healthy = {n for n in pushed if f"u{(n + first) % 1000}" not in TROUBLED}
        until(lambda: healthy <= arrivals.at.keys(), "the others' events arrive")
    late = {n: arrivals.at[n] - pushed[n] for n in healthy if arrivals.at[n] - pushed[n] > 1.0}
    assert not late


def test_retries_that_are_slow_to_fail_delay_nobody_else() -> None:
    """Each failing call takes a fifth of a second; half of the threads stay free for the others."""
    arrivals, pause = Arrivals(), threading.Event()

    def push(event: dict[str, Any], context: Any) -> None:
        if event["user"]["id"] in TROUBLED:
            pause.wait(0.2)
        arrivals.push(event, context)

    cls = plugin(push, concurrency=4)
    retry = RetryConfig(base=1, cap=50)
    with running(one(cls, breaker=BreakerConfig(), retry=retry)) as collector:
        for n in range(10):
            collector.push(event(n, f"u{n}"))
        until(lambda: status(collector).retried >= 10, "all that are in trouble have failed")
        pushed: dict[int, float] = {}
        for n in range(20, 320):
            pushed[n] = time.monotonic()
            collector.push(event(n, f"u{n}"))
        until(lambda: pushed.keys() <= arrivals.at.keys(), "the others' events arrive")
    late = {n: arrivals.at[n] - at for n, at in pushed.items() if arrivals.at[n] - at > 1.0}
    assert not late


def test_probe_is_an_event_of_somebody_else() -> None:
    """With only one failing event at hand the breaker opens; a newcomer closes it soon."""
    clock, record = Clock(), Record()

    def push(event: dict[str, Any], context: Any) -> None:
        if event["user"]["id"] == "a":
            raise RetryLater("busy")
        record.push(event, context)

    breaker = BreakerConfig(threshold=3, cooldown=60_000)
    retry = RetryConfig(base=1, cap=1)  # less than a millisecond: due at once
    with running(one(plugin(push), breaker=breaker, retry=retry), now=clock) as collector:
        collector.push(event(1, "a"))
        until(lambda: status(collector).state == "failing")
        collector.push(event(2, "a"))
        collector.push(event(3, "b"))
        clock.advance(50)
        wake_workers(collector)
        record.wait_for(1)
        assert record.numbers == [3]
        until(lambda: status(collector).state == "ready")


# --- everybody's trouble ---------------------------------------------------------------------


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "spool"])
@pytest.mark.parametrize("batching", [False, True], ids=["one by one", "in batches"])
@pytest.mark.parametrize("failure", [KeyError("total"), Rejected("400")], ids=["bug", "refusal"])
def test_what_every_event_meets_loses_none(
    failure: Exception, batching: bool, durable: bool, tmp_path: Path
) -> None:
    clock, record = Clock(), Record()
    broken = [True]

    def push(event: dict[str, Any], context: Any) -> None:
        if broken[0]:
            raise failure
        record.push(event, context)

    def push_batch(batch: Sequence[Item]) -> dict[int, Exception]:
        if broken[0]:
            return dict.fromkeys(range(len(batch)), failure)
        record.push_batch(batch)
        return {}

    cls = plugin(None if batching else push, push_batch if batching else None)
    spool = tmp_path / "spool.db" if durable else None
    with running(one(cls, spool, dlq_max=10), now=clock) as collector:
        for n in range(300):
            collector.push(event(n, f"u{n % 40}"))
        until(lambda: status(collector).state == "down")
        until(lambda: status(collector).waiting == 300)
        said = status(collector)
        assert (said.dead, said.dropped, said.dead_dropped) == (0, 0, 0)
        assert "different events of" in said.reason
        assert "were refused in a row" in said.reason
        broken[0] = False
        until(lambda: deliver_later(collector, clock), "everything is delivered")
        assert sorted(record.numbers) == list(range(300))
        for person in range(40):
            theirs = record.of(f"u{person}")
            assert theirs == sorted(theirs)
        said = status(collector)
        assert said.accepted + said.requeued == said.delivered + said.died


def deliver_later(collector: Collector, clock: Clock) -> bool:
    clock.advance(700_000)
    wake_workers(collector)
    return status(collector).delivered == status(collector).accepted


@pytest.mark.parametrize("restarts", [False, True], ids=["goes on", "restarts"])
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "spool"])
def test_part_that_was_refused_like_everybodys_is_tried_again_after_the_recovery(
    durable: bool, restarts: bool, tmp_path: Path
) -> None:
    """Twelve people, all of whose next events have a refused part: no other is left to probe."""
    clock, record = Clock(), Record()
    broken = [True]

    def push(event: dict[str, Any], context: Any) -> None:
        progress = context.progress
        if progress.state("identify") == "rejected":
            raise Rejected(progress.reason("identify"))
        if broken[0]:
            progress.reject("identify", "404")
            raise Rejected("404")
        record.push(event, context)

    the_flow = one(plugin(push), tmp_path / "spool.db" if durable else None)
    with running(the_flow, now=clock) as collector:
        for n in range(60):
            collector.push(event(n, f"u{n % 12}"))
        until(lambda: status(collector).state == "down")
        for _ in range(20):  # each person's next event is refused once more, while all wait
            clock.advance(700_000)
            wake_workers(collector)
        assert status(collector).waiting == 60
        broken[0] = False
        if not (durable and restarts):
            until(lambda: deliver_later(collector, clock), "everything is delivered")
    if durable and restarts:
        with running(the_flow, now=clock) as collector:
            assert collector.flush(PATIENCE)
            assert collector.dead() == []
    assert sorted(record.numbers) == list(range(60))


def test_events_that_are_really_bad_are_dead_letters_after_a_recovery() -> None:
    """Of thirty bad events before good ones, the good arrive and the bad come to an end."""
    clock, record = Clock(), Record()

    def push(event: dict[str, Any], context: Any) -> None:
        if event["data"]["n"] < 30:
            raise Rejected("400")
        record.push(event, context)

    with running(one(plugin(push)), now=clock) as collector:
        for n in range(60):
            collector.push(event(n, f"u{n}"))
        until(lambda: later(collector, clock, 60), "each event is delivered or dead")
        assert sorted(record.numbers) == list(range(30, 60))
        assert status(collector).dead == 30
        assert {letter.reason for letter in collector.dead()} == {"400"}


def later(collector: Collector, clock: Clock, events: int) -> bool:
    clock.advance(700_000)
    wake_workers(collector)
    said = status(collector)
    return said.delivered + said.dead == events and not said.waiting


# --- threads that meet anything --------------------------------------------------------------


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise CancelledError("even so")


def endings() -> list[BaseException]:
    return [
        SystemExit(1),
        KeyboardInterrupt(),
        GeneratorExit(),
        CancelledError(),
        MemoryError(),
        RecursionError(),
        Unspeakable(),
        ValueError("half a \ud800 pair"),
        ValueError("x" * 10**6),
        Rejected("half a \ud800 pair"),
        RetryLater("\udfff", after=float("nan")),
        RetryLater("", after=10**400),
        RetryLater("busy", after=-1e308),
        StopIteration(),
        BaseExceptionGroup("several", [SystemExit(), KeyboardInterrupt()]),
    ]


def raising(error: BaseException) -> Callable[..., Any]:
    def raise_(*_: Any, **__: Any) -> Any:
        raise error

    return raise_


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "spool"])
@pytest.mark.parametrize("ending", endings(), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["push", "push_batch", "init", "condition", "shutdown"])
def test_next_event_arrives_whatever_was_raised(
    where: str, ending: BaseException, durable: bool, tmp_path: Path
) -> None:
    clock, record = Clock(), Record()
    armed = [True]

    def once(*_: Any, **__: Any) -> bool:
        if armed[0]:
            armed[0] = False
            raise ending
        return True

    def push(event: dict[str, Any], context: Any) -> None:
        if where == "push":
            once()
        record.push(event, context)

    def push_batch(batch: Sequence[Item]) -> None:
        once()
        record.push_batch(batch)

    batching = where == "push_batch"
    cls = plugin(
        None if batching else push,
        push_batch if batching else None,
        init=once if where == "init" else None,
        shutdown=raising(ending) if where == "shutdown" else None,
    )
    rule = RuleConfig(condition=once) if where == "condition" else RuleConfig()
    settings: dict[str, Any] = {"mapping": {"order": {"complete": rule}}}
    with running(
        one(cls, tmp_path / "spool.db" if durable else None, **settings), now=clock
    ) as collector:
        collector.push(event(1, "a"))
        until(lambda: where == "shutdown" or (moved(collector, clock) and not armed[0]))
        collector.push(event(2, "b"))
        until(lambda: moved(collector, clock) and 2 in record.numbers, "the next event arrives")
        assert collector.close(PATIENCE)


def moved(collector: Collector, clock: Clock) -> bool:
    clock.advance(700_000)
    wake_workers(collector)
    return True


def test_worker_survives_an_error_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last resort: it is told, the entries go back, in order, and are delivered."""
    record = Record()
    settle_delivered = EntriesInFlight.settle_delivered
    armed = [True]

    def broken(self: EntriesInFlight, batch: Batch) -> None:
        if armed[0]:
            armed[0] = False
            raise SystemExit("not planned")
        settle_delivered(self, batch)

    monkeypatch.setattr(EntriesInFlight, "settle_delivered", broken)
    with running(one(plugin(None, record.push_batch))) as collector:
        collector.push_many([event(n, "a") for n in range(3)])
        assert collector.flush(PATIENCE)
        collector.push(event(3, "a"))
        assert collector.flush(PATIENCE)
    assert record.numbers == [0, 1, 2, 0, 1, 2, 3]


def test_what_asks_nothing_is_counted_as_empty() -> None:
    def push(event: dict[str, Any], context: Any) -> None:
        raise NothingToSend("no device token")

    with running(one(plugin(push))) as collector:
        result = collector.push(event(1), wait=True, timeout=PATIENCE)
        assert (result.destinations, result.reasons) == (
            {"there": "empty"},
            {"there": "no device token"},
        )
        assert (status(collector).empty, status(collector).delivered) == (1, 0)


# --- erasure of somebody whose events are under way ------------------------------------------


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "spool"])
def test_nothing_is_pushed_after_forget_however_long_the_pushes_before_it_take(
    durable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walker_collector.people.erasure.IN_FLIGHT_WAIT", 0.05)
    under_way, forgotten, record = threading.Event(), threading.Event(), Record()

    def push(event: dict[str, Any], context: Any) -> None:
        under_way.set()
        assert forgotten.wait(PATIENCE)
        record.push(event, context)

    with running(one(plugin(push), tmp_path / "spool.db" if durable else None)) as collector:
        collector.push_many([event(n, person) for n, person in enumerate("abcb")])
        assert under_way.wait(PATIENCE)
        collector.forget({"id": "b"})
        forgotten.set()
        assert collector.flush(PATIENCE)
        assert record.numbers == [0, 2]


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "spool"])
@pytest.mark.parametrize("failure", [NotAttempted(), RetryLater("busy")], ids=["asks", "fails"])
def test_nothing_goes_out_after_forget_however_long_the_batch_takes(
    failure: Exception, durable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walker_collector.people.erasure.IN_FLIGHT_WAIT", 0.05)
    under_way, forgotten = threading.Event(), threading.Event()
    allowed: list[bool] = []

    def push_batch(batch: Sequence[Item]) -> dict[int, Exception]:
        under_way.set()
        assert forgotten.wait(PATIENCE)
        allowed.append(batch[0].context.destination.may_proceed(batch[0]))
        return {0: failure}

    spool = tmp_path / "spool.db" if durable else None
    with running(one(plugin(None, push_batch, linger=0), spool)) as collector:
        collector.push(event(1, "a"))
        assert under_way.wait(PATIENCE)
        collector.forget({"id": "a"})
        forgotten.set()
        until(lambda: status(collector).in_flight == 0 and bool(allowed))
        assert collector.flush(PATIENCE)
        assert allowed == [False]
        assert (status(collector).waiting, status(collector).dead) == (0, 0)


# --- plugins that attempt nothing ------------------------------------------------------------


@pytest.mark.parametrize("hook", ["push", "push_batch", "consent"])
def test_event_that_is_never_attempted_waits_between_its_tries_and_ends(
    hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def fail(*_: Any) -> None:
        calls.append(hook)
        raise NotAttempted("later")

    cls = {
        "push": plugin(fail),
        "push_batch": plugin(None, fail, linger=0),
        "consent": plugin(Record().push, consent=fail),
    }[hook]
    with running(one(cls, retry=RetryConfig(base=1, cap=1, attempts=3))) as collector:
        if hook == "consent":
            collector.consent({"marketing": True}, {"id": "a"})
        else:
            result = collector.push(event(1, "a"), wait=True, timeout=PATIENCE)
            assert "not attempted" in result.reasons["there"]
        until(lambda: status(collector).dead == 1, "the event is given up")
        assert len(calls) == 3
        assert "not attempted" in status(collector).reason
        (letter,) = collector.dead()
        assert letter.reason.startswith("given up after 3 attempts: not attempted")
    assert "failed events will be retried: not attempted" in caplog.text


def test_destination_that_attempts_nothing_is_failing_and_keeps_its_events() -> None:
    calls: list[int] = []

    def push_batch(batch: Sequence[Item]) -> dict[int, Exception]:
        calls.append(len(batch))
        return {at: NotAttempted("later") for at in range(len(batch))}

    quick = RetryConfig(base=1, cap=1)
    cls = plugin(None, push_batch, linger=0)
    with running(one(cls, breaker=BreakerConfig(), retry=quick)) as collector:
        collector.push_many([event(n, f"u{n}") for n in range(30)])
        until(lambda: status(collector).state == "failing", "the breaker opens")
        assert "later" in status(collector).reason
        assert (status(collector).waiting, status(collector).dead) == (30, 0)
        assert len(calls) < 40


# --- the end of a collector ------------------------------------------------------------------


def test_batch_under_way_when_a_collector_is_closed_sends_nothing_that_the_next_one_sends(
    tmp_path: Path,
) -> None:
    under_way, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    record = Record()

    def push_batch(batch: Sequence[Item]) -> dict[int, Exception]:
        is_first = not under_way.is_set()
        under_way.set()
        assert not is_first or go_on.wait(PATIENCE)
        may = [item.context.destination.may_proceed(item) for item in batch]
        record.push_batch([item for item, goes in zip(batch, may, strict=True) if goes])
        if is_first:
            ended.set()
        return {at: NotAttempted() for at, goes in enumerate(may) if not goes}

    there = one(plugin(None, push_batch, linger=0), tmp_path / "spool.db")
    closed = Collector(there)
    closed.push_many([event(n, "a") for n in range(3)])
    assert under_way.wait(PATIENCE)
    assert not closed.close(0)
    with running(there) as collector:
        go_on.set()
        assert ended.wait(PATIENCE)
        assert collector.flush(PATIENCE)
    assert record.numbers == [0, 1, 2]


# --- calls that hang -------------------------------------------------------------------------


def test_dead_letter_stays_one_when_the_call_that_hung_records_its_progress_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = threading.Event()

    def push(event: dict[str, Any], context: Any) -> None:
        context.progress.begin("message")

    retry = RetryConfig(base=1, cap=2, attempts=1)
    flow = one(plugin(push), tmp_path / "spool.db", timeout=50, retry=retry)
    with running(flow) as collector:
        spool: Any = collector._life.runtime.spool
        settle = spool.settle

        def settle_late(*args: Any) -> None:
            if not threading.current_thread().name.endswith("-call"):
                settle(*args)
                return
            until(lambda: status(collector).dead == 1)
            settle(*args)
            recorded.set()

        monkeypatch.setattr(spool, "settle", settle_late)
        collector.push(event(1))
        assert recorded.wait(PATIENCE)
        assert [letter.parts for letter in collector.dead()] == [{"message": "begun"}]


def test_calls_that_hang_in_one_collector_do_not_stop_anothers() -> None:
    """Of the same name: each has its own threads, and its own count of those that hang."""
    go_on, record = threading.Event(), Record()

    def hang(event: dict[str, Any], context: Any) -> None:
        assert go_on.wait(PATIENCE)

    limited = {"timeout": 20, "concurrency": 10}
    with running(one(plugin(hang), **limited)) as hanging:
        for n in range(30):
            hanging.push(event(n, f"u{n}"))
        until(lambda: "have not returned" in status(hanging).reason)
        with running(one(plugin(record.push), **limited)) as other:
            for n in range(20):
                other.push(event(n, f"u{n}"))
            record.wait_for(20)
            assert other.flush(PATIENCE)
            assert status(other).retried == 0
        go_on.set()
