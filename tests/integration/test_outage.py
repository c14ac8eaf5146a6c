"""A scripted outage: nothing lost, nobody's events reordered, no message twice, few requests."""

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.integration.flows import arrivals, event, flow
from walker_collector import Collector
from walker_dest_customerio.sandbox import Sandbox

PEOPLE = 40
FAULTS: list[dict[str, Any]] = [
    {"kind": "hang", "times": 2},
    {"kind": "status", "status": 500, "times": 6},
    {"kind": "status", "status": 503, "retry_after": 1, "times": 2},
    {"kind": "status", "status": 429, "times": 3},
    {"kind": "reset", "times": 4},
    {"kind": "reset", "apply": True, "times": 4},
    {"kind": "reset_body", "times": 4},
    {"kind": "garbage", "times": 3},
    {"kind": "garbage", "status": 207, "times": 3},
]


def numbers_of(letters: list[Any]) -> list[int]:
    return [orjson.loads(letter.body)["data"]["n"] for letter in letters]


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "memory"])
def test_an_outage_of_every_kind_loses_nothing(tmp_path: Path, durable: bool) -> None:
    spool = tmp_path / "spool.db" if durable else None
    with Sandbox() as sandbox:
        with Collector.from_config(flow(sandbox, spool)) as collector:
            count = 0
            for fault in [None, *FAULTS]:
                if fault is None:
                    sandbox.stop()
                else:
                    sandbox.fault(**fault)
                collector.push_many(event(count + at, PEOPLE, orders_every=25) for at in range(200))
                count += 200
                if fault is None:
                    assert not collector.flush(timeout=0.5)
                    sandbox.start()
                assert collector.flush(timeout=30)
                sandbox.clear_faults()
            dead = collector.dead()
        orders = arrivals(sandbox)
        messages = sandbox.messages
        asked = len(sandbox.requests)

    arrived = [number for order in orders.values() for number in order]
    assert len(arrived) == len(set(arrived))
    assert sorted({*arrived, *numbers_of(dead)}) == list(range(count))
    for order in orders.values():
        assert order == sorted(order)
    assert all("may have been sent" in letter.reason for letter in dead)
    sent = Counter(message["request"]["message_data"]["n"] for message in messages)
    assert set(sent.values()) == {1}
    assert set(range(0, count, 25)) == {*sent, *numbers_of(dead)}
    # 10 rounds: a mail for each of 80 orders, and per round few batches and few failures.
    assert asked < 80 + 10 * 25


def test_requests_during_a_long_outage_are_bounded_by_backoff_and_breaker(tmp_path: Path) -> None:
    config = {"retry": {"base": 50, "cap": 60_000}, "breaker": {"threshold": 4, "cooldown": 60_000}}
    with Sandbox() as sandbox:
        sandbox.fault("status", status=500, times=None)
        with Collector.from_config(flow(sandbox, tmp_path / "spool.db", **config)) as collector:
            collector.push_many(event(number, PEOPLE) for number in range(1000))
            # Says so as soon as it is clear, instead of waiting for all of the hour.
            assert not collector.flush(timeout=50)
            status = collector.status().destinations["customerio"]
            assert collector.close(timeout=0.1) is False
        assert (status.state, status.waiting) == ("failing", 1000)
        assert len(sandbox.requests) < 50
        sandbox.clear_faults()
        with Collector.from_config(flow(sandbox, tmp_path / "spool.db", **config)) as collector:
            assert collector.flush(timeout=30)
        orders = arrivals(sandbox)
    assert sum(map(len, orders.values())) == 1000
    for order in orders.values():
        assert order == sorted(order)


def test_bad_credentials_stop_the_destination_and_keep_its_events(tmp_path: Path) -> None:
    spool = tmp_path / "spool.db"
    with Sandbox() as sandbox:
        wrong = flow(sandbox, spool, settings={"apiKey": "wrong"})
        with Collector.from_config(wrong) as collector:
            collector.push_many(event(number, PEOPLE) for number in range(100))
            assert not collector.flush(timeout=5)
            status = collector.status().destinations["customerio"]
        assert status.state == "down"
        assert "apiKey" in status.reason
        assert (status.waiting, status.dead) == (100, 0)
        with Collector.from_config(flow(sandbox, spool)) as collector:
            assert collector.flush(timeout=30)
        assert sum(map(len, arrivals(sandbox).values())) == 100
