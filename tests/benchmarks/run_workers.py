"""A file of lines by `walker run`, alone and with workers, against the original in the same run.

The time of a run is that from the first line to the last: its start and its end are measured with
a file of one line, and taken off.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import orjson

from tests.benchmarks.flows import MAPPING, destination, flow
from tests.benchmarks.measure import Run, children_cpu, in_turns, scaled
from tests.benchmarks.peers import node
from tests.benchmarks.peers.customerio import ROOT
from tests.benchmarks.report import Goal, Report
from tests.benchmarks.workload import Event, mix, orders

_LINES: Final = 100_000
_WAYS: Final = ("in memory", "with a spool")
_WORKERS: Final = (1, 2)
_TIMES: Final = {"orders": 9, "mix": 7}
"""Goals with a second process in memory, in multiples of the peer's rate."""
_METADATA: Final = "Metadata-Version: 2.1\nName: noop\nVersion: 1\n"
_ENTRY_POINTS: Final = "[walker_collector.destinations]\nbatched = tests.benchmarks.noop:Batched\n"


def run_workers() -> Report:
    """Measure by workload, place of the waiting events, and number of workers."""
    rows: list[list[Any]] = []
    goals = []
    why_not = node.available()
    for name, make in (("orders", orders), ("mix", mix)):
        sample = make(scaled(20_000))
        with tempfile.TemporaryDirectory() as folder:
            run = _LineRun(Path(folder), sample, scaled(_LINES))
            works = [
                lambda way=way, workers=workers, run=run: run(way, workers)
                for way in _WAYS
                for workers in _WORKERS
            ]
            if why_not is None:
                works.append(lambda sample=sample: node.walkeros(sample, MAPPING, len(sample)))
            runs = in_turns(*works)
        peer = runs.pop() if why_not is None else None
        labels = [(way, workers) for way in _WAYS for workers in _WORKERS]
        for (way, workers), found in zip(labels, runs, strict=True):
            rows.append(_row(name, f"walker run {way}", workers, found, peer))
        if peer:
            rows.append(_row(name, "@walkeros/collector", 1, peer, peer))
            times, ratio = _TIMES[name], runs[1].rate / peer.rate
            wanted = f"{times} times the peer's rate"
            goals.append(
                Goal(f"{name}, two workers in memory", wanted, f"{ratio:.1f}", ratio >= times)
            )
    notes = [f"@walkeros/collector {why_not}"] if why_not else []
    columns = ("workload", "way", "workers", "events/s", "CPU us", "times the peer's rate")
    title = "Lines to one destination that does nothing, by walker run"
    return Report("run_workers", title, columns, rows, goals, notes)


def _row(workload: str, way: str, workers: int, run: Run, peer: Run | None) -> list[Any]:
    ratio = round(run.rate / peer.rate, 2) if peer else "-"
    return [workload, way, workers, round(run.rate), round(run.micros, 1), ratio]


class _LineRun:
    """Runs a file of these events, repeated up to a number of lines."""

    def __init__(self, folder: Path, events: list[Event], count: int) -> None:
        self._folder = folder
        self._count = count
        lines = [orjson.dumps(event) + b"\n" for event in events]
        (folder / "one").write_bytes(lines[0])
        with (folder / "all").open("wb") as file:
            file.writelines(lines[at % len(lines)] for at in range(count))
        metadata = folder / "noop-1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(_METADATA)
        (metadata / "entry_points.txt").write_text(_ENTRY_POINTS)

    def __call__(self, way: str, workers: int) -> Run:
        around = self._measure("one", way, workers)
        whole = self._measure("all", way, workers)
        cpu = max(1e-6, whole.cpu - around.cpu)
        return Run(self._count - 1, max(1e-6, whole.seconds - around.seconds), cpu)

    def _measure(self, events: str, way: str, workers: int) -> Run:
        with tempfile.TemporaryDirectory() as name:
            settings = {"spool": {"path": f"{name}/spool.db"}} if way == _WAYS[1] else {}
            path = Path(name) / "flow.json"
            path.write_text(json.dumps(flow({"noop": destination("batched")}, **settings)))
            command = [sys.executable, "-m", "walker_collector", "run", path]
            command += [self._folder / events, "--workers", str(workers)]
            env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(self._folder), str(ROOT)))}
            cpu, began = children_cpu(), time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
            seconds = time.perf_counter() - began
        lines = 1 if events == "one" else self._count
        assert f"{lines:,} accepted" in done.stderr, done.stderr
        return Run(lines, seconds, children_cpu() - cpu)
