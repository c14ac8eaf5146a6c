"""Killed at any moment, and resumed: nothing acknowledged is lost, doubled or out of order."""

import json
import random
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.forms import form
from tests.support import LIFETIME, run_until
from walker_dest_customerio.sandbox import Sandbox

EVENTS = form(3_000, 100_000)
PEOPLE = form(100, 1_000)
KILLS = form(5, 50)
RUN = max(LIFETIME, EVENTS / 100)
"""Seconds a pusher may live."""
PUSHER = Path(__file__).with_name("pusher.py")


def write_flow(folder: Path, sandbox: Sandbox) -> Path:
    flow = {
        "collector": {"spool": {"path": str(folder / "spool.db")}},
        "destinations": {
            "customerio": {
                "package": "customerio",
                "config": {
                    "settings": {
                        **sandbox.settings(),
                        "identify": {"map": {"email": "user.email"}},
                    },
                    "mapping": {"order": {"complete": {"data": {"map": {"n": "data.number"}}}}},
                },
            }
        },
    }
    path = folder / "flow.json"
    path.write_text(json.dumps(flow))
    return path


def push_until(flow: Path, start: int, kill_at: int | None) -> tuple[int, str]:
    """Run a pusher, killed once it has acknowledged `kill_at`; return what it did, last line."""
    return run_until([sys.executable, PUSHER, flow, EVENTS, PEOPLE, start], start, kill_at, RUN)


def first_arrivals(sandbox: Sandbox) -> dict[str, list[int]]:
    orders: dict[str, list[int]] = defaultdict(list)
    for person, about in sandbox.people.items():
        for event in about["events"]:
            orders[person].append(event["data"]["n"])
    return orders


@pytest.mark.long
def test_a_process_killed_at_random_moments_loses_and_doubles_nothing(tmp_path: Path) -> None:
    chance = random.Random(7)
    moments = sorted(chance.sample(range(100, EVENTS), KILLS))
    with Sandbox(latency_ms=5) as sandbox:
        flow = write_flow(tmp_path, sandbox)
        done = 0
        for moment in moments:
            done, _ = push_until(flow, done, moment)
        done, last = push_until(flow, done, None)
        orders = first_arrivals(sandbox)
    assert (done, last) == (EVENTS, "drained")
    assert sorted(number for order in orders.values() for number in order) == list(range(EVENTS))
    for order in orders.values():
        assert order == sorted(order)


def test_what_was_accepted_before_a_kill_is_delivered_by_the_next_process(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        flow = write_flow(tmp_path, sandbox)
        sandbox.stop()
        done, _ = push_until(flow, 0, EVENTS // 2)
        sandbox.start()
        push_until(flow, EVENTS, None)
        arrived: list[Any] = list(sandbox.events)
    assert len(arrived) >= done
