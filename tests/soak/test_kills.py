"""Killed in the midst of an outage, again and again: nothing lost, doubled or out of order."""

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.emulator import Emulator
from tests.emulator.arrivals import doubles, inversions, numbers
from tests.emulator.faults import PASSING, outage
from tests.support import run_until

EVENTS, PEOPLE, KILLS = 20_000, 400, 8
PUSHER = Path(__file__).parents[1] / "integration" / "pusher.py"


def write_flow(folder: Path, emulator: Emulator, mode: str) -> Path:
    config: dict[str, Any] = {
        "settings": emulator.settings(
            delivery=mode, timeout=2_000, identify={"map": {"n": "data.number"}}
        ),
        "mapping": {"order": {"complete": {"data": {"map": {"n": "data.number"}}}}},
        "retry": {"base": 5, "cap": 100},
        "breaker": {"threshold": 3, "cooldown": 50},
    }
    flow = {
        "collector": {"spool": {"path": str(folder / "spool.db")}},
        "destinations": {"customerio": {"package": "customerio", "config": config}},
    }
    path = folder / "flow.json"
    path.write_text(json.dumps(flow))
    return path


def push(flow: Path, count: int, start: int, kill_at: int | None) -> tuple[int, str]:
    """Push from a number on, killed once `kill_at` is accepted; return what was, and its last."""
    command = [sys.executable, PUSHER, flow, count, PEOPLE, start]
    return run_until(command, start, kill_at, timeout=300)


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("mode", ["batch", "single"])
def test_kills_in_an_outage_lose_double_and_reorder_nothing(
    tmp_path: Path, mode: str, seed: int
) -> None:
    chance = random.Random(seed)
    events = EVENTS if mode == "batch" else EVENTS // 10
    moments = sorted(chance.sample(range(100, events), KILLS))
    script = outage(seed, requests=200, share=0.3, faults=PASSING)
    with Emulator(tmp_path, script) as emulator:
        flow = write_flow(tmp_path, emulator, mode)
        done = 0
        for moment in moments:
            done, _ = push(flow, events, done, moment)
        done, last = push(flow, events, done, None)
    assert (done, last) == (events, "drained")
    assert emulator.violations == []
    assert numbers(emulator.accepted) == set(range(events))
    assert inversions(emulator.accepted) == []
    assert inversions(emulator.accepted, "identify") == []
    assert doubles(emulator.accepted) == []
