"""What an application holds in its hands: pushing, waiting, figures, the end."""

import json
import logging
import re
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import pytest

from tests.core.cli_support import walker
from tests.core.support import (
    MARKETING,
    PATIENCE,
    QUICK,
    Clock,
    Record,
    config,
    event,
    flow,
    in_threads,
    one,
    plugin,
    running,
    until,
)
from tests.support import python
from walker_collector import (
    Collector,
    CollectorClosed,
    DestinationDown,
    EventError,
    PluginError,
    PushResult,
    Registry,
    Rejected,
    RetryLater,
    SpoolError,
    SpoolFull,
)
from walker_collector.config import RetryConfig, RuleConfig


def down(event: Any, context: Any) -> None:
    raise DestinationDown("no key")


# --- pushing ---------------------------------------------------------------------------------


def test_event_is_completed_and_delivered(spool: Path | None) -> None:
    record = Record()
    clock = Clock()
    options: dict[str, Any] = {"now": clock, "new_id": lambda: "e1"}
    the_flow = flow(plugin(record.push), spool, user={"plan": "pro"}, globals={"env": "live"})
    with running(the_flow, **options) as collector:
        collector.user({"lang": "de"})
        collector.globals({"release": 7})
        clock.advance(2_500)
        result = collector.push("order complete", data={"n": 1}, user={"id": "u1"})
        assert result == PushResult("e1", {"there": "accepted"})
        assert result.ok
        assert collector.flush(PATIENCE)
    (got,) = record.events
    assert (got["name"], got["entity"], got["action"]) == ("order complete", "order", "complete")
    assert got["user"] == {"plan": "pro", "lang": "de", "id": "u1"}
    assert got["globals"] == {"env": "live", "release": 7}
    assert (got["id"], got["timestamp"], got["timing"]) == ("e1", clock(), 2.5)
    assert got["source"]["count"] == 1


def test_event_is_a_name_with_parts_or_one_mapping_or_both() -> None:
    record = Record()
    with running(flow(plugin(record.push))) as collector:
        collector.push("page view", data={"n": 1})
        collector.push({"name": "page view", "data": {"n": 2}})
        collector.push({"name": "page view"}, data={"n": 3})
        assert collector.flush(PATIENCE)
    assert record.numbers == [1, 2, 3]


def test_ids_are_random_and_of_sixteen_hex_digits() -> None:
    with running(flow(plugin(Record().push))) as collector:
        ids = {collector.push(event(n)).id for n in range(500)}
    assert len(ids) == 500
    assert all(len(id_) == 16 and int(id_, 16) >= 0 for id_ in ids)


@pytest.mark.parametrize(
    ("push", "message"),
    [
        (lambda c: c.push("order"), 'not "entity action"'),
        (lambda c: c.push(7), "an event is a name or a mapping, not int"),
        (lambda c: c.push("a b", dta={}), "dta: unknown part of an event; did you mean data"),
        (lambda c: c.push({"name": "a b"}, dta={}), "dta: unknown part"),
        (lambda c: c.push({}), "event name is missing"),
        (lambda c: c.push("a b", data={"x": object()}), "data.x: an object cannot be written"),
        (lambda c: c.push("a b", data={"x": "x" * 2_000}), "limit is 1,000"),
        (lambda c: c.push("walker consent", data={"a": "yes"}), "consent.a: must be true or false"),
        (lambda c: c.push("walker user", data=None), "walker user: data must be an object"),
        (lambda c: c.consent({}), "must be an object such as"),
        (lambda c: c.consent({"a": True}, user={"email": "x"}), "user needs an id, a device"),
        (lambda c: c.forget({"email": "x"}), "forget: user needs an id, a device"),
    ],
    ids=range(12),
)
def test_what_is_no_event_is_refused_and_nothing_happens(push: Any, message: str) -> None:
    record = Record()
    with running(flow(plugin(record.push), max_bytes=1_000)) as collector:
        with pytest.raises(EventError, match=message):
            push(collector)
        assert collector.status().accepted == 0
    assert record.events == []


def test_commands_may_be_pushed_like_events() -> None:
    record = Record()
    with running(one(plugin(record.push), consent=MARKETING)) as collector:
        collector.push(event(1))
        assert collector.push("walker user", data={"plan": "pro"}).id == ""
        collector.push({"name": "walker globals", "data": {"env": "live"}})
        collector.push("walker consent", data=MARKETING, user={"id": "u1"})
        collector.push(event(2))
        assert collector.flush(PATIENCE)
    assert record.numbers == [1, 2]
    assert (record.events[1]["user"]["plan"], record.events[1]["globals"]) == (
        "pro",
        {"env": "live"},
    )


def test_user_known_by_a_uuid_is_one_person() -> None:
    record, who = Record(), UUID(int=7)
    with running(one(plugin(record.push), consent=MARKETING)) as collector:
        collector.consent(MARKETING, user={"id": who})
        result = collector.push(event(1, user={"id": who}), wait=True, timeout=PATIENCE)
        assert result.destinations == {"there": "delivered"}


# --- waiting ---------------------------------------------------------------------------------


def test_push_that_waits_tells_what_every_destination_said(spool: Path | None) -> None:
    def reject(event: Any, context: Any) -> None:
        raise Rejected("no such list")

    def busy(event: Any, context: Any) -> None:
        raise RetryLater("busy", after=3_600)

    ignoring = config(mapping={"order": {"*": RuleConfig(ignore=True)}})
    slow = config(retry=RetryConfig())
    destinations = {
        "good": (plugin(Record().push), config()),
        "bad": (plugin(reject), config()),
        "busy": (plugin(busy), slow),
        "ignoring": (plugin(Record().push), ignoring),
        "denied": (plugin(Record().push), config(consent=MARKETING)),
        "never": (plugin(Record().push), config(consent=MARKETING, queue=False)),
    }
    with running(flow(destinations, spool)) as collector:
        result = collector.push(event(1), wait=True, timeout=PATIENCE)
        assert result.destinations == {
            "good": "delivered",
            "bad": "failed",
            "busy": "accepted",
            "ignoring": "ignored",
            "denied": "held",
            "never": "dropped",
        }
        assert result.reasons == {
            "bad": "no such list",
            "busy": "will be retried: busy",
            "denied": "consent not granted",
        }
        assert not result.ok


def test_push_waits_no_longer_than_it_is_told() -> None:
    release = threading.Event()
    with running(flow(plugin(lambda event, context: release.wait(PATIENCE)))) as collector:
        began = time.monotonic()
        result = collector.push(event(1), wait=True, timeout=0.05)
        assert time.monotonic() - began < PATIENCE / 2
        assert result.destinations == {"there": "accepted"}
        release.set()


def test_push_does_not_wait_for_a_destination_that_is_left_alone_for_a_while() -> None:
    with running(flow(plugin(down))) as collector:
        for n in range(2):
            began = time.monotonic()
            result = collector.push(event(n), wait=True)
            assert time.monotonic() - began < PATIENCE / 2
            assert result.destinations == {"there": "accepted"}
            assert "no key" in result.reasons["there"]


def test_push_that_nobody_takes_waits_for_nobody() -> None:
    with running(one(plugin(Record().push), consent=MARKETING, queue=False)) as collector:
        result = collector.push(event(1), wait=True)
        assert result.destinations == {"there": "dropped"}
        assert collector.status().destinations["there"].dropped == 1


# --- many at once ----------------------------------------------------------------------------


def test_many_events_are_accepted_but_for_those_refused(spool: Path | None) -> None:
    record = Record()
    with running(one(plugin(record.push), spool, consent=MARKETING)) as collector:
        results = collector.push_many(
            [
                event(1),
                {"name": "order"},
                7,  # type: ignore[list-item]  # that is the point
                {"name": "walker consent", "data": MARKETING, "user": {"id": "u1"}},
                {"name": "walker consent", "data": {}},
                event(2),
            ]
        )
        assert [type(result).__name__ for result in results] == [
            "PushResult",
            "EventError",
            "EventError",
            "PushResult",
            "EventError",
            "PushResult",
        ]
        assert isinstance(results[0], PushResult)
        assert results[0].destinations == {"there": "held"}
        assert collector.flush(PATIENCE)
        assert collector.status().accepted == 2
    assert record.numbers == [1, 2]


def test_large_group_is_stored_in_parts_and_in_order(spool: Path | None) -> None:
    record = Record()
    with running(flow(plugin(record.push), spool)) as collector:
        results = collector.push_many(event(n, f"u{n % 3}") for n in range(1_234))
        assert len({result.id for result in results if isinstance(result, PushResult)}) == 1_234
        assert collector.flush(PATIENCE)
    assert record.numbers == list(range(1_234))


def test_group_that_cannot_be_stored_is_refused_and_no_other(tmp_path: Path) -> None:
    record = Record()
    the_flow = flow(plugin(record.push, init=lambda context: 1 / 0), queue_max=1_000, queue_wait=0)
    with running(the_flow) as collector:
        # The same id twice: what is refused is a place in the list, not an id.
        results = collector.push_many(event(n, id="same") for n in range(1_001))
        assert {type(result) for result in results[:1_000]} == {PushResult}
        assert isinstance(results[1_000], SpoolFull)
        assert collector.status().accepted == 1_000


# --- room ------------------------------------------------------------------------------------


def test_full_queue_refuses_after_the_configured_wait() -> None:
    with running(flow(plugin(down), queue_max=3, queue_wait=30)) as collector:
        for n in range(3):
            collector.push(event(n))
        with pytest.raises(SpoolFull) as caught:
            collector.push(event(3))
        message = str(caught.value)
        assert "destination there: 3 events wait already (collector.queueMax)" in message
        assert "within 30 ms (collector.queueWait); the event was not accepted" in message
        assert collector.status().destinations["there"].waiting == 3
        assert collector.status().accepted == 3


def test_call_of_many_events_waits_in_vain_for_room_once(spool: Path | None) -> None:
    made = flow(plugin(down), spool, queue_max=3, queue_wait=200)
    if spool is not None:
        bounds = attrs.evolve(made.collector.spool, max_events=3)
        made = attrs.evolve(made, collector=attrs.evolve(made.collector, spool=bounds))
    grant = {"name": "walker consent", "data": MARKETING, "user": {"id": "u1"}}
    with running(made) as collector:
        for n in range(3):
            collector.push(event(n))
        began = time.monotonic()
        results = collector.push_many([*[event(n) for n in range(1_100)], *[grant] * 5])
        took = time.monotonic() - began
    assert [type(result) for result in results[:1_100]] == [SpoolFull] * 1_100
    assert 0.2 <= took < 0.6  # and not once for each group


def test_push_waits_for_room_and_is_accepted_when_there_is_some() -> None:
    record, gate = Record(), threading.Event()

    def push(event: Any, context: Any) -> None:
        gate.wait(PATIENCE)
        record.push(event, context)

    with running(flow(plugin(push), queue_max=2, queue_wait=60_000)) as collector:
        for n in range(2):
            collector.push(event(n))
        threading.Timer(0.05, gate.set).start()
        collector.push(event(2))
        assert collector.flush(PATIENCE)
    assert record.numbers == [0, 1, 2]


def test_full_queue_of_one_destination_is_no_reason_to_refuse_what_it_does_not_get() -> None:
    record = Record()
    destinations = {
        "full": (plugin(down), config(consent=MARKETING)),
        "open": (plugin(record.push), config()),
    }
    with running(flow(destinations, queue_max=2, queue_wait=0)) as collector:
        for n in range(9):
            consent = MARKETING if n < 2 else {}
            collector.push(event(n, consent=consent), wait=True, timeout=PATIENCE)
    assert record.numbers == list(range(9))


def test_full_spool_refuses_after_the_configured_wait(tmp_path: Path) -> None:
    the_flow = flow(plugin(down), tmp_path / "spool.db", queue_wait=30)
    assert the_flow.collector.spool
    spool = attrs.evolve(the_flow.collector.spool, max_events=2)
    the_flow = attrs.evolve(the_flow, collector=attrs.evolve(the_flow.collector, spool=spool))
    with running(the_flow) as collector:
        for n in range(2):
            collector.push(event(n))
        with pytest.raises(SpoolFull, match=r"2 events of at most 2 \(spool.maxEvents\)"):
            collector.push(event(2))
        assert collector.status().stored == 2


# --- threads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 4])
def test_events_of_many_threads_arrive_once_and_each_persons_in_order(
    spool: Path | None, concurrency: int
) -> None:
    record = Record()
    failed: set[int] = set()

    def push(event: dict[str, Any], context: Any) -> None:
        n = event["data"]["n"]
        if n % 7 == 0 and n not in failed:
            failed.add(n)
            raise RetryLater("once")
        record.push(event, context)

    with running(one(plugin(push), spool, concurrency=concurrency, retry=QUICK)) as collector:

        def pusher(thread: int) -> None:
            for n in range(200):
                collector.push(event(thread * 1_000 + n, f"u{thread}-{n % 5}"))

        in_threads(*(lambda thread=thread: pusher(thread) for thread in range(6)))
        assert collector.flush(PATIENCE)
        assert collector.status().accepted == 1_200
        assert collector.status().destinations["there"].delivered == 1_200
    assert len(record.numbers) == len(set(record.numbers)) == 1_200
    arrived: dict[str, list[int]] = defaultdict(list)
    for item in record.events:
        arrived[item["user"]["id"]].append(item["data"]["n"])
    assert all(numbers == sorted(numbers) for numbers in arrived.values())


def test_logins_from_many_threads_never_wait_for_each_other(tmp_path: Path) -> None:
    record = Record()
    with running(one(plugin(record.push), tmp_path / "spool.db", concurrency=2)) as collector:

        def visit(thread: int) -> None:
            for n in range(150):
                session = f"s{thread}-{n}"
                collector.push(event(2 * n, user={"session": session}))
                user = {"session": session, "id": f"u{thread}-{n % 10}"}
                collector.push(event(2 * n + 1, user=user))

        in_threads(*(lambda thread=thread: visit(thread) for thread in range(4)))
        assert collector.flush(PATIENCE)
    assert len(record.numbers) == 1_200


# --- figures ---------------------------------------------------------------------------------


def test_status_tells_what_became_of_everything(spool: Path | None) -> None:
    clock = Clock()

    def push(event: dict[str, Any], context: Any) -> None:
        if event["data"]["n"] == 1:
            raise Rejected("no")
        if event["data"]["n"] == 2:
            raise RetryLater("busy", after=60)

    rules = {"cart": {"*": RuleConfig(ignore=True)}, "ad": {"*": RuleConfig(consent=MARKETING)}}
    settings: dict[str, Any] = {"mapping": rules, "retry": RetryConfig()}
    with running(one(plugin(push), spool, **settings), now=clock) as collector:
        for n, name in enumerate(["order complete"] * 3 + ["cart add", "ad click"]):
            collector.push({**event(n, f"u{n}"), "name": name})
        until(lambda: collector.status().destinations["there"].held == 1)
        clock.advance(1_500)
        status = collector.status()
        there = status.destinations["there"]
        assert (status.accepted, status.durable) == (5, spool is not None)
        assert there.state == "ready"
        assert (there.accepted, there.delivered, there.ignored, there.held) == (5, 1, 1, 1)
        assert (there.dead, there.waiting, there.due, there.retried) == (1, 1, 1, 1)
        assert there.oldest_age == 1.5
        assert status.stored == (3 if spool else 1)


def test_destination_sees_its_own_figures() -> None:
    seen: list[int] = []

    def push(event: Any, context: Any) -> None:
        seen.append(context.destination.status().waiting)

    with running(flow(plugin(push))) as collector:
        collector.push(event(1))
        assert collector.flush(PATIENCE)
    assert seen == [1]


def test_events_of_a_destination_that_the_flow_lost_are_kept_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool, record = tmp_path / "spool.db", Record()
    old = {"old": (plugin(down), config()), "there": (plugin(record.push), config())}
    with running(flow(old, spool)) as collector:
        for n in range(3):
            collector.push(event(n))
        record.wait_for(3)
    with caplog.at_level(logging.WARNING), running(flow(plugin(record.push), spool)) as collector:
        assert "3 events kept for destination old, which the flow does not have" in (caplog.text)
        assert collector.status().stored == 3
    back = {"old": (plugin(record.push), config())}
    with running(flow(back, spool)) as collector:
        assert collector.flush(PATIENCE)
    assert record.numbers == [0, 1, 2] * 2


def test_what_waits_is_delivered_by_the_rules_of_the_next_start(tmp_path: Path) -> None:
    spool, record = tmp_path / "spool.db", Record()
    with running(one(plugin(down), spool)) as collector:
        collector.push(event(1))
        collector.push({**event(2), "name": "page view"})
    rules = {"order": {"*": RuleConfig(name="purchase")}, "page": {"*": RuleConfig(ignore=True)}}
    with running(one(plugin(record.push), spool, mapping=rules)) as collector:
        assert collector.flush(PATIENCE)
    assert [item["name"] for item in record.events] == ["purchase"]


def test_what_was_held_goes_when_the_next_start_asks_for_less(tmp_path: Path) -> None:
    spool, record = tmp_path / "spool.db", Record()
    with running(one(plugin(record.push), spool, consent=MARKETING)) as collector:
        collector.push(event(1))
    with running(one(plugin(record.push), spool)) as collector:
        assert collector.flush(PATIENCE)
    assert record.numbers == [1]


# --- the end ---------------------------------------------------------------------------------


def test_context_manager_delivers_what_waits(spool: Path | None) -> None:
    record = Record()
    with Collector(flow(plugin(record.push), spool)) as collector:
        for n in range(50):
            collector.push(event(n))
    assert record.numbers == list(range(50))


def test_closed_collector_refuses() -> None:
    collector = Collector(flow(plugin(Record().push)))
    assert collector.close()
    assert collector.close()
    calls: list[Callable[[], object]] = [
        lambda: collector.push(event(1)),
        lambda: collector.consent(MARKETING),
        lambda: collector.forget({"id": "u1"}),
        lambda: collector.replay([]),
    ]
    for call in calls:
        with pytest.raises(CollectorClosed):
            call()
    (error,) = collector.push_many([event(1)])
    assert isinstance(error, CollectorClosed)


def test_close_keeps_what_it_cannot_deliver_in_the_spool(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool, record = tmp_path / "spool.db", Record()
    collector = Collector(flow(plugin(down), spool))
    for n in range(3):
        collector.push(event(n))
    with caplog.at_level(logging.WARNING):
        assert not collector.close(timeout=0.1)
    assert "destination there: closed with 3 events waiting in the spool: no key" in caplog.text
    with running(flow(plugin(record.push), spool)) as collector:
        assert collector.flush(PATIENCE)
    assert record.numbers == [0, 1, 2]


@pytest.mark.parametrize("timeout", [None, 60_000])
def test_close_names_a_call_that_hangs(
    timeout: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def hang(event: Any, context: Any) -> None:
        began.set()
        assert go_on.wait(PATIENCE)

    collector = Collector(one(plugin(hang), timeout=timeout))
    collector.push(event(1))
    assert began.wait(PATIENCE)
    assert not collector.close(timeout=0.1)
    (line,) = [text for text in caplog.messages if "closed with 1 event undelivered" in text]
    assert re.search(r": a call to \w+\.push has been under way for 0\.[1-9] s$", line)
    go_on.set()


def test_a_call_that_hung_at_the_close_is_told_of_the_spool(tmp_path: Path) -> None:
    began, go_on = threading.Event(), threading.Event()

    def hang(event: Any, context: Any) -> None:
        began.set()
        assert go_on.wait(PATIENCE)

    spool = tmp_path / "spool.db"
    collector = Collector(one(plugin(hang), spool))
    sent = collector.push(event(1))
    assert began.wait(PATIENCE)
    assert not collector.close(timeout=0.1)
    told = r"was failing since .*: a call to \w+\.push has been under way for 0\.[1-9] s"
    for command in (("why", spool, "--event", sent.id), ("spool", "status", spool)):
        assert re.search(told, walker(*command).stdout)
    go_on.set()


def test_close_reports_what_is_lost_from_memory(caplog: pytest.LogCaptureFixture) -> None:
    destinations = {
        "down": (plugin(down), config()),
        "held": (plugin(Record().push), config(consent=MARKETING)),
    }
    collector = Collector(flow(destinations))
    for n in range(3):
        collector.push(event(n))
    assert not collector.close(timeout=0.1)
    assert "destination down: closed with 3 events undelivered and 0 held" in caplog.text
    assert "destination held: closed with 0 events undelivered and 3 held" in caplog.text
    assert "lost, since no spool is configured (collector.spool)" in caplog.text


def test_close_waits_as_long_as_the_flow_says() -> None:
    release = threading.Event()
    collector = Collector(
        flow(plugin(lambda event, context: release.wait(PATIENCE)), close_timeout=50)
    )
    collector.push(event(1))
    began = time.monotonic()
    assert not collector.close()
    assert time.monotonic() - began < PATIENCE / 2
    release.set()


def test_close_that_is_interrupted_waits_for_no_delivery(tmp_path: Path) -> None:
    spool, release = tmp_path / "spool.db", threading.Event()
    collector = Collector(flow(plugin(lambda event, context: release.wait(PATIENCE)), spool))
    collector.push(event(1))
    main = threading.get_ident()

    def refused() -> bool:
        try:
            collector.push(event(2))
        except CollectorClosed:
            return True
        return False

    def interrupt() -> None:
        until(refused)
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        collector.close(timeout=600)
    assert time.monotonic() - began < PATIENCE
    with running(flow(plugin(down), spool)) as again:
        assert again.status().stored >= 1
    release.set()


def test_second_close_waits_for_the_first_and_has_its_answer() -> None:
    record, release = Record(), threading.Event()

    def push(event: Any, context: Any) -> None:
        release.wait(PATIENCE)
        record.push(event, context)

    collector = Collector(flow(plugin(push)))
    for n in range(10):
        collector.push(event(n))
    answers: list[tuple[bool, int]] = []

    def close() -> None:
        answers.append((collector.close(timeout=PATIENCE), len(record.events)))

    threads = [threading.Thread(target=close) for _ in range(3)]
    for thread in threads:
        thread.start()
    threads[0].join(0.05)
    release.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert answers == [(True, 10)] * 3
    assert collector.close()


def test_close_needs_no_further_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the interpreter ends, or the system has no more of them."""

    def refuse(function: Any, args: Any) -> int:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    record = Record()
    collector = Collector(flow({"there": (plugin(record.push), config(consent=MARKETING))}))
    collector.push(event(1))
    collector.push(event(2, consent=MARKETING))
    record.wait_for(1)
    monkeypatch.setattr("walker_collector.interrupts.start_new_thread", refuse)
    monkeypatch.setattr("walker_collector.interrupts.start_new_thread", refuse)
    collector.consent(MARKETING, user={"id": "u1"})
    assert collector.close(PATIENCE)
    assert record.numbers == [2, 1]


def test_close_after_one_that_left_something_says_so_again() -> None:
    collector = Collector(flow(plugin(down)))
    collector.push(event(1))
    assert not collector.close(timeout=0.1)
    assert not collector.close(timeout=PATIENCE)


def test_every_push_during_a_close_is_refused_or_accounted_for(
    spool: Path | None, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        record = Record()
        collector = Collector(flow(plugin(record.push), spool))
        accepted: list[int] = []

        def push(collector: Collector = collector, accepted: list[int] = accepted) -> None:
            for n in range(100_000):
                try:
                    collector.push(event(n))
                except (CollectorClosed, SpoolError):
                    return
                accepted.append(n)

        thread = threading.Thread(target=push)
        thread.start()
        record.wait_for(5)
        assert collector.close(timeout=PATIENCE)
        thread.join(PATIENCE)
        assert record.numbers == accepted


def test_failed_start_leaves_the_spool_to_the_next(tmp_path: Path) -> None:
    def broken(self: Any) -> None:
        raise OSError("no config")

    spool = tmp_path / "spool.db"
    with pytest.raises(PluginError, match="raised OSError at"):
        Collector(flow(plugin(down, __init__=broken), spool))
    with running(flow(plugin(down), spool)):
        pass


SCRIPT = """
    import sys
    from pathlib import Path
    from tests.core.support import event, flow, plugin
    from walker_collector import Collector

    out = Path(sys.argv[1])
    def push(event, context):
        with out.open("a") as file:
            file.write(f"{event['data']['n']}\\n")
    def broken():
        raise OSError("cannot end")
    collectors = [Collector(flow(plugin(push, shutdown=broken))) for _ in range(3)]
    for number, collector in enumerate(collectors):
        for n in range(number * 20, number * 20 + 20):
            collector.push(event(n))
    # What becomes of the events of this one depends on threads: nothing closes it.
    collectors[0]._life.close = broken
"""


def test_what_waits_at_exit_is_delivered_although_another_collector_cannot_be_closed(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    done = python(SCRIPT, out)
    delivered = [n for n in map(int, out.read_text().split()) if n >= 20]
    assert sorted(delivered) == list(range(20, 60))
    assert "a collector could not be closed at exit" in done.stderr


def test_flow_from_code_and_from_a_file(tmp_path: Path) -> None:
    record = Record()
    registry = Registry()
    registry.register("mine", plugin(record.push))
    raw = {"destinations": {"there": {"package": "mine"}}}
    with Collector.from_config(raw, registry=registry) as collector:
        collector.push(event(1))
    assert record.numbers == [1]
    path = tmp_path / "flow.json"
    out = tmp_path / "out.ndjson"
    there = {"package": "file", "config": {"settings": {"path": str(out)}}}
    path.write_text(json.dumps({"destinations": {"there": there}}))
    with Collector.from_file(path) as collector:
        collector.push(event(2))
    assert '"n":2' in out.read_text()
