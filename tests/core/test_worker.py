"""Delivery to a destination: order, retries, breaker, pauses, dead letters, held events, threads.

Real threads; the clock and chance are fakes where a test must decide them.
"""

import contextlib
import sqlite3
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.core.support import (
    MARKETING,
    PATIENCE,
    Clock,
    PushBatch,
    Record,
    config,
    event,
    flow,
    no_file_grows_beyond,
    one,
    plugin,
    running,
    until,
    wake_workers,
)
from walker_collector import (
    Collector,
    DestinationDown,
    DestinationStatus,
    Item,
    Rejected,
    RetryLater,
)
from walker_collector.config import (
    BatchConfig,
    BreakerConfig,
    LoggerConfig,
    RetryConfig,
    RuleConfig,
)


def status(collector: Collector, name: str = "there") -> DestinationStatus:
    return collector.status().destinations[name]


class Server:
    """A destination that fails when and as long as it is told to."""

    def __init__(self) -> None:
        self.record = Record()
        self.calls: list[list[int]] = []
        self.failure: Exception | None = None

    def push(self, event: dict[str, Any], context: Any) -> None:
        self.calls.append([event["data"]["n"]])
        if self.failure is not None:
            raise self.failure
        self.record.push(event, context)

    def push_batch(self, batch: Sequence[Item]) -> None:
        self.calls.append([item.event["data"]["n"] for item in batch])
        if self.failure is not None:
            raise self.failure
        self.record.push_batch(batch)


# --- order and retries -----------------------------------------------------------------------


def test_retry_holds_back_that_person_only() -> None:
    clock, record = Clock(), Record()
    busy = [True]

    def push(event: dict[str, Any], context: Any) -> None:
        if busy[0] and event["user"]["id"] == "a":
            raise RetryLater("busy", after=60)
        record.push(event, context)

    with running(one(plugin(push), retry=RetryConfig()), now=clock) as collector:
        for n, person in enumerate("aabba"):
            collector.push(event(n, person))
        record.wait_for(2)
        until(lambda: (status(collector).due, status(collector).waiting) == (1, 3))
        assert record.numbers == [2, 3]
        busy[0] = False
        clock.advance(59_999)
        wake_workers(collector)
        assert record.numbers == [2, 3]
        clock.advance(1)
        assert collector.flush(PATIENCE)
        assert record.of("a") == [0, 1, 4]


def test_fresh_event_waits_for_no_more_than_one_retry_where_each_is_a_call_of_its_own() -> None:
    clock, quick = Clock(), threading.Event()
    calls: list[int] = []
    quick.set()

    def push(event: dict[str, Any], context: Any) -> None:
        calls.append(event["data"]["n"])
        assert quick.wait(PATIENCE)
        if event["data"]["n"] < 20:
            raise RetryLater("busy", after=60)

    with running(one(plugin(push), retry=RetryConfig()), now=clock) as collector:
        collector.push_many([event(n, f"u{n}") for n in range(20)])
        until(lambda: status(collector).due == 20)
        calls.clear()
        quick.clear()
        clock.advance(60_000)
        collector.flush(timeout=0)
        until(lambda: len(calls) == 1)
        collector.push(event(20, "fresh"))
        quick.set()
        until(lambda: 20 in calls)
        assert calls.index(20) == 1


def once_busy(first: int) -> tuple[list[int], PushBatch]:
    """Return a hook that puts off the first events once, and the numbers of all it was given."""
    calls: list[int] = []

    def push_batch(batch: Sequence[Item]) -> dict[int, Exception]:
        numbers = [item.event["data"]["n"] for item in batch]
        busy = [at for at, n in enumerate(numbers) if n < first and n not in calls]
        calls.extend(numbers)
        return {at: RetryLater("busy") for at in busy}

    return calls, push_batch


@pytest.mark.parametrize("size", [1, 10])
def test_retries_do_not_wait_for_the_end_of_a_backlog(size: int) -> None:
    calls, push_batch = once_busy(first=5)
    cls = plugin(None, push_batch, batch_size=size, linger=0)
    options: dict[str, Any] = {"now": Clock(), "random_": lambda: 0.0}
    with running(one(cls, retry=RetryConfig()), **options) as collector:
        collector.push_many([event(n, f"u{n}") for n in range(500)])
        assert collector.flush(PATIENCE)
    assert sorted(calls) == sorted([*range(500), *range(5)])
    assert max(at for at, n in enumerate(calls) if n < 5) < 100


def test_wait_that_was_asked_for_is_capped() -> None:
    clock, server = Clock(), Server()
    server.failure = RetryLater("busy", after=10**9)
    retry = RetryConfig(cap=60_000)
    with running(one(plugin(server.push), retry=retry), now=clock) as collector:
        collector.push(event(1))
        until(lambda: status(collector).due == 1)
        server.failure = None
        clock.advance(60_000)
        assert collector.flush(PATIENCE)


def test_waits_grow_with_failures_and_chance() -> None:
    clock, server = Clock(), Server()
    server.failure = RetryLater("busy")
    retry = RetryConfig(base=1_000, cap=300_000)
    options = {"now": clock, "random_": lambda: 0.5}
    with running(one(plugin(server.push), retry=retry), **options) as collector:
        collector.push(event(1))
        for tries, wait in enumerate((500, 1_000, 2_000, 4_000), 1):
            while status(collector).retried < tries:
                wake_workers(collector)
            clock.advance(wait - 1)
            wake_workers(collector)
            assert len(server.calls) == tries
            clock.advance(1)
            wake_workers(collector)


def test_attempt_is_counted_for_the_plugin() -> None:
    attempts: list[int] = []

    def push(event: Any, context: Any) -> None:
        attempts.append(context.attempt)
        if len(attempts) < 3:
            raise RetryLater("busy")

    with running(one(plugin(push))) as collector:
        collector.push(event(1))
        assert collector.flush(PATIENCE)
    assert attempts == [1, 2, 3]


# --- the destination as a whole --------------------------------------------------------------


def test_batch_that_fails_as_a_whole_pauses_the_destination() -> None:
    clock, server = Clock(), Server()
    server.failure = RetryLater("over quota", after=30)
    cls = plugin(None, server.push_batch, linger=0)
    with running(one(cls, retry=RetryConfig()), now=clock) as collector:
        collector.push(event(1, "a"))
        wake_workers(collector)
        until(lambda: bool(status(collector).reason))
        collector.push(event(2, "b"))
        wake_workers(collector)
        assert server.calls == [[1]]
        assert (status(collector).waiting, status(collector).reason) == (2, "over quota")
        server.failure = None
        clock.advance(30_000)
        assert collector.flush(PATIENCE)
        assert server.record.numbers == [1, 2]
        assert status(collector).reason == ""


def test_breaker_opens_probes_with_one_event_and_closes() -> None:
    clock, server = Clock(), Server()
    server.failure = RetryLater("500")
    breaker = BreakerConfig(threshold=3, cooldown=10_000)
    retry = RetryConfig(base=1, cap=1)
    with running(one(plugin(server.push), breaker=breaker, retry=retry), now=clock) as collector:
        for n in range(20):
            collector.push(event(n))
        # A retry after less than a millisecond is due at once: the clock may stand still.
        until(lambda: status(collector).state == "failing")
        tried = len(server.calls)
        assert tried == 3
        clock.advance(9_999)
        wake_workers(collector)
        assert len(server.calls) == tried
        clock.advance(1)
        wake_workers(collector)
        until(lambda: len(server.calls) == tried + 1 and status(collector).in_flight == 0)
        assert (status(collector).state, status(collector).reason) == ("failing", "500")
        server.failure = None
        clock.advance(10_000)
        assert collector.flush(PATIENCE)
        assert sorted(server.record.numbers) == list(range(20))
        assert status(collector).state == "ready"
        assert status(collector).dead == 0


def test_probe_of_a_batching_destination_is_one_event() -> None:
    clock, server = Clock(), Server()
    server.failure = RetryLater("500")
    settings: dict[str, Any] = {
        "breaker": BreakerConfig(threshold=1, cooldown=10_000),
        "retry": RetryConfig(),
    }
    cls = plugin(None, server.push_batch, linger=0)
    with running(one(cls, **settings), now=clock, random_=lambda: 0.0) as collector:
        collector.push_many([event(n, f"u{n}") for n in range(10)])
        wake_workers(collector)
        until(lambda: status(collector).state == "failing")
        assert server.calls == [list(range(10))]
        clock.advance(300_000)
        wake_workers(collector)
        until(lambda: len(server.calls) == 2 and status(collector).in_flight == 0)
        assert server.calls[1] == [0]
        server.failure = None
        clock.advance(300_000)
        assert collector.flush(PATIENCE)
        assert server.calls[2:] == [[0], list(range(1, 10))]


def test_destination_that_is_down_keeps_its_events_and_says_why() -> None:
    clock, server = Clock(), Server()
    server.failure = DestinationDown("401: wrong site id")
    with running(one(plugin(server.push)), now=clock) as collector:
        for n in range(5):
            collector.push(event(n))
        until(lambda: status(collector).state == "down")
        assert status(collector).reason == "401: wrong site id"
        assert (status(collector).waiting, status(collector).dead) == (5, 0)
        assert len(server.calls) == 1
        assert not collector.flush(timeout=10), "nothing can go within ten seconds"
        clock.advance(15_000)
        wake_workers(collector)
        until(lambda: len(server.calls) == 2 and status(collector).in_flight == 0)
        server.failure = None
        clock.advance(30_000)
        assert collector.flush(PATIENCE)
        assert server.record.numbers == [0, 1, 2, 3, 4]
        assert status(collector).state == "ready"


@pytest.mark.skipif(sys.platform != "linux", reason="reads the switches of a thread in /proc")
def test_pushes_wake_no_thread_while_the_destination_is_paused(tmp_path: Path) -> None:
    server = Server()
    server.failure = DestinationDown("401")
    flow = one(plugin(server.push), tmp_path / "spool.db")
    with running(flow, now=Clock()) as collector:
        collector.push(event(0))
        until(lambda: status(collector).state == "down" and not status(collector).in_flight)
        (thread,) = [item for item in threading.enumerate() if item.name.startswith("walker-there")]
        before = _switches(thread)
        for n in range(1, 1_001):
            collector.push(event(n))
        assert _switches(thread) - before < 50
        assert len(server.calls) == 1


def _switches(thread: threading.Thread) -> int:
    """Return how often a thread has gone to sleep so far."""
    text = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("voluntary_ctxt_switches")]
    return int(line.split()[1])


def test_event_outlives_any_time_that_its_destination_is_down() -> None:
    clock, server = Clock(), Server()
    server.failure = DestinationDown("401")
    with running(one(plugin(server.push), retry=RetryConfig(age=1_000)), now=clock) as collector:
        collector.push(event(1))
        for _ in range(3):
            until(lambda: status(collector).state == "down" and not status(collector).in_flight)
            clock.advance(10**9)
            wake_workers(collector)
        server.failure = None
        clock.advance(10**9)
        assert collector.flush(PATIENCE)
        assert server.record.numbers == [1]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (DestinationDown("no key"), "no key"),
        (ValueError("ines@example.com"), f"init raised ValueError at {__file__}:"),
    ],
)
def test_destination_that_refuses_to_start_keeps_its_events(
    failure: Exception, reason: str
) -> None:
    clock, record, starts = Clock(), Record(), []

    def init(context: Any) -> None:
        starts.append(context.id)
        if len(starts) == 1:
            raise failure

    with running(one(plugin(record.push, init=init)), now=clock) as collector:
        collector.push(event(1))
        until(lambda: status(collector).state == "down")
        assert status(collector).reason.startswith(reason)
        assert "ines" not in status(collector).reason
        clock.advance(15_000)
        assert collector.flush(PATIENCE)
        collector.push(event(2))
        assert collector.flush(PATIENCE)
    assert record.numbers == [1, 2]
    assert starts == ["there", "there"]


def test_shutdown_is_called_once_and_only_after_a_start() -> None:
    ended: list[str] = []
    used = plugin(Record().push, shutdown=lambda: ended.append("used"))
    unused = plugin(Record().push, shutdown=lambda: ended.append("unused"))
    denied = config(consent={"never": True})
    collector = Collector(flow({"used": (used, config()), "unused": (unused, denied)}))
    collector.push(event(1))
    assert collector.close()
    assert collector.close()
    assert ended == ["used"]


def test_shutdown_that_raises_does_not_stop_the_others() -> None:
    ended: list[str] = []

    def broken() -> None:
        raise OSError("gone")

    cls = plugin(Record().push, shutdown=broken)
    other = plugin(Record().push, shutdown=lambda: ended.append("other"))
    collector = Collector(flow({"a": (cls, config()), "b": (other, config())}))
    collector.push(event(1))
    assert collector.close()
    assert ended == ["other"]


def test_mock_sends_nothing_and_counts_as_delivered() -> None:
    record = Record()
    with running(one(plugin(record.push), mock={"ok": True})) as collector:
        result = collector.push(event(1), wait=True, timeout=PATIENCE)
        assert result.destinations == {"there": "delivered"}
    assert record.events == []


# --- dead letters ----------------------------------------------------------------------------


def test_rejected_event_is_a_dead_letter_at_once() -> None:
    server = Server()
    server.failure = Rejected("field email: not an address")
    with running(one(plugin(server.push))) as collector:
        collector.push(event(1))
        assert collector.flush(PATIENCE)
        (letter,) = collector.dead()
        assert (letter.destination, letter.reason) == ("there", "field email: not an address")
        assert letter.attempts == 1
        assert status(collector).dead == status(collector).died == 1


def test_bug_is_tried_five_times_and_then_a_dead_letter_with_type_and_place() -> None:
    server = Server()
    server.failure = KeyError("total")
    with running(one(plugin(server.push))) as collector:
        collector.push(event(1))
        assert collector.flush(PATIENCE)
        (letter,) = collector.dead()
        assert len(server.calls) == letter.attempts == 5
        assert letter.reason.startswith("given up after 5 attempts: push raised KeyError at ")
        assert "total" not in letter.reason


def test_event_is_given_up_after_its_attempts() -> None:
    calls: list[int] = []

    def push(event: dict[str, Any], context: Any) -> None:
        calls.append(event["data"]["n"])
        if event["data"]["n"] == 1:
            raise RetryLater("500")

    retry = RetryConfig(attempts=3, base=1, cap=1)
    with running(one(plugin(push), retry=retry)) as collector:
        collector.push_many([event(1, "a"), event(2, "a"), event(3, "b")])
        assert collector.flush(PATIENCE)
        (letter,) = collector.dead()
        assert (letter.attempts, letter.reason) == (3, "given up after 3 attempts: 500")
        assert calls.count(1) == 3
        assert sorted(calls[-2:] + calls[:2]) != []
        assert status(collector).delivered == 2


def test_event_is_given_up_when_it_is_too_old() -> None:
    clock, server = Clock(), Server()
    server.failure = RetryLater("busy")
    retry = RetryConfig(age=3_600_000, base=1_000)
    with running(one(plugin(server.push), retry=retry), now=clock) as collector:
        collector.push(event(1))
        until(lambda: status(collector).due == 1)
        clock.advance(3_600_000)
        assert collector.flush(PATIENCE)
        (letter,) = collector.dead()
        assert letter.reason == "given up after 1.0 hours: busy"


def test_outage_does_not_use_up_the_attempts_of_an_event() -> None:
    clock, server = Clock(), Server()
    server.failure = RetryLater("503")
    retry = RetryConfig(attempts=3, base=1, cap=1)
    breaker = BreakerConfig(threshold=1, cooldown=1)
    settings: dict[str, Any] = {"retry": retry, "breaker": breaker}
    cls = plugin(None, server.push_batch, linger=0)
    with running(one(cls, **settings), now=clock) as collector:
        collector.push(event(1))
        while len(server.calls) < 10:
            clock.advance(10)
            wake_workers(collector)
            until(lambda: not status(collector).in_flight)
        server.failure = None
        clock.advance(10)
        assert collector.flush(PATIENCE)
        assert server.record.numbers == [1]
        assert collector.dead() == []


def test_only_so_many_dead_letters_are_kept_the_newest() -> None:
    server = Server()
    server.failure = Rejected("no")
    with running(one(plugin(server.push), dlq_max=3)) as collector:
        for n in range(10):
            collector.push(event(n), wait=True, timeout=PATIENCE)
        until(lambda: status(collector).dead_dropped == 7)
        assert [letter.seq for letter in collector.dead()] == [8, 9, 10]
        assert (status(collector).dead, status(collector).died) == (3, 10)


@pytest.mark.parametrize("durable", [False, True])
def test_replayed_letter_is_delivered_under_its_id(durable: bool, tmp_path: Path) -> None:
    server = Server()
    server.failure = Rejected("no")
    spool = tmp_path / "spool.db" if durable else None
    with running(one(plugin(server.push), spool)) as collector:
        ids = [collector.push(event(n)).id for n in range(3)]
        assert collector.flush(PATIENCE)
        server.failure = None
        letters = collector.dead("there")
        assert collector.replay(letters[::-1]) == 3
        assert collector.replay(letters) == 0
        assert collector.flush(PATIENCE)
        assert server.record.ids == ids
        assert (status(collector).dead, collector.dead()) == (0, [])


@pytest.mark.parametrize("durable", [False, True])
def test_replay_leaves_out_what_is_done_of_an_event(durable: bool, tmp_path: Path) -> None:
    did: list[str] = []
    broken = [True]

    def push(event: Any, context: Any) -> None:
        if context.progress.state("mail") != "done":
            context.progress.begin("mail")
            did.append("mail")
            context.progress.finish("mail")
        context.progress.begin("track")
        if broken[0]:
            raise Rejected("no")
        did.append("track")

    spool = tmp_path / "spool.db" if durable else None
    with running(one(plugin(push), spool)) as collector:
        collector.push(event(1))
        assert collector.flush(PATIENCE)
        broken[0] = False
        assert collector.replay(collector.dead()) == 1
        assert collector.flush(PATIENCE)
    assert did == ["mail", "track"]


def test_buried_letters_are_counted_exactly() -> None:
    server = Server()
    server.failure = Rejected("no")
    with running(one(plugin(server.push))) as collector:
        for n in range(4):
            collector.push(event(n))
        assert collector.flush(PATIENCE)
        letters = collector.dead()
        assert collector.bury(letters[:2]) == 2
        assert collector.bury(letters[:3]) == 1
        assert status(collector).dead == len(collector.dead()) == 1


# --- held for consent ------------------------------------------------------------------------


def test_too_many_held_events_push_out_the_oldest_and_are_counted() -> None:
    record = Record()
    with running(one(plugin(record.push), consent=MARKETING, queue_max=3)) as collector:
        for n in range(5):
            collector.push(event(n))
        assert (status(collector).held, status(collector).dropped) == (3, 2)
        collector.consent(MARKETING, user={"id": "u1"})
        assert collector.flush(PATIENCE)
        assert record.numbers == [2, 3, 4]


def test_event_is_held_for_so_long() -> None:
    clock, record = Clock(), Record()
    settings: dict[str, Any] = {"consent": MARKETING, "queue_age": 1_000}
    with running(one(plugin(record.push), **settings), now=clock) as collector:
        collector.push(event(1))
        clock.advance(1_001)
        collector.push(event(2))
        assert (status(collector).held, status(collector).dropped) == (1, 1)
        collector.consent(MARKETING, user={"id": "u1"})
        assert collector.flush(PATIENCE)
        assert record.numbers == [2]


def test_denied_event_is_dropped_where_nothing_is_queued() -> None:
    record = Record()
    with running(one(plugin(record.push), consent=MARKETING, queue=False)) as collector:
        assert collector.push(event(1)).destinations == {"there": "dropped"}
        assert (status(collector).held, status(collector).dropped) == (0, 1)
        collector.consent(MARKETING, user={"id": "u1"})
        collector.push(event(2))
        assert collector.flush(PATIENCE)
        assert record.numbers == [2]


def test_event_held_by_a_rule_is_looked_at_again_when_its_person_says_something() -> None:
    record = Record()
    rules = {"order": {"complete": RuleConfig(consent={"ads": True})}}
    with running(one(plugin(record.push), mapping=rules)) as collector:
        collector.push(event(1))
        until(lambda: status(collector).held == 1)
        collector.consent(MARKETING, user={"id": "u1"})
        assert collector.flush(PATIENCE)
        assert (record.numbers, status(collector).held) == ([], 1)
        collector.consent({"ads": True}, user={"id": "u1"})
        assert collector.flush(PATIENCE)
        assert record.numbers == [1]


@pytest.mark.parametrize("durable", [False, True])
def test_what_is_done_of_an_event_is_kept_while_it_is_held(durable: bool, tmp_path: Path) -> None:
    did: list[str] = []

    def push(event: Any, context: Any) -> None:
        for part in ("identify", "track"):
            if context.progress.state(part) is None:
                context.progress.begin(part)
                did.append(part)
                context.progress.finish(part)
                if len(did) == 1:
                    collector.consent({"marketing": False}, user={"id": "u1"})
                    raise RetryLater("busy")

    spool = tmp_path / "spool.db" if durable else None
    with running(one(plugin(push), spool, consent=MARKETING)) as collector:
        collector.consent(MARKETING, user={"id": "u1"})
        collector.push(event(1))
        until(lambda: status(collector).held == 1)
        assert did == ["identify"]
        collector.consent(MARKETING, user={"id": "u1"})
        assert collector.flush(PATIENCE)
    assert did == ["identify", "track"]


def test_what_is_done_of_a_held_event_is_known_after_a_restart(tmp_path: Path) -> None:
    did: list[str] = []
    clock, spool = Clock(), tmp_path / "spool.db"

    def push(event: Any, context: Any) -> None:
        for part in ("identify", "track"):
            if context.progress.state(part) is None:
                context.progress.begin(part)
                did.append(part)
                context.progress.finish(part)
                if len(did) == 1:
                    raise RetryLater("busy", after=60)

    with running(one(plugin(push), spool, consent=MARKETING), now=clock) as collector:
        collector.consent(MARKETING, user={"id": "u1"})
        collector.push(event(1))
        until(lambda: status(collector).due == 1)
        collector.consent({"marketing": False}, user={"id": "u1"})
        clock.advance(400_000)
        assert collector.flush(PATIENCE)
        assert status(collector).held == 1
    with running(one(plugin(push), spool, consent=MARKETING), now=clock) as collector:
        collector.consent(MARKETING, user={"id": "u1"})
        assert collector.flush(PATIENCE)
    assert did == ["identify", "track"]


def test_event_waits_for_a_thread_that_cannot_be_had_now(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record, start = Record(), threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with running(one(plugin(record.push))) as collector:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        assert collector.push(event(1)).destinations == {"there": "accepted"}
        assert "destination there: no thread to deliver: can't start new thread" in caplog.text
        monkeypatch.setattr(threading.Thread, "start", start)
        collector.push(event(2))
        assert collector.flush(PATIENCE)
    assert record.numbers == [1, 2]


# --- several threads, several destinations ---------------------------------------------------


def test_concurrency_uses_as_many_threads_and_no_more() -> None:
    record = Record()
    together = threading.Barrier(4)

    def push(event: dict[str, Any], context: Any) -> None:
        if threading.current_thread().name not in record.threads:
            together.wait(PATIENCE)
        record.push(event, context)

    with running(one(plugin(push), concurrency=4)) as collector:
        collector.push_many([event(n, f"u{n}") for n in range(40)])
        assert collector.flush(PATIENCE)
    assert sorted(record.numbers) == list(range(40))
    assert len(record.threads) == 4


def test_slow_destination_does_not_delay_another() -> None:
    record, release = Record(), threading.Event()
    slow = plugin(lambda event, context: release.wait(PATIENCE))
    with running(flow({"slow": (slow, config()), "fast": (plugin(record.push), config())})) as c:
        for n in range(10):
            c.push(event(n))
        record.wait_for(10)
        assert status(c, "slow").waiting == 10
        release.set()


def test_rate_limit_holds_for_every_call() -> None:
    times: list[float] = []
    cls = plugin(lambda event, context: times.append(time.monotonic()))
    with running(one(cls, rate_limit=50, concurrency=3)) as collector:
        collector.push_many([event(n, f"u{n}") for n in range(12)])
        assert collector.flush(PATIENCE)
    assert len(times) == 12
    # Twelve calls at fifty a second, of which a tenth of a second's worth may come at once.
    assert max(times) - min(times) >= (12 - 1) / 50 - 0.1


def test_close_does_not_wait_for_the_rate_limit() -> None:
    record = Record()
    began = time.monotonic()
    with running(one(plugin(record.push), rate_limit=0.01)) as collector:
        collector.push_many([event(n) for n in range(3)])
        record.wait_for(1)
    assert time.monotonic() - began < 10
    assert record.numbers == [0]


def test_hanging_call_is_given_up_and_later_ones_still_arrive() -> None:
    record, release = Record(), threading.Event()
    hung: list[int] = []

    def push(event: dict[str, Any], context: Any) -> None:
        if event["data"]["n"] == 1 and not hung:
            hung.append(1)
            release.wait(PATIENCE)
        record.push(event, context)

    with running(one(plugin(push), timeout=50)) as collector:
        collector.push(event(1, "a"))
        collector.push(event(2, "b"))
        assert collector.flush(PATIENCE)
        assert sorted(record.numbers) == [1, 2]
        release.set()


def test_calls_that_hang_in_one_collector_are_none_of_another_s_trouble() -> None:
    record, release = Record(), threading.Event()
    hanging = plugin(lambda event, context: release.wait(PATIENCE))
    with running(one(hanging, timeout=10)) as collector:
        until(
            lambda: collector.push(event(1, None), wait=True) and status(collector).state == "down"
        )
        with running(one(plugin(record.push), timeout=10_000)) as other:
            other.push(event(2))
            assert other.flush(PATIENCE)
        release.set()
    assert record.numbers == [2]


def test_call_that_was_given_up_marks_no_progress() -> None:
    release, late = threading.Event(), threading.Event()
    said: list[BaseException] = []

    def push(event: Any, context: Any) -> None:
        if context.attempt > 1:
            return
        release.wait(PATIENCE)
        try:
            context.progress.begin("mail")
        except RetryLater as error:
            said.append(error)
        late.set()

    with running(one(plugin(push), timeout=30)) as collector:
        collector.push(event(1))
        assert collector.flush(PATIENCE)
        release.set()
        assert late.wait(PATIENCE)
    assert [str(error) for error in said] == ["this delivery was given up"]


# --- batches ---------------------------------------------------------------------------------


def batching(server: Server, clock: Clock, **batch: Any) -> Any:
    return running(one(plugin(None, server.push_batch), batch=BatchConfig(**batch)), now=clock)


def test_full_batch_goes_at_once_and_the_rest_waits_for_company() -> None:
    clock, server = Clock(), Server()
    with batching(server, clock, size=3, wait=1_000) as collector:
        for n in range(4):
            collector.push(event(n))
        server.record.wait_for(3)
        assert server.calls == [[0, 1, 2]]
        assert collector.flush(PATIENCE), "flush hurries"
        assert server.calls == [[0, 1, 2], [3]]


def test_batch_waits_for_company_after_every_event_but_not_beyond_its_age() -> None:
    clock, server = Clock(), Server()
    with batching(server, clock, size=100, wait=1_000, age=1_500) as collector:
        collector.push(event(0))
        for n in (1, 2):
            clock.advance(700)
            collector.push(event(n))
        collector.push(event(3))
        clock.advance(100)  # to the end of its age: all are there by then
        server.record.wait_for(4)
    assert server.calls == [[0, 1, 2, 3]]


def test_push_that_waits_for_an_answer_does_not_wait_for_company() -> None:
    server = Server()
    with batching(server, Clock(), size=100, wait=3_600_000) as collector:
        result = collector.push(event(1), wait=True, timeout=PATIENCE)
    assert result.destinations == {"there": "delivered"}


# --- spools that fail ------------------------------------------------------------------------


def sql(collector: Collector, statement: str) -> None:
    spool: Any = collector._life.runtime.spool
    spool.core.commits.alone(lambda db: db.execute(statement))


def test_what_the_spool_cannot_take_now_is_recorded_later(tmp_path: Path) -> None:
    record, gate = Record(), threading.Event()

    def push(event: dict[str, Any], context: Any) -> None:
        gate.wait(PATIENCE)
        record.push(event, context)

    spool = tmp_path / "spool.db"
    with running(one(plugin(push), spool)) as collector:
        collector.push(event(1))
        sql(collector, "PRAGMA query_only = ON")
        gate.set()
        record.wait_for(1)
        until(lambda: status(collector).delivered == 1)
        assert collector.status().stored == 1
        sql(collector, "PRAGMA query_only = OFF")
        collector.push(event(2))
        assert collector.flush(PATIENCE)
        assert collector.status().stored == 0
    assert record.numbers == [1, 2]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a worker read again soon from a spool that cannot be read."""
    monkeypatch.setattr("walker_collector.delivery.worker.PAUSE", 0.01)


def test_worker_goes_on_once_the_spool_tells_who_somebody_is(
    impatient: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The start looks at the aliases as well; here only the delivery is to miss them.
    monkeypatch.setattr("walker_collector.spool.sqlite.people_tables.straighten", lambda db: None)
    monkeypatch.setattr("walker_collector.spool.sqlite.mend.mend", lambda *of: None)
    record, spool = Record(), tmp_path / "spool.db"
    with running(one(plugin(record.push, init=failing_init), spool)) as collector:
        for n in (1, 2):
            collector.push(event(n, None, user={"session": "s"}))
    with contextlib.closing(sqlite3.connect(spool)) as db:
        db.execute("ALTER TABLE aliases RENAME TO hidden")
    with running(one(plugin(record.push), spool)) as collector:
        assert not collector.flush(timeout=0.1)
        assert status(collector).waiting == 2
        sql(collector, "ALTER TABLE hidden RENAME TO aliases")
        assert collector.flush(PATIENCE)
    assert record.numbers == [1, 2]


def test_worker_goes_on_once_the_spool_tells_what_somebody_said(
    impatient: None, tmp_path: Path
) -> None:
    record, gate = Record(), threading.Event()
    cls = plugin(record.push, init=lambda context: gate.wait(PATIENCE))
    with running(one(cls, tmp_path / "spool.db")) as collector:
        collector.consent(MARKETING, user={"id": "a"})
        collector.push(event(1, "a"))
        until(lambda: status(collector).in_flight == 1)
        collector.push(event(2, "b"))
        sql(collector, "ALTER TABLE consents RENAME TO hidden")
        gate.set()
        record.wait_for(1)
        assert not collector.flush(timeout=0.1)
        sql(collector, "ALTER TABLE hidden RENAME TO consents")
        assert collector.flush(PATIENCE)
    assert record.numbers == [1, 2]


def test_dead_letters_beyond_the_limit_wait_for_a_spool_that_can_be_written(
    tmp_path: Path,
) -> None:
    server = Server()
    server.failure = Rejected("no")
    with running(one(plugin(server.push), tmp_path / "spool.db", dlq_max=1)) as collector:
        for n in range(2):
            collector.push(event(n), wait=True, timeout=PATIENCE)
        until(lambda: len(collector.dead()) == 1)
        sql(
            collector,
            "CREATE TRIGGER keep BEFORE DELETE ON deliveries "
            "BEGIN SELECT RAISE(ABORT, 'kept'); END",
        )
        collector.push(event(2), wait=True, timeout=PATIENCE)
        until(lambda: len(collector.dead()) == 2)
        sql(collector, "DROP TRIGGER keep")
        collector.push(event(3), wait=True, timeout=PATIENCE)
        until(lambda: [letter.seq for letter in collector.dead()] == [4])
        until(lambda: status(collector).dead == 1)


# --- more than memory takes ------------------------------------------------------------------


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("walker_collector.delivery.window.WINDOW", 20)


def test_backlog_on_disk_is_delivered_in_order(small_window: None, tmp_path: Path) -> None:
    record, gate = Record(), threading.Event()
    cls = plugin(record.push, init=lambda context: gate.wait(PATIENCE))
    with running(one(cls, tmp_path / "spool.db", concurrency=3)) as collector:
        for n in range(300):
            collector.push(event(n, f"u{n % 7}"))
        gate.set()
        for n in range(300, 400):
            collector.push(event(n, f"u{n % 7}"))
        assert collector.flush(PATIENCE)
    assert sorted(record.numbers) == list(range(400))
    for person in range(7):
        assert record.of(f"u{person}") == list(range(person, 400, 7))


def test_held_events_released_into_a_full_window_arrive_once(
    small_window: None, tmp_path: Path
) -> None:
    record = Record()
    spool = tmp_path / "spool.db"
    with running(one(plugin(record.push), spool, consent=MARKETING)) as collector:
        for n in range(60):
            collector.push(event(n, f"u{n % 5}"))
    # A new process: everything is on disk, and nothing was offered to it yet.
    gate = threading.Event()
    cls = plugin(record.push, init=lambda context: gate.wait(PATIENCE))
    with running(one(cls, spool, consent=MARKETING)) as collector:
        assert status(collector).held == 60
        collector.consent(MARKETING)
        for n in range(60, 120):
            collector.push(event(n, f"u{n % 5}"))
        gate.set()
        assert collector.flush(PATIENCE)
    assert sorted(record.numbers) == list(range(120))
    for person in range(5):
        assert record.of(f"u{person}") == list(range(person, 120, 5))


def test_push_after_a_large_refill_is_accepted(small_window: None, tmp_path: Path) -> None:
    record, spool = Record(), tmp_path / "spool.db"
    closed = plugin(record.push, init=failing_init)
    with running(one(closed, spool)) as collector:
        for n in range(38):
            collector.push(event(n, f"u{n}"))
    gate = threading.Event()
    calls = [0]

    def push(event: dict[str, Any], context: Any) -> None:
        calls[0] += 1
        if calls[0] > 11:
            gate.wait(PATIENCE)
        record.push(event, context)

    with running(one(plugin(push), spool, batch=BatchConfig(size=1))) as collector:
        record.wait_for(11)
        until(lambda: status(collector).in_flight == 1)
        for n in range(38, 60):
            collector.push(event(n, f"u{n}"))
        gate.set()
        assert collector.flush(PATIENCE)
    assert record.numbers == list(range(60))


def failing_init(context: Any) -> None:
    raise DestinationDown("not yet")


def test_retries_are_still_due_after_a_restart(tmp_path: Path) -> None:
    clock, server, spool = Clock(), Server(), tmp_path / "spool.db"
    server.failure = RetryLater("busy", after=60)
    with running(one(plugin(server.push), spool, retry=RetryConfig()), now=clock) as collector:
        collector.push(event(1, "a"))
        until(lambda: status(collector).due == 1)
    server.failure = None
    with running(one(plugin(server.push), spool, retry=RetryConfig()), now=clock) as collector:
        collector.push(event(2, "a"))
        collector.push(event(3, "b"))
        server.record.wait_for(1)
        assert server.record.numbers == [3]
        clock.advance(60_000)
        assert collector.flush(PATIENCE)
        assert server.record.numbers == [3, 1, 2]


def test_held_events_beyond_a_lowered_limit_leave_at_the_start(tmp_path: Path) -> None:
    record, spool = Record(), tmp_path / "spool.db"
    with running(one(plugin(record.push), spool, consent=MARKETING)) as collector:
        for n in range(5):
            collector.push(event(n))
    settings: dict[str, Any] = {"consent": MARKETING, "queue_max": 2}
    with running(one(plugin(record.push), spool, **settings)) as collector:
        assert (status(collector).held, status(collector).dropped) == (2, 3)
        assert collector.status().stored == 2
        collector.consent(MARKETING, user={"id": "u1"})
        assert collector.flush(PATIENCE)
    assert record.numbers == [3, 4]


# --- the record ------------------------------------------------------------------------------


def test_what_a_full_disk_keeps_from_being_recorded_is_told_and_delivered_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, record, full = tmp_path / "spool.db", Record(), contextlib.ExitStack()

    def push(event: dict[str, Any], context: Any) -> None:
        record.push(event, context)
        full.enter_context(no_file_grows_beyond(4_096))  # less than a page with its header

    with full:
        collector = Collector(one(plugin(push), path))
        collector.push(event(1))
        until(lambda: status(collector).delivered == 1)
        assert (status(collector).waiting, status(collector).unrecorded) == (0, 1)
        assert not collector.close()
    assert "closed with 1 delivered event not yet recorded in the spool" in caplog.text
    with running(one(plugin(record.push), path)):
        record.wait_for(2)
    assert record.numbers == [1, 1]


# --- the log ---------------------------------------------------------------------------------


def test_dead_letter_is_logged_by_its_event_id(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.failure = Rejected("total: must be a number")
    with running(one(plugin(server.push))) as collector:
        collector.push(event(1, id="o-1"))
        assert collector.flush(PATIENCE)
    (record,) = (item for item in caplog.records if "dead letter" in item.getMessage())
    assert record.name == "walker_collector.destinations.there"
    assert "event o-1 is a dead letter: total: must be a number" in record.getMessage()


def test_destination_that_fails_one_event_at_a_time_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server()
    server.failure = RetryLater("busy")
    breaker = BreakerConfig(threshold=2, cooldown=60_000)
    with running(one(plugin(server.push), breaker=breaker)) as collector:
        collector.push(event(1))
        until(lambda: status(collector).state == "failing")
    told = [item.getMessage() for item in caplog.records if "busy" in item.getMessage()]
    assert told[0] == "destination there: failed events will be retried: busy"
    # Not again as a failure of the destination, nor with a count at the end.
    assert [line for line in told[1:] if "retr" in line] == []


def test_destination_that_fails_again_says_so_at_once(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    breaker = BreakerConfig(threshold=1, cooldown=1)
    flow_ = one(plugin(server.push), breaker=breaker, retry=RetryConfig(base=1, cap=1))
    with running(flow_) as collector:
        for n in range(2):
            server.failure = RetryLater("busy")
            collector.push(event(n))
            until(lambda: status(collector).state == "failing")
            server.failure = None
            assert collector.flush(PATIENCE)
    assert caplog.text.count("destination there is failing, retrying: busy") == 2


def test_log_level_of_a_destination_is_its_own(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.failure = Rejected("no")
    settings = config(logger=LoggerConfig(level="error"))
    with running(flow({"quiet": (plugin(server.push), settings)})) as collector:
        collector.push(event(1))
        assert collector.flush(PATIENCE)
    assert collector.status_of("quiet").died == 1
    assert "dead letter" not in caplog.text
