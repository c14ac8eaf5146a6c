"""Grants, withdrawals and events of many people, killed and resumed, against the sandbox."""

import json
import random
import sys
from pathlib import Path

import pytest

from tests.forms import form
from tests.integration.consenter import Step, steps
from tests.integration.flows import arrivals, flow
from tests.support import LIFETIME, run_until
from walker_dest_customerio.sandbox import Sandbox

STEPS = form(2_000, 20_000)
PEOPLE = form(60, 1_000)
SEED, KILLS = 11, form(4, 30)
RUN = max(LIFETIME, STEPS / 100)
"""Seconds a process may live."""
SCRIPT = Path(__file__).with_name("consenter.py")


def decide_until(path: Path, start: int, kill_at: int | None) -> tuple[int, str]:
    """Run from a step on, killed once `kill_at` is acknowledged; return steps done, last line."""
    module = [sys.executable, "-m", "tests.integration.consenter"]
    return run_until([*module, path, SEED, STEPS, PEOPLE, start], start, kill_at, RUN)


def allowed_and_owed(script: list[Step]) -> tuple[set[int], set[int]]:
    """Return the events that may arrive (granted at some time from their push on), and those that
    must (granted at the end).
    """
    state: dict[int, bool] = {}
    waiting: dict[int, list[int]] = {}
    allowed: set[int] = set()
    for number, (kind, person, granted) in enumerate(script):
        if kind == "consent":
            state[person] = granted
        else:
            waiting.setdefault(person, []).append(number)
        if state.get(person):
            allowed.update(waiting.get(person, []))
    owed = {n for person, numbers in waiting.items() if state.get(person) for n in numbers}
    return allowed, owed


@pytest.mark.long
def test_consent_holds_through_kills(tmp_path: Path) -> None:
    moments = sorted(random.Random(3).sample(range(50, STEPS), KILLS))
    with Sandbox() as sandbox:
        path = tmp_path / "flow.json"
        path.write_text(
            json.dumps(flow(sandbox, tmp_path / "spool.db", consent={"marketing": True}))
        )
        done = 0
        for moment in moments:
            done, _ = decide_until(path, done, moment)
        done, last = decide_until(path, done, None)
        orders = arrivals(sandbox)
    assert (done, last) == (STEPS, "drained")
    allowed, owed = allowed_and_owed(steps(SEED, STEPS, PEOPLE))
    arrived = [number for order in orders.values() for number in order]
    assert len(arrived) == len(set(arrived))
    assert owed <= set(arrived) <= allowed
    assert owed != allowed
    for order in orders.values():
        assert order == sorted(order)
