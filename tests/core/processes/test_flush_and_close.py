"""The end of a wait in one of several processes: for its own events, whoever delivers them."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.core.processes.shop import delivered, shop
from tests.core.support import PATIENCE, Record, config, flow, join, plugin
from tests.support import wait_until
from walker_collector import Collector
from walker_collector.config import RetryConfig
from walker_collector.delivery.own_entries import OwnEntries
from walker_collector.errors import RetryLater


def event(n: int, person: str) -> dict[str, Any]:
    return {"name": "order complete", "user": {"id": person}, "data": {"n": n}}


class Two:
    """Two collectors on one spool; the first delivers, and fails for people in `failing`."""

    def __init__(self, spool: Path, *others: str) -> None:
        self.record, self.failing = Record(), {""}

        def push(event: dict[str, Any], context: Any) -> None:
            if event["user"]["id"] in self.failing:
                raise RetryLater("busy", after=0.05)
            self.record.push(event, context)

        cls = plugin(push)
        tireless = config(retry=RetryConfig(base=10, cap=50, attempts=100_000))
        self.first = Collector(flow({"there": (cls, tireless)}, spool))
        ids = dict.fromkeys(("there", *others), (cls, tireless))
        self.second = Collector(flow(ids, spool))

    def close(self) -> None:
        self.failing.clear()
        self.first.close()
        self.second.close()


@pytest.mark.parametrize("delivers", [True, False], ids=["deliverer", "other"])
def test_each_process_waits_for_its_own_events_alone(delivers: bool, tmp_path: Path) -> None:
    two = Two(tmp_path / "spool.db")
    two.failing = {"stuck"}
    mine, other = (two.first, two.second) if delivers else (two.second, two.first)
    other.push(event(0, "stuck"))
    mine.push(event(1, "ana"))
    assert mine.flush(PATIENCE)
    assert not other.flush(0.2)
    assert two.record.numbers == [1]
    two.failing.clear()
    assert other.flush(PATIENCE)
    two.close()


def test_a_process_alone_waits_for_what_earlier_ones_have_left(tmp_path: Path) -> None:
    record = Record()
    spool = tmp_path / "spool.db"
    with Collector(flow({"there": (plugin(record.push), config())}, spool, deliver=False)) as web:
        web.push(event(0, "ana"))
    with Collector(flow({"there": (plugin(record.push), config())}, spool)) as collector:
        assert collector.flush(PATIENCE)
        assert record.numbers == [0]


def test_dead_letters_are_waited_for_by_the_process_that_replays_them(tmp_path: Path) -> None:
    record, open_ = Record(), threading.Event()
    refused = [True]

    def push(event: dict[str, Any], context: Any) -> None:
        if refused[0]:
            raise ValueError("refused")
        assert open_.wait(PATIENCE)
        record.push(event, context)

    cls = plugin(push)
    the_flow = flow({"there": (cls, config())}, tmp_path / "spool.db")
    with Collector(the_flow) as first, Collector(the_flow) as second:
        first.push(event(0, "ana"))
        wait_until(lambda: len(second.dead()) == 1)
        refused[0] = False
        assert second.flush(PATIENCE)
        assert second.replay(second.dead()) == 1
        assert not second.flush(0.2)
        open_.set()
        assert second.flush(PATIENCE)
        assert record.numbers == [0]


def took(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def test_close_hands_over_only_what_others_can_deliver(tmp_path: Path) -> None:
    two = Two(tmp_path / "spool.db", "more")
    two.failing = {"stuck"}
    two.second.push(event(0, "stuck"))  # at both
    closing = threading.Thread(target=two.second.close)
    closing.start()
    closing.join(0.3)
    assert closing.is_alive()  # nobody else delivers to `more`
    two.failing.clear()
    join(closing)
    assert two.first.flush(PATIENCE)
    wait_until(lambda: two.record.numbers == [0, 0])
    two.close()


def test_close_is_done_at_once_where_another_process_delivers(tmp_path: Path) -> None:
    two = Two(tmp_path / "spool.db")
    two.failing = {"stuck"}
    two.first.push(event(0, "stuck"))
    two.second.push(event(1, "stuck"))
    assert took(two.first.close) < 5  # `closeTimeout` is 10 s
    two.failing.clear()
    assert two.second.close()  # the last one delivers what both have left
    assert sorted(two.record.numbers) == [0, 1]


def test_close_of_a_process_that_only_accepts_waits_for_nobody(tmp_path: Path) -> None:
    cls = plugin(Record().push)
    accepting = Collector(flow({"there": (cls, config())}, tmp_path / "spool.db", deliver=False))
    accepting.push(event(0, "ana"))
    answers: list[bool] = []
    assert took(lambda: answers.append(accepting.close())) < 5
    assert answers == [False]  # it waits in the spool


def test_own_numbers_are_runs_between_those_of_others() -> None:
    own = OwnEntries(5)
    assert own.are_all
    own.add(6, 7)
    own.add(9, 9)
    assert own.runs == [(0, 9)]
    own.others_added()
    own.add(12, 13)
    assert not own.are_all
    assert [n for n in range(1, 15) if n in own] == [*range(1, 10), 12, 13]
    for n in range(20, 2_000, 2):
        own.others_added()
        own.add(n, n)
    assert len(own.runs) <= 100
    assert all(n in own for n in (*range(1, 10), 12, 13, *range(20, 2_000, 2)))
    assert 1_997 not in own
    other = OwnEntries(None)
    other.add(6, 7)
    other.add_again([3, 7])
    assert other.runs == [(3, 3), (6, 7)]


@pytest.mark.parametrize("shards", ["1", "4"])
def test_processes_that_close_at_once_leave_nothing_and_wait_for_nobody(
    shards: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        shops = [stack.enter_context(shop(tmp_path, "grants", shards)) for _ in range(4)]
        for at, item in enumerate(shops):
            item.do("push", *[[{"id": f"u{at}"}, n] for n in range(50)])
        began = time.monotonic()
        for item in shops:
            assert item.process.stdin is not None
            item.process.stdin.close()  # each closes its collector at the end of its input
        for item in shops:
            assert item.process.wait(20) == 0
        assert time.monotonic() - began < 8  # less than closeTimeout
    assert len(delivered(tmp_path)) == 200


def test_flush_ends_as_soon_as_another_process_has_delivered(tmp_path: Path) -> None:
    with shop(tmp_path, "grants") as holder, shop(tmp_path, "grants", "accepts") as other:
        holder.do("push", [{"id": "ben"}, 0])
        took = []
        for n in range(5):
            other.do("push", [{"id": "ana"}, n])
            began = time.monotonic()
            assert other.do("flush", 20)
            took.append(time.monotonic() - began)
        assert min(took) < 0.9  # not only when it looks again after a second
