"""Bad events among good ones: exactly the bad ones are dead letters, each with its reason."""

from pathlib import Path
from typing import Any

import orjson

from tests.integration.flows import arrivals, event, flow
from walker_collector import Collector
from walker_dest_customerio.sandbox import Sandbox

COUNT, PEOPLE = 1000, 50
TOO_LARGE = "x" * 100_001
MAPPING = {
    "cart": {
        "add": {
            "data": {"map": {"n": "data.n", "note": "data.note"}},
            "settings": {"identify": {"map": {"email": "user.email"}}},
        }
    },
}
MENDED = {
    "cart": {
        "add": {"data": {"map": {"n": "data.n"}}, "settings": {"identify": {"value": {"ok": True}}}}
    }
}


def poisoned(number: int) -> dict[str, Any]:
    good = event(number, PEOPLE)
    if number % 100 == 17:
        good["data"]["note"] = TOO_LARGE
    return good


def test_poison_becomes_dead_letters_and_is_replayed_after_a_mended_rule(tmp_path: Path) -> None:
    spool = tmp_path / "spool.db"
    with Sandbox() as sandbox:
        with Collector.from_config(flow(sandbox, spool, mapping=MAPPING)) as collector:
            collector.push_many(map(poisoned, range(COUNT)))
            assert collector.flush(timeout=30)
            letters = collector.dead()
        reasons = {orjson.loads(item.body)["data"]["n"]: item.reason for item in letters}
        assert sorted(reasons) == [n for n in range(COUNT) if n % 100 == 17]
        for reason in reasons.values():
            assert "at most 100,000" in reason
            assert TOO_LARGE not in reason
        delivered = sorted(n for order in arrivals(sandbox).values() for n in order)
        assert {n for n in range(COUNT) if n not in reasons} <= set(delivered)

        with Collector.from_config(flow(sandbox, spool, mapping=MENDED)) as collector:
            assert collector.replay(collector.dead()) == len(letters)
            assert collector.flush(timeout=30)
            assert collector.dead() == []
        arrived = sorted(n for order in arrivals(sandbox).values() for n in order)
    assert arrived == list(range(COUNT))


def test_ten_thousand_events_take_at_most_a_hundred_requests(tmp_path: Path) -> None:
    with Sandbox(latency_ms=20) as sandbox:
        with Collector.from_config(flow(sandbox, tmp_path / "spool.db")) as collector:
            collector.push_many(event(number, 1000) for number in range(10_000))
            assert collector.flush(timeout=60)
        assert sum(map(len, arrivals(sandbox).values())) == 10_000
        assert len(sandbox.requests) <= 100
