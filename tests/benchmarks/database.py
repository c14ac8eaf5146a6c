"""A spool in PostgreSQL: events accepted and delivered by one process, and by two.

The server runs on the same machine, so it shares the cores with what is measured. Its settings are
PostgreSQL's own, and once without waits for the disk.
"""

import gc
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from tests.benchmarks.flows import destination
from tests.benchmarks.measure import ROUNDS, scaled
from tests.benchmarks.noop import collector
from tests.benchmarks.peers.customerio import ROOT
from tests.benchmarks.report import Goal, Report
from tests.benchmarks.workload import PEOPLE, orders
from tests.postgres_server import PostgresServer, programs

_GROUP: Final = 1_000
"""Events of one `push_many`."""
_SETTINGS: Final = {"shared_buffers": "128MB", "max_wal_size": "1GB"}
_AIM: Final = 25_000
"""Events a second that two processes deliver."""


def database() -> Report:
    """Orders of people who are known, by one and two processes, to a destination without a cost."""
    cpu = "CPU us an event, without the server"
    columns = ("processes", "fsync", "accepted/s", "delivered/s", cpu)
    found = programs()
    if found is None:
        notes = ["PostgreSQL is not installed"]
        return Report("database", "A spool in PostgreSQL", columns, [], [], notes)
    ways = ((2, "off"), (1, "on"), (2, "on"))
    # In turns, as a busy machine troubles all of them then.
    rounds = [[_measure(found, *way, scaled(60_000)) for way in ways] for _ in range(ROUNDS)]
    rows = [[*way, *_best(runs)] for way, runs in zip(ways, zip(*rounds, strict=True), strict=True)]
    rate = rows[-1][3]
    goal = Goal("delivered by two", f"{_AIM:,} events/s", f"{rate:,.0f}", rate >= _AIM)
    return Report("database", "A spool in PostgreSQL", columns, rows, [goal])


def _measure(found: Any, count: int, fsync: str, events: int) -> list[float]:
    with PostgresServer(found, fsync=fsync, **_SETTINGS) as server, ExitStack() as stack:
        url = server.url("postgres")
        started = [stack.enter_context(_process(url, at, events // count)) for at in range(count)]
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        answers = _answers(started)
    total = events // count * count
    accepted, delivered = (max(answer[key] for answer in answers) for key in ("accept", "deliver"))
    cpu = sum(answer["cpu"] for answer in answers) / total * 1e6
    return [round(total / accepted), round(total / delivered), round(cpu)]


def _best(runs: Sequence[list[float]]) -> list[float]:
    """Return the highest rates of these runs, and the lowest CPU time."""
    accepted, delivered, cpu = zip(*runs, strict=True)
    return [max(accepted), max(delivered), min(cpu)]


def _process(url: str, at: int, events: int) -> "subprocess.Popen[str]":
    """Start a process that waits for a line before it is measured, and for another to end."""
    command = [sys.executable, "-m", __name__, url, str(at), str(events)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, **pipes)


def _answers(started: "list[subprocess.Popen[str]]") -> list[dict[str, Any]]:
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [json.loads(process.stdout.readline()) for process in started if process.stdout]
    for process in started:
        process.communicate("\n")
    return answers


def main(url: str, at: int, count: int) -> None:
    """Push orders in groups; print the seconds and the CPU time that it took, once delivered."""
    with collector({"there": destination("batched")}, spool={"url": url}) as opened:
        events = [_own(event, at) for event in orders(count)]
        opened.push_many(events[: 5 * PEOPLE])  # everybody is known from then on
        assert opened.flush(300)
        gc.collect()
        gc.freeze()  # the workload: no application has so much in memory
        print("ready", flush=True)
        sys.stdin.readline()
        cpu, began = time.process_time(), time.perf_counter()
        for first in range(0, count, _GROUP):
            opened.push_many(events[first : first + _GROUP])
        accepted = time.perf_counter() - began
        assert opened.flush(300)
        answer = {"accept": accepted, "deliver": time.perf_counter() - began}
        print(json.dumps({**answer, "cpu": time.process_time() - cpu}), flush=True)
        sys.stdin.readline()


def _own(event: dict[str, Any], at: int) -> dict[str, Any]:
    """Return the event of a person whom no other process pushes for."""
    user = {key: f"{at}-{value}" for key, value in event["user"].items()}
    return {**event, "user": user}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
