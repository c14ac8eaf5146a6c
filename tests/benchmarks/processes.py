"""Several processes on one spool: the time of a push, the cost of silence, and its end."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.flows import destination
from tests.benchmarks.measure import latency, scaled
from tests.benchmarks.noop import collector
from tests.benchmarks.peers.customerio import ROOT
from tests.benchmarks.report import Goal, Report
from tests.benchmarks.workload import orders
from walker_collector import Collector

_PROCESSES: Final = (1, 4, 8)
_PAUSE: Final = 0.002
"""Seconds between two pushes of a process, as between the requests of a busy web worker."""
_SETTLE: Final = 3.0
"""Seconds after which everybody knows everybody, and nobody has anything to do."""
_SILENCE: Final = 5.0
"""Seconds in which the cost of doing nothing is measured."""
_IDLE: Final = 0.2
"""Percent of a core that an idle process may take."""


def processes() -> Report:
    """Push of 1, 4 and 8 processes on one spool; CPU of 8 that do nothing."""
    rows = [
        [f"{count}, {where}", *_pushed(count, scaled(2_000), elsewhere=where == "another")]
        for count in _PROCESSES
        for where in ("one of them", "another")
    ]
    idle = _idle(_PROCESSES[-1])
    goal = Goal(
        f"CPU of each of {len(idle)} idle processes",
        f"under {_IDLE} % of a core",
        f"{min(idle):.2f} to {max(idle):.2f} %",
        max(idle) < _IDLE,
    )
    columns = ("processes, who delivers", "pushes/s", "p50 us", "p99 us", "longest us", "CPU us")
    title = "Push beside other processes of one spool"
    return Report("processes", title, columns, rows, goals=[goal])


def _pushed(count: int, events: int, *, elsewhere: bool) -> list[Any]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if elsewhere:
            stack.enter_context(_process("idle", folder, 0))
        how = "accept" if elsewhere else "push"
        started = [stack.enter_context(_process(how, folder, events)) for _ in range(count)]
        began = time.perf_counter()
        found = _answers(started)
        times = [took for answer in found for took in answer["times"]]
        rate, figures = len(times) / (time.perf_counter() - began), latency(times)
        cpu = sum(answer["cpu"] for answer in found) / len(times) * 1e6
        return [rate, figures.p50, figures.p99, figures.worst, cpu]


def _idle(count: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        started = [stack.enter_context(_process("idle", folder, 0)) for _ in range(count)]
        time.sleep(_SETTLE)
        return [answer["cpu"] / _SILENCE * 100 for answer in _answers(started)]


@contextmanager
def _process(how: str, folder: str, events: int) -> Iterator["subprocess.Popen[str]"]:
    """Start a process that waits for a line before it begins, and for another before it ends."""
    command = [sys.executable, "-m", __name__, how, f"{folder}/spool.db", str(events)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.communicate("\n\n")


def _answers(started: "list[subprocess.Popen[str]]") -> list[dict[str, Any]]:
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [json.loads(process.stdout.readline()) for process in started if process.stdout]


def main(how: str, spool: str, count: int) -> None:
    """Push orders one by one, or do nothing; print the seconds and the CPU time that it took."""
    deliver: dict[str, Any] = {"deliver": False} if how == "accept" else {}
    with collector({"there": destination("batched")}, spool={"path": spool}, **deliver) as opened:
        events = orders(count)
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.process_time()
        times = _idled() if how == "idle" else _times(opened, events)
        answer = {"times": times, "cpu": time.process_time() - began}
        print(json.dumps(answer), flush=True)
        sys.stdin.readline()


def _idled() -> list[float]:
    time.sleep(_SILENCE)
    return []


def _times(opened: Collector, events: list[dict[str, Any]]) -> list[float]:
    times = []
    for event in events:
        began = time.perf_counter()
        opened.push(event)
        times.append(time.perf_counter() - began)
        time.sleep(_PAUSE)
    return times


if __name__ == "__main__":
    main(sys.argv[1], str(Path(sys.argv[2])), int(sys.argv[3]))
