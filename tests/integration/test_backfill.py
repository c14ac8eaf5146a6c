"""A backfill that is killed again and again: each line arrives, under one id, in flat memory."""

import gzip
import json
import signal
import subprocess
import time
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import pytest

from tests.core.cli_support import spawned, write_flow
from tests.emulator import Emulator
from tests.emulator.arrivals import number_of
from tests.emulator.requests import Operation
from tests.forms import LONG, form
from tests.support import wait_until

LINES = form(20_000, 1_000_000)
KILLS = form(1, 3)
STEP = LINES // 100
"""Lines between two measurements of memory."""
PATIENCE = 1_800
"""Seconds that a run may take, on a machine that has other things to do."""
OLD = 1_500_000_000
"""In July 2017."""
GROWTH = 30
"""MB that memory may grow in a run of a quarter of a million lines: queues are of many sizes."""


def write_export(path: Path) -> Path:
    with gzip.open(path, "wb", 1) as file:
        for n in range(LINES):
            file.write(orjson.dumps(event(n)) + b"\n")
    return path


def event(n: int) -> dict[str, Any]:
    return {
        "name": "order complete",
        "data": {"n": n, "total": n % 100, "currency": "EUR"},
        "user": {"id": f"u{n % 20_000}"},
        "timestamp": (OLD + n) * 1_000,
    }


class Arrivals:
    """The ids under which each number arrives.

    count: the numbers that have arrived. doubles: those that have come under two ids.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.count = 0
        self.doubles: list[int] = []
        self._ulids: list[str | None] = [None] * LINES
        self._kept = emulator.accepted
        emulator.on_accepted = self._note

    def _note(self, operation: Operation) -> None:
        self._kept.clear()  # a million of them
        number = number_of(operation)
        assert number is not None
        if self._ulids[number] is None:
            self._ulids[number] = operation.ulid
            self.count += 1
        else:
            self.doubles.append(number)


def watch(process: "subprocess.Popen[str]", arrived: Arrivals, count: int) -> list[float]:
    """Wait until so many have arrived, or the process ends; return its memory (MB) on the way."""
    sizes = []

    def comes_to(goal: int) -> bool:
        return arrived.count >= goal or process.poll() is not None

    while arrived.count < count and process.poll() is None:
        sizes.append(resident(process.pid))
        goal = min(count, arrived.count + STEP)
        wait_until(lambda goal=goal: comes_to(goal), "more arrive", PATIENCE)
    return sizes


def resident(pid: int) -> float:
    """Return the resident memory of a process, in MB; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return 0
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")] or ["VmRSS: 0 kB"]
    return int(line.split()[1]) / 1_000


def growth(sizes: list[float]) -> float:
    """Return how much more the last third of a run takes than the one before."""
    third = len(sizes) // 3
    return median(sizes[-third:]) - median(sizes[third:-third])


@pytest.mark.long
@pytest.mark.timeout(form(120, 2 * PATIENCE))
def test_killed_backfill_goes_on_and_each_line_has_one_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = write_export(tmp_path / "export.ndjson.gz")
    runs: list[list[float]] = []
    with Emulator(tmp_path) as emulator:
        config = {
            "settings": emulator.settings(),
            "mapping": {"order": {"complete": {"name": "Order Completed", "data": "data"}}},
        }
        destinations = {"customerio": {"package": "customerio", "config": config}}
        flow = write_flow(tmp_path, destinations, spool={"path": str(tmp_path / "spool.db")})
        arrived = Arrivals(emulator)
        began = time.monotonic()
        for kill in range(1, KILLS + 1):
            with spawned("run", flow, export, "--resume", timeout=PATIENCE) as process:
                runs.append(watch(process, arrived, LINES * kill // (KILLS + 1)))
                process.send_signal(signal.SIGKILL)
                assert process.wait(20) == -signal.SIGKILL
        with spawned("run", flow, export, "--resume", "--json", timeout=PATIENCE) as process:
            runs.append(watch(process, arrived, LINES))
            told, said = process.communicate(timeout=60)
        seconds = time.monotonic() - began
    assert process.returncode == 0, said
    figures = json.loads(told)
    assert 0 < figures["passed"] < LINES
    assert figures["read"] == figures["accepted"] == LINES - figures["passed"]
    assert emulator.violations == []
    assert arrived.doubles == []
    assert arrived.count == LINES
    if LONG:
        with capsys.disabled():
            print(f"\n{LINES / seconds:,.0f} lines/s; sent again: {len(emulator.repeated):,}")
            for run in runs:
                print("MB:", *(f"{size:.0f}" for size in run[:: max(1, len(run) // 10)]))
        assert max(map(growth, runs)) < GROWTH
