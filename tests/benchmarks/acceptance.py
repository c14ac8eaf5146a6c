"""What `push` costs the thread that calls it, while another delivers."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE, Popen
from sys import executable, stdin
from typing import Any

from tests.benchmarks.flows import destination
from tests.benchmarks.measure import Latency, latency, scaled
from tests.benchmarks.noop import collector
from tests.benchmarks.peers.customerio import ROOT
from tests.benchmarks.report import Goal, Report
from tests.benchmarks.workload import Event, mix

_PAUSE = 0.0005


def acceptance() -> Report:
    """One push after the other without a pause, and at most 2,000 a second."""
    events = mix(scaled(20_000))
    rows: list[list[Any]] = []
    goals: list[Goal] = []
    for pace, pause in (("no pause", 0.0), ("2,000/s", _PAUSE)):
        memory, durable, track = (
            _walker(events, pause, None),
            _walker(events, pause, "normal"),
            _segment(events, pause),
        )
        rows += [
            _row(pace, "push, in memory", memory),
            _row(pace, "push, durable", durable),
            _row(pace, "segment-analytics-python, track", track),
        ]
        goals += [
            _goal(f"in memory, {pace}", memory, 20),
            _goal(f"durable, {pace}", durable, 60),
        ]
    columns = ("pace", "call", "p50 us", "p99 us", "longest us")
    return Report("acceptance", "What a call costs its thread", columns, rows, goals)


def _walker(events: Sequence[Event], pause: float, sync: str | None) -> Latency:
    with tempfile.TemporaryDirectory() as folder:
        spool = {"path": str(Path(folder) / "spool.db"), "sync": sync}
        settings = {} if sync is None else {"spool": spool}
        with collector({"noop": destination("batched")}, **settings) as collected:
            return _timed(events, pause, collected.push)


def _segment(events: Sequence[Event], pause: float) -> Latency:
    """`track` with all its sending going to a server that takes everything."""
    from segment.analytics.client import Client

    with _sink() as port:
        client = Client("key", host=f"http://127.0.0.1:{port}", max_queue_size=len(events))

        def track(event: Event) -> None:
            client.track(event["user"]["id"], event["name"], event["data"])

        found = _timed(events, pause, track)
        client.shutdown()
    return found


def _timed(events: Sequence[Event], pause: float, call: Callable[[Event], object]) -> Latency:
    durations = []
    for event in events:
        began = time.perf_counter()
        call(event)
        durations.append(time.perf_counter() - began)
        if pause:
            time.sleep(pause)
    return latency(durations)


@contextmanager
def _sink() -> Iterator[int]:
    """Run this module as a server in a process of its own."""
    command = [executable, "-m", "tests.benchmarks.acceptance"]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin
        assert process.stdout
        yield int(process.stdout.readline())
        process.stdin.close()


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _row(pace: str, call: str, found: Latency) -> list[Any]:
    return [pace, call, round(found.p50, 1), round(found.p99, 1), round(found.worst, 1)]


def _goal(name: str, found: Latency, limit: int) -> Goal:
    measured = f"{found.p50:.1f} us, p99 {found.p99:.0f} us"
    met = found.p50 < limit and found.p99 < 1000
    return Goal(name, f"p50 under {limit} us, p99 under 1,000 us", measured, met)


def _serve() -> None:
    import threading

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    stdin.read()


if __name__ == "__main__":
    _serve()
