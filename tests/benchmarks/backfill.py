"""A file of old events to Customer.io: by `walker run`, and by a loop over the SDK's `batch()`.

Both read the same compressed lines and send to the same emulator. The run keeps every event in a
spool on disk, and its position in the file; its time is that of the whole process.
"""

import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from tests.benchmarks.measure import Run, children_cpu, in_turns, measure, scaled
from tests.benchmarks.peers.customerio import BATCH, Server, emulator, entry
from tests.benchmarks.report import Report
from tests.benchmarks.workload import mix


def backfill() -> Report:
    """Measure both at 0, 20 and 100 ms of latency; their ratio counts."""
    count = scaled(100_000)
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as name:
        export = Path(name) / "export.ndjson.gz"
        with gzip.open(export, "wb", 1) as file:
            file.writelines(orjson.dumps(event) + b"\n" for event in mix(count))
        for latency in (0, 20, 100):
            with emulator(latency) as server:
                ours, by_hand = in_turns(
                    _counted(server, count, lambda server=server: by_walker(server, export, count)),
                    _counted(server, count, lambda server=server: by_sdk(server, export, count)),
                    rounds=2,
                )
            rows += [
                _row(latency, "walker run, with a spool", ours, by_hand),
                _row(latency, "SDK, batch() by hand", by_hand, by_hand),
            ]
    columns = ("way", "latency ms", "events/s", "% of by hand", "CPU us")
    return Report("backfill", "A file of old events to Customer.io", columns, rows)


def _row(latency: int, way: str, run: Run, by_hand: Run) -> list[Any]:
    share = round(100 * run.rate / by_hand.rate)
    return [way, latency, round(run.rate), share, round(run.micros, 1)]


def by_walker(server: Server, export: Path, count: int) -> Run:
    """Run a process that sends the file by way of a new spool."""
    with tempfile.TemporaryDirectory() as name:
        flow = write_flow(Path(name), server)
        command = [sys.executable, "-m", "walker_collector", "run", flow, export, "--resume"]
        cpu, began = children_cpu(), time.perf_counter()
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return Run(count, time.perf_counter() - began, children_cpu() - cpu)


def write_flow(folder: Path, server: Server) -> Path:
    """Write a flow that makes the entries of the loop: names and data as they are."""
    settings = {
        "siteId": "site",
        "apiKey": "key",
        "trackUrl": f"https://localhost:{server.port}",
        "caFile": server.ca_file,
        "rateLimit": 10_000,
    }
    config = {"settings": settings, "mapping": {"*": {"*": {"data": "data"}}}}
    flow = {
        "collector": {"spool": {"path": str(folder / "spool.db")}},
        "destinations": {"customerio": {"package": "customerio", "config": config}},
    }
    path = folder / "flow.json"
    path.write_text(json.dumps(flow))
    return path


def by_sdk(server: Server, export: Path, count: int) -> Run:
    """Send the file in batches of the official SDK, one after the other."""
    from customerio import CustomerIO

    client = CustomerIO("site", "key", host="localhost", port=server.port)

    def work() -> None:
        with gzip.open(export) as lines:
            for batch in _batches(lines):
                client.batch([entry(orjson.loads(line)) for line in batch])

    return measure(count, work)


def _batches(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := list(islice(lines, BATCH)):
        yield batch


def _counted(server: Server, count: int, work: Callable[[], Run]) -> Callable[[], Run]:
    """Return the work, which fails unless every event arrives."""

    def counted() -> Run:
        server.count()
        run = work()
        assert server.count() >= count
        return run

    return counted
