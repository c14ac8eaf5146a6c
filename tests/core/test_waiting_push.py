"""Pushes that wait for their answer: every wait ends, whatever happens meanwhile."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tests.core.support import (
    PATIENCE,
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
from tests.support import join, python
from walker_collector import Collector, NotAttempted, PushResult, Rejected, RetryLater, SpoolError
from walker_collector.config import RetryConfig
from walker_collector.hookspecs import Received

SLOW = RetryConfig(base=600_000, cap=600_000)


def pushed(collector: Collector, *people: str) -> Callable[[], list[PushResult]]:
    """Push an event of each person from a thread of its own, waiting for the answer; return what
    waits for the answers.
    """
    results: dict[int, PushResult] = {}

    def push(n: int, person: str) -> None:
        results[n] = collector.push(event(n, person), wait=True)

    threads = [
        threading.Thread(target=push, args=(n, person), daemon=True)
        for n, person in enumerate(people)
    ]
    before = collector.status().accepted
    for thread in threads:
        thread.start()
    until(lambda: collector.status().accepted == before + len(people))

    def answers() -> list[PushResult]:
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a push waits for ever"
        return [results[n] for n in range(len(people))]

    return answers


class Gate:
    """Holds the first event up until it is opened; the others wait behind it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()

    def push(self, event: dict[str, Any], context: Any) -> None:
        self.reached.set()
        assert self.open.wait(PATIENCE)


def test_push_whose_person_is_erased_is_told_so(spool: Path | None) -> None:
    gate = Gate()
    with running(flow(plugin(gate.push), spool)) as collector:
        first = pushed(collector, "somebody")
        assert gate.reached.wait(PATIENCE)
        waiting = pushed(collector, "ines", "ines", "tomasz")
        assert collector.forget({"id": "ines"}) == 2
        gate.open.set()
        erased = {"there": "erased"}
        assert [result.destinations for result in waiting()] == [
            erased,
            erased,
            {"there": "delivered"},
        ]
        assert waiting()[0].reasons == {"there": "its person was erased"}
        assert first()[0].destinations == {"there": "delivered"}


def test_push_of_a_person_erased_while_it_is_under_way_is_answered(spool: Path | None) -> None:
    gate = Gate()
    with running(flow(plugin(gate.push), spool)) as collector:
        waiting = pushed(collector, "ines")
        assert gate.reached.wait(PATIENCE)
        erasure = threading.Thread(target=collector.forget, args=({"id": "ines"},), daemon=True)
        erasure.start()
        gate.open.set()
        (result,) = waiting()
        assert result.destinations["there"] in ("delivered", "erased")
        erasure.join(PATIENCE)
        assert not erasure.is_alive()


@pytest.mark.parametrize(
    "failure", [RetryLater("busy"), NotAttempted()], ids=["retry", "not tried"]
)
def test_push_of_a_person_erased_while_its_delivery_fails_is_told_so(
    failure: Exception, spool: Path | None
) -> None:
    gate = Gate()

    def push(event: dict[str, Any], context: Any) -> None:
        gate.push(event, context)
        until(lambda: not context.proceed(), "an erasure")
        raise failure

    with running(flow(plugin(push), spool)) as collector:
        waiting = pushed(collector, "ines")
        assert gate.reached.wait(PATIENCE)
        gate.open.set()
        collector.forget({"id": "ines"})
        (result,) = waiting()
        assert result.destinations == {"there": "erased"}


def test_push_that_waits_while_the_collector_closes_is_told_so(spool: Path | None) -> None:
    gate = Gate()
    collector = Collector(flow(plugin(gate.push), spool))
    under_way = pushed(collector, "somebody")
    assert gate.reached.wait(PATIENCE)
    waiting = pushed(collector, "ines", "tomasz")
    assert not collector.close(timeout=0.1)
    for result in [*under_way(), *waiting()]:
        assert result.destinations == {"there": "closed"}
        assert not result.ok
        where = "it waits in the spool" if spool else "it is lost"
        assert where in result.reasons["there"]
    gate.open.set()


def test_push_that_waits_is_answered_by_a_close_that_delivers(spool: Path | None) -> None:
    gate = Gate()
    collector = Collector(flow(plugin(gate.push), spool))
    waiting = pushed(collector, "ines", "tomasz")
    assert gate.reached.wait(PATIENCE)
    threading.Timer(0.05, gate.open.set).start()
    assert collector.close(timeout=PATIENCE)
    assert [result.destinations["there"] for result in waiting()] == ["delivered"] * 2


def test_push_that_waits_for_a_retry_is_answered_before_that(spool: Path | None) -> None:
    def busy(event: Any, context: Any) -> None:
        raise RetryLater("busy")

    with running(one(plugin(busy), spool, retry=SLOW)) as collector:
        (result,) = pushed(collector, "ines")()
        assert result.destinations == {"there": "accepted"}
        assert result.reasons == {"there": "will be retried: busy"}


def test_push_behind_a_retry_of_its_person_is_answered_before_that(spool: Path | None) -> None:
    def push(event: dict[str, Any], context: Any) -> None:
        raise RetryLater("busy")

    with running(one(plugin(push), spool, retry=SLOW)) as collector:
        first = collector.push(event(0, "u"), wait=True, timeout=PATIENCE)
        behind, other = pushed(collector, "u", "v")()
    assert first.reasons == {"there": "will be retried: busy"}
    assert behind.destinations == {"there": "accepted"}
    assert "waits behind an earlier event" in behind.reasons["there"]
    assert other.reasons == first.reasons


def test_push_whose_person_begins_to_wait_for_a_retry_is_answered(spool: Path | None) -> None:
    gate = Gate()

    def push(event: dict[str, Any], context: Any) -> None:
        gate.push(event, context)
        raise RetryLater("busy")

    with running(one(plugin(push), spool, retry=SLOW)) as collector:
        answers = pushed(collector, "u")
        assert gate.reached.wait(PATIENCE)
        later = pushed(collector, "u", "u")
        gate.open.set()
        assert answers()[0].reasons == {"there": "will be retried: busy"}
        assert {"behind" in result.reasons["there"] for result in later()} == {True}


@pytest.mark.parametrize("timeout", [0, -1, 1e300])
def test_any_number_is_a_timeout(timeout: float) -> None:
    record = Record()
    with running(flow(plugin(record.push))) as collector:
        result = collector.push(event(1), wait=True, timeout=timeout)
        assert result.destinations["there"] in ("accepted", "delivered")
        assert collector.flush(PATIENCE)
        assert collector.close(timeout)


ENDING = """
    import sys, threading
    from tests.core.support import event, flow, plugin
    from walker_collector import Collector

    reached = threading.Event()

    def push(event, context):
        reached.set()
        threading.Event().wait()

    collector = Collector(flow(plugin(push), sys.argv[1] or None, close_timeout=300))
    collector.push(event(1))
    reached.wait()
    wait = collector.flush if "flush" in sys.argv else lambda: collector.push(event(2), wait=True)
    threading.Thread(target=wait).start()
"""


@pytest.mark.parametrize("call", ["push", "flush"])
def test_thread_that_waits_does_not_keep_a_process_from_ending(
    call: str, spool: Path | None
) -> None:
    began = time.monotonic()
    done = python(ENDING, spool or "", call, timeout=PATIENCE)
    assert time.monotonic() - began < PATIENCE
    assert f"closed with {'2 events' if call == 'push' else '1 event'}" in done.stderr


def test_destinations_answer_each_for_itself(spool: Path | None) -> None:
    gate, record = Gate(), Record()
    destinations = {
        "slow": (plugin(gate.push), config()),
        "fast": (plugin(record.push), config()),
    }
    with running(flow(destinations, spool)) as collector:
        waiting = pushed(collector, "ines")
        record.wait_for(1)
        until(lambda: collector.status_of("fast").delivered == 1)
        threading.Timer(0.05, gate.open.set).start()
        collector.forget({"id": "ines"})
        (result,) = waiting()
        assert result.destinations["fast"] == "delivered"
        assert result.destinations["slow"] in ("delivered", "erased")


# --- a collector that cannot deliver ---------------------------------------------------------


def test_push_is_answered_where_the_spool_cannot_be_read(tmp_path: Path) -> None:
    record = Record()
    with running(one(plugin(record.push), tmp_path / "spool.db")) as collector:
        consents = collector._life.runtime.consents
        snapshot = consents.snapshot

        def unreadable(people: Any) -> Any:
            raise SpoolError("cannot be read")

        consents.snapshot = unreadable  # type: ignore[method-assign]  # for a while
        (result,) = pushed(collector, "ana")()
        assert result.destinations == {"there": "accepted"}
        assert result.reasons == {"there": "will be tried later: cannot be read"}
        consents.snapshot = snapshot  # type: ignore[method-assign]
        record.wait_for(1)


def test_push_is_answered_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record()
    start = threading.Thread.start

    def no_more(thread: threading.Thread) -> None:
        if thread.name.startswith("walker-there-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with running(one(plugin(record.push))) as collector:
        monkeypatch.setattr(threading.Thread, "start", no_more)
        (result,) = pushed(collector, "ana")()
        assert result.destinations == {"there": "accepted"}
        assert "no thread to deliver" in result.reasons["there"]
        monkeypatch.undo()
        assert collector.flush(PATIENCE)
    assert record.numbers == [0]


def test_push_of_an_event_that_came_before_waits_for_the_first_one(spool: Path | None) -> None:
    gate = Gate()
    with running(flow(plugin(gate.push), spool, recent=60_000)) as collector:
        results: list[PushResult] = []

        def push() -> None:
            results.append(collector.push(event(1, id="e1"), wait=True))

        first, again = threading.Thread(target=push), threading.Thread(target=push)
        first.start()
        assert gate.reached.wait(PATIENCE)
        again.start()
        until(lambda: collector.status().repeated == 1)
        assert not results
        gate.open.set()
        join(first, again)
        push()
        assert [result.destinations for result in results] == [{"there": "delivered"}] * 3


def test_repeats_from_many_threads_are_all_answered_with_what_became_of_the_first(
    spool: Path | None,
) -> None:
    def push(event: dict[str, Any], context: Any) -> None:
        if event["data"]["n"] % 2:
            raise Rejected("odd")

    statuses: set[tuple[bool, str]] = set()
    with running(flow(plugin(push), spool)) as collector:

        def send() -> None:
            for n in range(40):
                decided: Future[PushResult] = Future()
                collector.push_from(None, [Received(event(n, id=f"e{n}"), decided=decided)])
                status = decided.result(PATIENCE).destinations["there"]
                statuses.add((bool(n % 2), status))

        in_threads(*[send] * 8)
        assert collector.status().repeated == 7 * 40
    assert statuses == {(True, "failed"), (False, "delivered")}
