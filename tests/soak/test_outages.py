"""Twenty thousand events through `walker run`, from a spool, while everything goes wrong."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.core.cli_support import completed
from tests.emulator import Answer, Emulator, TooLarge
from tests.integration.outages import Outage, faults_of, numbered
from walker_collector import Collector

LIMIT = 300.0
"""Seconds that one run may take."""

BATCH = Outage(0, durable=True, events=20_000, people=1_000, mails=100, requests=60)


def run_command(outage: Outage, folder: Path) -> tuple[Emulator, list[tuple[int, str]], Any]:
    """Run `walker run` over all events; return what arrived, what died, and the summary."""
    events = folder / "events.ndjson"
    events.write_text("".join(json.dumps(outage.event(n)) + "\n" for n in range(outage.events)))
    path = folder / "flow.json"
    with Emulator(folder, outage.script, outage.poison, outage.messages) as emulator:
        flow = outage.flow(emulator, folder)
        path.write_text(json.dumps(flow))
        done = completed("run", path, events, "--json", timeout=LIMIT)
        assert done.stdout, done.stderr
        summary = json.loads(done.stdout.splitlines()[-1])
        flow["destinations"]["customerio"]["config"]["mock"] = None
        with Collector.from_config(flow) as collector:
            dead = numbered(collector.dead())
    return emulator, dead, summary


@pytest.mark.parametrize("seed", range(1, 9))
def test_run_reorders_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    outage = evolve(BATCH, seed=seed)
    emulator, dead, summary = run_command(outage, tmp_path)
    assert faults_of(outage, emulator, dead) == []
    assert summary["destinations"]["customerio"]["waiting"] == 0


@pytest.mark.parametrize("seed", range(11, 14))
def test_run_with_a_call_for_each_operation_does_so_too(tmp_path: Path, seed: int) -> None:
    outage = evolve(BATCH, seed=seed, mode="single", events=3_000, people=150)
    emulator, dead, _ = run_command(outage, tmp_path)
    assert faults_of(outage, emulator, dead) == []


@pytest.mark.parametrize("seed", range(21, 25))
def test_run_with_retry_after_and_small_limits_does_so_too(tmp_path: Path, seed: int) -> None:
    faults = (*BATCH.faults, Answer(429, retry_after="1"), TooLarge(1), TooLarge(7))
    outage = evolve(BATCH, seed=seed, events=5_000, faults=faults)
    emulator, dead, _ = run_command(outage, tmp_path)
    assert faults_of(outage, emulator, dead) == []
    assert all(re.search(r"\w", reason) for _, reason in dead)
