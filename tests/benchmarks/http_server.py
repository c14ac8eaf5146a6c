"""What `walker serve` runs, with a destination that does nothing: a process of its own.

`python -m tests.benchmarks.http_server [SPOOL]`: prints its address; then, for each line on stdin,
what it has done, once all is delivered: {"accepted", "cpu"}.
"""

import json
import sys
import time

from tests.benchmarks.flows import destination, flow
from tests.benchmarks.noop import Batched
from walker_collector import Collector, Registry
from walker_collector.cli.heap import relax_gc
from walker_collector.flow import load_flow
from walker_collector.serving import RunningSources


def main() -> None:
    """Run as the module says."""
    registry = Registry().discover()
    registry.register("batched", Batched)
    settings = {"spool": {"path": sys.argv[1]}} if sys.argv[1:] else {}
    raw = flow({"noop": destination("batched")}, **settings)
    source = {"package": "http", "config": {"settings": {"port": 0}}}
    raw["flows"]["default"]["sources"] = {"web": source}
    loaded = load_flow(raw, registry=registry, serve=True)
    with Collector(loaded, registry) as collector:
        relax_gc()
        sources = RunningSources(
            collector, loaded.sources, registry, lambda id, place: print(place, flush=True)
        )
        for _ in sys.stdin:
            assert collector.flush(120)
            done = {"accepted": collector.status().accepted, "cpu": time.process_time()}
            print(json.dumps(done), flush=True)
        sources.stop()


if __name__ == "__main__":
    main()
