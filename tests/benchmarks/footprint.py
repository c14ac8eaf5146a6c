"""What the collector needs before the first event, and what it keeps of those that are gone."""

import os
import subprocess
import sys
from typing import Any

from tests.benchmarks.core import push_all
from tests.benchmarks.flows import destination
from tests.benchmarks.measure import ROUNDS, children_cpu, resident, scaled
from tests.benchmarks.noop import collector
from tests.benchmarks.peers.customerio import ROOT
from tests.benchmarks.report import Goal, Report
from tests.benchmarks.workload import mix

_IMPORTS = (
    "from walker_collector import Collector",
    "import walker_dest_customerio.destination",
    "import segment.analytics",
)


def footprint() -> Report:
    """CPU time of imports (less that of the interpreter), and memory while events go by."""
    nothing = _imported("import sys")
    rows: list[list[Any]] = [
        ["the interpreter alone", "ms", round(nothing * 1000, 1)],
        *_imports(nothing),
    ]
    took = rows[1][2]
    before, after = _memory(scaled(20_000), scaled(200_000))
    rows += [["memory early on", "MB", round(before, 1)], ["memory later", "MB", round(after, 1)]]
    growth = after - before
    goals = [
        Goal(_IMPORTS[0], "under 100 ms", f"{took} ms", took < 100),
        Goal("memory stays", "grows by less than 5 MB", f"{growth:.1f} MB", growth < 5),
    ]
    return Report("footprint", "Import time and memory", ("what", "unit", "figure"), rows, goals)


def _imports(nothing: float) -> list[list[Any]]:
    return [
        [statement, "ms", round((_imported(statement) - nothing) * 1000, 1)]
        for statement in _IMPORTS
    ]


def _imported(statement: str) -> float:
    """Return the CPU time (s) of a process that runs the statement, the least of several.

    As after an installation, which leaves compiled modules: the first process writes them.
    """
    command = [sys.executable, "-c", statement]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    times = []
    for _ in range(ROUNDS * 3):
        before = children_cpu()
        subprocess.run(command, check=True, cwd=ROOT, env=env)
        times.append(children_cpu() - before)
    return min(times)


def _memory(early: int, late: int) -> tuple[float, float]:
    """Return how much memory is held after so many events, and after many more."""
    events = mix(1_000)
    with collector({"noop": destination("batched")}) as collected:
        for at in range(0, late, len(events)):
            push_all(collected, events)
            if at < early:
                before = resident()
        return before, resident()
