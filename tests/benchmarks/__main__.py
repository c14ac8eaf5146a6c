"""Measures, prints and writes: `python -m tests.benchmarks [NAME ...]`; see docs/performance.md."""

import sys

from rich.console import Console

from tests.benchmarks.acceptance import acceptance
from tests.benchmarks.backfill import backfill
from tests.benchmarks.core import core, durable
from tests.benchmarks.customerio import customerio
from tests.benchmarks.database import database
from tests.benchmarks.footprint import footprint
from tests.benchmarks.growth import backlog, growth
from tests.benchmarks.http_source import http
from tests.benchmarks.inspector import inspector
from tests.benchmarks.kafka import kafka
from tests.benchmarks.processes import processes
from tests.benchmarks.report import machine, show, write
from tests.benchmarks.run_workers import run_workers
from tests.benchmarks.waiting import waiting

BENCHMARKS = {
    "core": core,
    "durable": durable,
    "run_workers": run_workers,
    "customerio": customerio,
    "backfill": backfill,
    "acceptance": acceptance,
    "footprint": footprint,
    "waiting": waiting,
    "growth": growth,
    "backlog": backlog,
    "processes": processes,
    "database": database,
    "http": http,
    "kafka": kafka,
    "inspector": inspector,
}


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all of them."""
    if unknown := set(names) - set(BENCHMARKS):
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    console = Console(width=110)
    console.print("; ".join(f"{name}: {value}" for name, value in machine().items()) + "\n")
    reports = []
    for name in names or BENCHMARKS:
        reports.append(BENCHMARKS[name]())
        show(reports[-1], console)
    console.print(f"written to {write(reports)}")


if __name__ == "__main__":
    main(sys.argv[1:])
