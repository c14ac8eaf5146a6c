"""Events posted over HTTP: the source `http` beside the original collector behind express.

The server and the clients are pinned to a core each. Both servers map each event and give it to a
destination that does nothing; their CPU time counts until the last one is there.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.flows import CONSENT, MAPPING
from tests.benchmarks.measure import Run, in_turns, scaled
from tests.benchmarks.peers import node
from tests.benchmarks.peers.customerio import ROOT
from tests.benchmarks.report import Goal, Report

_CONNECTIONS: Final = 64
_AIM: Final = 3.0
_SERVERS: Final = ("in memory", "durable", "express, in memory")


def http() -> Report:
    """Single events, and batches of 50."""
    missing = node.available()
    servers = _SERVERS[:2] if missing else _SERVERS
    rows: list[list[Any]] = []
    goals: list[Goal] = []
    for batch, requests in ((1, scaled(40_000)), (50, scaled(2_000))):
        runs = in_turns(*(partial(_measure, server, requests, batch) for server in servers))
        found = dict(zip(servers, runs, strict=True))
        peer = found.get("express, in memory")
        for server, run in found.items():
            ratio = round(peer.micros / run.micros, 2) if peer else "-"
            rows.append([f"{batch} a request", server, round(run.rate), round(run.micros), ratio])
        if peer:
            goals.append(_goal(batch, found["durable"], peer))
    columns = ("events", "server", "requests/s", "CPU us a request", "requests a core, x express")
    notes = [
        "express: @walkeros/collector with a source on express 5 in the manner of its own, whose"
        " package is not on npm; it answers before it pushes. A 200 of ours says that the events"
        " are stored"
    ]
    return Report("http", "Events over HTTP", columns, rows, goals, [missing] if missing else notes)


def _goal(batch: int, ours: Run, peer: Run) -> Goal:
    ratio = peer.micros / ours.micros
    name = f"durable, {batch} a request"
    return Goal(name, f"{_AIM:g} x the requests a core of express", f"{ratio:.2f} x", ratio >= _AIM)


def _measure(server: str, requests: int, batch: int) -> Run:
    with tempfile.TemporaryDirectory() as folder, _serving(_command(server, folder)) as process:
        place = _line(process)
        _load(place, max(_CONNECTIONS, requests // 5), batch)  # warms it up
        before = _figures(process)
        seconds = _load(place, requests, batch)
        after = _figures(process)
    assert after["accepted"] - before["accepted"] == requests * batch, (server, before, after)
    return Run(requests, seconds, after["cpu"] - before["cpu"])


def _command(server: str, folder: str) -> Sequence[str]:
    if server.startswith("express"):
        given = json.dumps({"mapping": MAPPING, "consent": CONSENT})
        return ["node", str(node.FOLDER / "express.mjs"), given]
    spool = [str(Path(folder) / "spool.db")] if server == "durable" else []
    return [sys.executable, "-m", "tests.benchmarks.http_server", *spool]


@contextmanager
def _serving(command: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        _pinned(0, command), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin
            process.stdin.close()  # which ends it


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def _figures(process: "subprocess.Popen[str]") -> Mapping[str, Any]:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()
    figures: dict[str, Any] = json.loads(_line(process))
    return figures


def _load(place: str, requests: int, batch: int) -> float:
    arguments = [place, str(requests), str(batch), str(_CONNECTIONS)]
    command = _pinned(-1, [sys.executable, "-m", "tests.benchmarks.http_load", *arguments])
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def _pinned(core: int, command: Sequence[str]) -> Sequence[str]:
    """Return the command that runs on the first or the last core of this process."""
    return ["taskset", "--cpu-list", str(sorted(os.sched_getaffinity(0))[core]), *command]
