"""The time of a push while several processes use one spool: each pushes, one of them delivers."""

import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.flows import destination
from tests.benchmarks.measure import scaled
from tests.benchmarks.noop import collector
from tests.benchmarks.peers.customerio import ROOT
from tests.benchmarks.report import Report
from tests.benchmarks.workload import orders

_PROCESSES: Final = (1, 4, 8)
_PAUSE: Final = 0.002
"""Seconds between two pushes of a process, as between the requests of a busy web worker."""


def processes() -> Report:
    """Push p50 and p99 of 1, 4 and 8 processes on one spool."""
    rows = [[count, *_measured(count, scaled(2_000))] for count in _PROCESSES]
    columns = ("processes", "pushes/s", "p50 us", "p99 ms", "longest ms")
    return Report("processes", "Push beside other processes of one spool", columns, rows)


def _measured(count: int, events: int) -> list[Any]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        command = [sys.executable, "-m", __name__, f"{folder}/spool.db", str(events)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started = [
            stack.enter_context(subprocess.Popen(command, cwd=ROOT, **pipes)) for _ in range(count)
        ]
        for process in started:
            process.stdout.readline()
        began = time.perf_counter()
        for process in started:
            process.stdin.write("\n")
            process.stdin.flush()
        found = sorted(
            took for process in started for took in json.loads(process.stdout.readline())
        )
        seconds = time.perf_counter() - began
        p50, p99 = found[len(found) // 2], found[int(len(found) * 0.99)]
        rate = round(len(found) / seconds)
        return [rate, round(p50 * 1e6), round(p99 * 1e3, 2), round(found[-1] * 1e3, 1)]


def main(spool: str, count: int) -> None:
    """Push orders, one by one, and print the seconds that each push took."""
    with collector({"there": destination("batched")}, spool={"path": spool}) as opened:
        events = orders(count)
        print("ready", flush=True)
        sys.stdin.readline()
        times = []
        for event in events:
            began = time.perf_counter()
            opened.push(event)
            times.append(time.perf_counter() - began)
            time.sleep(_PAUSE)
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main(str(Path(sys.argv[1])), int(sys.argv[2]))
