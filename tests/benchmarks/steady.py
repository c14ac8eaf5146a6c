"""One path for a while, to be looked at with a profiler.

    py-spy record -o picture.svg -- python -m tests.benchmarks.steady core 20

`core` and `durable` go to a destination that does nothing, `customerio` to an emulator.
"""

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import orjson

from tests.benchmarks.core import push_all
from tests.benchmarks.customerio import flow_to, run_lines
from tests.benchmarks.flows import destination
from tests.benchmarks.noop import collector
from tests.benchmarks.peers.customerio import emulator
from tests.benchmarks.workload import mix, orders
from walker_collector import Collector
from walker_collector.cli.heap import relax_gc


def main(name: str, seconds: float) -> None:
    """Push the same events again and again."""
    until = time.monotonic() + seconds
    with ExitStack() as stack:
        if name == "customerio":
            flow = flow_to(stack.enter_context(emulator(0)))
            lines = b"".join(orjson.dumps(event) + b"\n" for event in mix(20_000))
            collected = stack.enter_context(Collector.from_config(flow))
            relax_gc()
            while time.monotonic() < until:
                run_lines(collected, lines)
            return
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = {"spool": {"path": str(folder / "spool.db")}} if name == "durable" else {}
        collected = stack.enter_context(collector({"noop": destination("batched")}, **settings))
        events = orders(20_000)
        relax_gc()
        while time.monotonic() < until:
            push_all(collected, events)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
