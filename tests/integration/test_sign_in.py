"""Visitors who sign in while what they did before is in flight, and fails: still in order."""

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator, outage
from tests.emulator.arrivals import doubles
from walker_collector import Collector

EVENTS, PEOPLE = 300, 12


def events(seed: int) -> list[dict[str, Any]]:
    """Return events of visitors with a session, some of whom sign in at some time."""
    chance = random.Random(seed)
    signed_in: set[int] = set()
    made = []
    for n in range(EVENTS):
        person = chance.randrange(PEOPLE)
        session, id_ = {"session": f"s{person}"}, {"id": f"u{person}"}
        if person in signed_in:
            user = chance.choice([session, id_, {**session, **id_}])
        elif chance.random() < 0.1:
            signed_in.add(person)
            user = {**session, **id_}
        else:
            user = session
        made.append({"name": "cart add", "data": {"n": n, "person": person}, "user": user})
    return made


def flow(emulator: Emulator, mode: str, spool: Path | None) -> dict[str, Any]:
    config = {
        "settings": emulator.settings(delivery=mode, timeout=2_000),
        "data": {"map": {"n": "data.n", "person": "data.person"}},
        "retry": {"base": 5, "cap": 60},
        "breaker": {"threshold": 3, "cooldown": 30},
    }
    return {
        "collector": {"spool": {"path": str(spool)}} if spool else {},
        "destinations": {"customerio": {"package": "customerio", "config": config}},
    }


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mode", ["batch", "single"])
def test_nothing_overtakes_where_visitors_sign_in(tmp_path: Path, mode: str, seed: int) -> None:
    spool = tmp_path / "spool.db" if seed % 2 else None
    with (
        Emulator(tmp_path, outage(seed, 40)) as emulator,
        Collector.from_config(flow(emulator, mode, spool)) as collector,
    ):
        for event in events(seed):
            collector.push(event)
        assert collector.flush(timeout=60)
        assert collector.dead() == []
    arrived: dict[int, dict[int, None]] = defaultdict(dict)
    for operation in emulator.accepted:
        arrived[operation.data["person"]].setdefault(operation.data["n"])
    assert sorted(n for numbers in arrived.values() for n in numbers) == list(range(EVENTS))
    for numbers in arrived.values():
        assert list(numbers) == sorted(numbers)
    assert doubles(emulator.accepted) == []
    assert emulator.violations == []
