"""Events to Customer.io over TLS: from a line of NDJSON to an acknowledged operation.

CPU time is that of the sending process alone.
"""

import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import orjson

from tests.benchmarks.flows import Json, destination, flow
from tests.benchmarks.measure import Run, in_turns, measure, scaled
from tests.benchmarks.peers import customerio as peers
from tests.benchmarks.peers.customerio import Server, emulator
from tests.benchmarks.report import Goal, Report
from tests.benchmarks.workload import Event, mix
from walker_collector import Collector
from walker_collector.cli.heap import relax_gc
from walker_collector.cli.progress_line import BytesRead
from walker_collector.cli.reader import EventReader
from walker_collector.cli.signals import StopSignal


def customerio() -> Report:
    """Through the collector and by other means, at 0 and 20 ms of latency."""
    many, few = mix(scaled(50_000)), mix(scaled(2_000))
    rows: list[list[Any]] = []
    goals: list[Goal] = []
    for latency in (0, 20):
        with emulator(latency) as server:
            ours, limit, by_hand, threads, tasks, one = in_turns(
                lambda server=server: through(server, many),
                lambda server=server: peers.ready_made(server, many),
                lambda server=server: peers.sdk_batches(server, many[: len(many) // 5]),
                lambda server=server: peers.sdk(server, few, threads=64),
                lambda server=server: peers.async_client(server, few, tasks=64),
                lambda server=server: peers.sdk(server, few[: len(few) // 10]),
                rounds=2,
            )
        rows += [
            _row(latency, "walker-collector", ours),
            _row(latency, "ready-made batches, the limit", limit),
            _row(latency, "customerio SDK, batch() by hand", by_hand),
            _row(latency, "customerio SDK, 64 threads", threads),
            _row(latency, "async-customerio, 64 tasks", tasks),
            _row(latency, "customerio SDK, one by one", one),
        ]
        goals += _goals(latency, ours, threads)
    columns = ("way", "latency ms", "events/s", "CPU us")
    return Report("customerio", "To Customer.io over TLS", columns, rows, goals)


def through(server: Server, events: Sequence[Event]) -> Run:
    """Read, push and deliver every line, until all of it is acknowledged."""
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    lines = b"".join(orjson.dumps(event) + b"\n" for event in events)
    with Collector.from_config(flow_to(server)) as collector, collecting_seldom():
        run_lines(collector, lines)  # memory is the system's until it was used once
        server.count()
        run = measure(len(events), lambda: run_lines(collector, lines))
    assert server.count() >= len(events)
    return run


def flow_to(server: Server) -> Json:
    """Return a flow that sends everything to the emulator."""
    settings = {
        "siteId": "site",
        "apiKey": "key",
        "trackUrl": f"https://localhost:{server.port}",
        "caFile": server.ca_file,
        "rateLimit": 10_000,
        "identify": {"map": {"email": "user.email", "language": "globals.language"}},
    }
    return flow({"customerio": destination("customerio", settings=settings)})


def run_lines(collector: Collector, lines: bytes) -> None:
    """Do what `walker run` does with a file."""
    EventReader(collector, StopSignal()).run(BytesIO(lines), BytesRead())
    assert collector.flush(60)


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Set garbage collection as `walker run` does, for a while."""
    before = gc.get_threshold()
    relax_gc()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def _row(latency: int, way: str, run: Run) -> list[Any]:
    return [way, latency, round(run.rate), round(run.micros, 1)]


def _goals(latency: int, ours: Run, threads: Run) -> list[Goal]:
    if latency == 0:
        cpu = f"{ours.micros:.1f} us"
        return [Goal("CPU from line to acknowledgement", "under 25 us", cpu, ours.micros < 25)]
    times = ours.rate / threads.rate
    wanted = "40 times the rate of 64 calls in flight"
    return [Goal(f"rate at {latency} ms", wanted, f"{times:.0f}", times >= 40)]
