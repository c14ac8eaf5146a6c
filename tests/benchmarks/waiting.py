"""The memory and the disk that events take while they wait, beside their own JSON.

Each case is a process of its own: `python -m tests.benchmarks.waiting PLACE WORKLOAD COUNT`.
"""

import gc
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from tests.benchmarks.core import GROUP
from tests.benchmarks.flows import destination
from tests.benchmarks.measure import resident, scaled
from tests.benchmarks.noop import collector
from tests.benchmarks.peers.customerio import ROOT
from tests.benchmarks.report import Report
from tests.benchmarks.workload import mix, orders, repeated

_WORKLOADS: Final = {"mix": mix, "orders": orders}
_SAMPLE: Final = 10_000
_COUNTS: Final = (100_000, 1_000_000)


def waiting() -> Report:
    """Measure by workload, place and number of events."""
    cases = [("mix", count) for count in _COUNTS] + [("orders", _COUNTS[0])]
    rows = [
        _row(workload, place, scaled(count))
        for workload, count in cases
        for place in ("memory", "durable")
    ]
    columns = ("workload", "events", "place", "JSON bytes", "memory bytes", "disk bytes")
    return Report("waiting", "What an event takes while it waits", columns, rows)


def _row(workload: str, place: str, count: int) -> list[Any]:
    command = [sys.executable, "-m", "tests.benchmarks.waiting", place, workload, str(count)]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    found = json.loads(done.stdout)
    return [workload, count, place, found["json"], found["memory"], found["disk"]]


def measure(place: str, workload: str, count: int) -> dict[str, int]:
    """Return the bytes of an event as JSON, in memory and on disk, while so many wait."""
    events = _WORKLOADS[workload](min(count, _SAMPLE))
    size = sum(len(orjson.dumps(event)) for event in events) // len(events)
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "spool.db"
        stored = {"spool": {"path": str(path)}} if place == "durable" else {}
        down = {"noop": destination("down", queueMax=count + GROUP)}
        collected = stack.enter_context(
            collector(down, queueMax=count + GROUP, closeTimeout=0, **stored)
        )
        collected.push_many(events[:GROUP])  # all is imported, and each person is new only once
        gc.collect()
        before = resident()
        given = repeated(events, count)
        while group := list(islice(given, GROUP)):
            collected.push_many(group)
        gc.collect()
        memory = (resident() - before) * 1e6
        assert collected.status().destinations["noop"].waiting == count + min(GROUP, len(events))
        disk = sum(item.stat().st_size for item in path.parent.glob("spool.db*") if item.is_file())
    return {"json": size, "memory": round(memory / count), "disk": round(disk / count)}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
