"""The figures of a destination add up, and the log counts the lines that it leaves out."""

import itertools
import logging
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.core.support import PATIENCE, Record, event, one, plugin, running, until
from tests.support import join
from walker_collector import (
    Collector,
    DestinationStatus,
    Item,
    NotAttempted,
    Rejected,
    RetryLater,
    SpoolError,
)
from walker_collector.config import RetryConfig
from walker_collector.delivery.log_limiter import INTERVAL, TOPIC_INTERVAL, LogLimiter
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import SpoolUpdate

MARKETING = {"marketing": True}


def there(collector: Collector) -> DestinationStatus:
    return collector.status().destinations["there"]


def assert_adds_up(status: DestinationStatus) -> None:
    gained = status.accepted + status.replayed + status.requeued
    ended = status.delivered + status.ignored + status.empty + status.died + status.dropped
    ended += status.notified
    assert gained == ended + status.erased + status.waiting + status.held, attrs.asdict(status)


@pytest.fixture(params=[False, True], ids=["memory", "spool"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "spool.db" if request.param else None


def forget_during(collector: Collector, person: str, then: Callable[[], object]) -> None:
    """Erase a person, and do something as soon as the erasure waits for a delivery in flight."""
    erasing = threading.Thread(target=lambda: collector.forget({"id": person}))
    erasing.start()
    erasures = collector._life.runtime.workers["there"].pending.erasures
    until(lambda: bool(erasures.revoked))
    then()
    erasing.join(PATIENCE)
    assert not erasing.is_alive()


@pytest.mark.parametrize("outcome", ["delivered", "retry", "rejected", "bug", "not attempted"])
@pytest.mark.parametrize("batching", [False, True], ids=["one by one", "in batches"])
def test_event_in_flight_while_its_person_is_erased_is_counted_once(
    batching: bool, outcome: str, spool: Path | None
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def push(event: dict[str, Any], context: Any) -> None:
        began.set()
        assert go_on.wait(PATIENCE)
        if outcome == "retry":
            raise RetryLater("busy")
        if outcome == "rejected":
            raise Rejected("400")
        if outcome == "bug":
            raise KeyError

    def push_batch(batch: Sequence[Item]) -> None:
        push(batch[0].event, batch[0].context)

    cls = plugin(None if batching else push, push_batch if batching else None, linger=0)
    with running(one(cls, spool)) as collector:
        collector.push(event(1, "other" if outcome == "not attempted" else "ana"))
        assert began.wait(PATIENCE)
        collector.push(event(2, "ana"))
        if outcome == "not attempted":
            collector.forget({"id": "ana"})
            go_on.set()
        else:
            forget_during(collector, "ana", go_on.set)
        assert collector.flush(PATIENCE)
        status = there(collector)
        assert_adds_up(status)
        assert (status.waiting, status.in_flight, status.due) == (0, 0, 0)
        arrived = 1 if outcome in ("delivered", "not attempted") else 0
        assert (status.delivered, status.erased) == (arrived, 2 - arrived)


def test_events_erased_while_they_wait_are_counted_and_no_retry_is_left(
    spool: Path | None,
) -> None:
    def push(event: dict[str, Any], context: Any) -> None:
        raise RetryLater("busy")

    retry = RetryConfig(base=3_600_000, cap=3_600_000)
    with running(one(plugin(push), spool, retry=retry)) as collector:
        for n in range(3):
            collector.push(event(n, "ana"))
        until(lambda: there(collector).due == 1)
        assert collector.forget({"id": "ana"}) == 3
        status = there(collector)
        assert (status.waiting, status.due, status.in_flight, status.erased) == (0, 0, 0, 3)
        assert_adds_up(status)


def test_held_events_that_are_erased_are_counted(spool: Path | None) -> None:
    with running(one(plugin(Record().push), spool, consent=MARKETING)) as collector:
        for n in range(3):
            collector.push(event(n, "ana"))
        collector.push(event(4, "bob"))
        assert collector.forget({"id": "ana"}) == 3
        status = there(collector)
        assert (status.held, status.erased) == (1, 3)
        assert_adds_up(status)


def test_change_of_consent_has_a_figure_of_its_own(spool: Path | None) -> None:
    cls = plugin(Record().push, consent=lambda update, state, person: None)
    with running(one(cls, spool)) as collector:
        collector.consent(MARKETING, user={"id": "ana"})
        collector.push(event(1, "ana"))
        assert collector.flush(PATIENCE)
        assert_adds_up(there(collector))
        assert (there(collector).delivered, there(collector).notified) == (1, 1)


def test_event_dropped_at_once_for_lack_of_consent_is_accepted_and_dropped() -> None:
    flow = one(plugin(Record().push), consent=MARKETING, queue=False)
    with running(flow) as collector:
        assert collector.push(event(1)).destinations == {"there": "dropped"}
        assert (there(collector).accepted, there(collector).dropped) == (1, 1)
        assert_adds_up(there(collector))


# --- dead letters ----------------------------------------------------------------------------


def test_exactly_so_many_dead_letters_are_kept_when_many_die_at_once(spool: Path | None) -> None:
    """Eight threads, each with deaths at the same moment as the others."""
    together = threading.Barrier(8)

    def push(event: dict[str, Any], context: Any) -> None:
        together.wait(PATIENCE)
        refused = Rejected("no id")
        refused.status = "invalid"  # type: ignore[attr-defined]  # found without the service
        raise refused

    flow = one(plugin(push, concurrency=8), spool, dlq_max=100)
    with running(flow) as collector:
        for n in range(160):
            collector.push(event(n, None))
        until(lambda: there(collector).died == 160)
        assert collector.flush(PATIENCE)
        until(lambda: there(collector).dead == 100, "the oldest are dropped")
        assert len(collector.dead()) == 100
        assert there(collector).dead_dropped == 60
        assert_adds_up(there(collector))


def test_letters_of_a_few_people_are_bounded_however_many_die() -> None:
    def push(event: dict[str, Any], context: Any) -> None:
        if event["data"]["n"] < 500:
            raise Rejected("400")

    with running(one(plugin(push), dlq_max=10)) as collector:
        for n in range(500):
            collector.push(event(n, f"u{n % 9}"))
        assert collector.flush(PATIENCE)
        # Some are spared beyond the limit: they may have to be queued again.
        until(lambda: 10 <= len(collector.dead()) < 30)
        collector.push(event(500, "u0"), wait=True, timeout=PATIENCE)
        until(lambda: there(collector).dead == 10)
        assert len(collector.dead()) == 10


def told(caplog: pytest.LogCaptureFixture, message: str) -> int:
    """Return how often the log tells a message, those included that it only counts."""
    lines = [record.getMessage() for record in caplog.records if message in record.getMessage()]
    more = [re.search(r"\(and ([\d,]+) more like this\)", line) for line in lines]
    return len(lines) + sum(int(match[1].replace(",", "")) for match in more if match)


def test_log_tells_every_death_by_the_end(caplog: pytest.LogCaptureFixture) -> None:
    def push(event: dict[str, Any], context: Any) -> None:
        raise Rejected("400")

    with running(one(plugin(push))) as collector:
        for n in range(100):
            collector.push(event(n))
        assert collector.flush(PATIENCE)
    assert told(caplog, "is a dead letter") == 100
    assert len([r for r in caplog.records if "is a dead letter" in r.getMessage()]) == 2


def test_lines_that_were_left_out_are_told_when_their_time_has_come(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    limiter = LogLimiter(logging.getLogger("limited"), lambda: now[0])
    for n in range(5):
        limiter.warning("event %s died", n)
    limiter.flush()
    assert [record.getMessage() for record in caplog.records] == ["event 0 died"]
    now[0] = INTERVAL
    limiter.flush()
    limiter.flush()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["event 0 died", "event 4 died (and 3 more like this)"]


def test_lines_of_one_topic_are_told_once_a_minute_and_not_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    limiter = LogLimiter(logging.getLogger("limited"), lambda: now[0])

    def lines() -> list[str]:
        limiter.warning("some fail: %s", "busy", topic="failing")
        limiter.warning("all fail: %s", "busy", topic="failing")
        limiter.flush()
        found = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return found

    assert lines() == ["some fail: busy"]
    now[0] = TOPIC_INTERVAL - 1
    assert lines() == []
    now[0] = TOPIC_INTERVAL
    assert lines() == ["some fail: busy (and 3 more like this)"]
    limiter.flush(due=False)
    assert not caplog.records
    limiter.end("failing")
    assert lines() == ["some fail: busy"]


# --- threads ---------------------------------------------------------------------------------


def test_call_that_gets_no_thread_costs_its_event_no_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record, refused = Record(), [0]
    start = threading.Thread.start

    def no_more(thread: threading.Thread) -> None:
        if thread.name.endswith("-call") and refused[0] < 20:
            refused[0] += 1
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", no_more)
    retry = RetryConfig(base=1, cap=2, attempts=1)
    with running(one(plugin(record.push), timeout=10_000, retry=retry)) as collector:
        collector.push(event(1))
        record.wait_for(1)
        assert collector.flush(PATIENCE)
        assert (there(collector).delivered, there(collector).died) == (1, 0)
    assert refused == [20]


def test_delivery_that_ends_while_its_person_is_removed_is_counted_once(
    spool: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is still waiting when it is removed from the spool, and delivered right then."""
    monkeypatch.setattr("walker_collector.people.erasure.IN_FLIGHT_WAIT", 0.05)
    begun, gate = threading.Event(), threading.Event()

    def push(event: dict[str, Any], context: Any) -> None:
        begun.set()
        assert gate.wait(PATIENCE)

    def look(collector: Collector) -> None:
        until(lambda: not there(collector).in_flight)
        ended.set()

    erase = ConsentStore.erase

    def erase_and_deliver(self: ConsentStore, keys: set[str]) -> Any:
        removed = erase(self, keys)
        gate.set()
        ended.wait(0.5)  # in vain where the delivery waits for the erasure
        return removed

    monkeypatch.setattr(ConsentStore, "erase", erase_and_deliver)
    ended = threading.Event()
    with running(one(plugin(push), spool)) as collector:
        watch = threading.Thread(target=look, args=(collector,))
        collector.push(event(1, "a"))
        assert begun.wait(PATIENCE)
        watch.start()
        collector.forget({"id": "a"})
        assert collector.flush(PATIENCE)
        join(watch)
        assert_adds_up(there(collector))
        assert there(collector).waiting == 0


@pytest.mark.parametrize("failure", [RetryLater("busy"), Rejected("400"), NotAttempted()])
def test_outcome_that_is_being_written_when_forget_stops_waiting_is_counted_once(
    failure: Exception, spool: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walker_collector.people.erasure.IN_FLIGHT_WAIT", 0.05)
    writing, stopped, erasures = threading.Event(), threading.Event(), itertools.count(1)

    def push(event: dict[str, Any], context: Any) -> None:
        raise failure

    with running(one(plugin(push), spool)) as collector:
        pending = collector._life.runtime.workers["there"].pending
        write, erase = pending.state.unacked.write, pending.erasures.erase

        def write_later(updates: Iterable[SpoolUpdate] = ()) -> None:
            writing.set()
            assert stopped.wait(PATIENCE)
            write(updates)

        def erase_and_tell(people: set[str], deadline: float) -> set[int]:
            gone = erase(people, deadline)
            if next(erasures) == 2:  # nothing is waited for any more
                stopped.set()
            return gone

        monkeypatch.setattr(pending.state.unacked, "write", write_later)
        monkeypatch.setattr(pending.erasures, "erase", erase_and_tell)
        collector.push(event(1, "ana"))
        assert writing.wait(PATIENCE)
        collector.forget({"id": "ana"})
        assert collector.flush(PATIENCE)
        status = there(collector)
        assert (status.waiting, status.dead, status.in_flight) == (0, 0, 0)
        # A dead letter was one before it was erased.
        assert (status.died, status.erased) in ((0, 1), (1, 0))
        assert_adds_up(status)
        assert (collector.dead(), collector.status().stored) == ([], 0)


def test_held_event_that_leaves_while_its_person_is_erased_is_counted_once(
    spool: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(one(plugin(Record().push), spool, consent=MARKETING, queue_max=2)) as collector:
        erase = ConsentStore.erase
        more = [event(n, "ana") for n in (3, 4, 5)]
        pushing = threading.Thread(target=collector.push_many, args=(more,))

        def push_and_erase(self: ConsentStore, keys: set[str]) -> Any:
            pushing.start()
            until(lambda: there(collector).accepted == 5)
            return erase(self, keys)

        for n in (1, 2):
            collector.push(event(n, "ana"))
        monkeypatch.setattr(ConsentStore, "erase", push_and_erase)
        collector.forget({"id": "ana"})
        join(pushing)
        status = there(collector)
        assert (status.held, status.waiting) == (0, 0)
        assert status.dropped > 0
        assert_adds_up(status)


def test_erasure_that_the_spool_refuses_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record()

    def refuse(keys: set[str]) -> None:
        raise SpoolError("disk full")

    cls = plugin(record.push)
    with running(one(cls, tmp_path / "spool.db", consent=MARKETING)) as collector:
        collector.push(event(1, "ana"))
        with monkeypatch.context() as full:
            full.setattr(collector._life.runtime.spool, "erase", refuse)
            with pytest.raises(SpoolError):
                collector.forget({"id": "ana"})
        assert there(collector).held == 1
        collector.consent(MARKETING, user={"id": "ana"})
        assert collector.flush(PATIENCE)
        assert record.numbers == [1]
        assert_adds_up(there(collector))
