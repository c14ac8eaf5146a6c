"""`walker deliver`: deliver the events that other processes accept into the spool."""

import sys
import time
from pathlib import Path
from typing import Final

import attrs
import click

from walker_collector.cli.options import examples, flow_argument, flow_option
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.spool_access import spool_of
from walker_collector.cli.streams import say
from walker_collector.collector import Collector
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry

_INTERVAL: Final = 0.2
"""Seconds between two looks for a signal."""


@click.command(epilog=examples("walker deliver flow.json"))
@flow_argument
@flow_option
def deliver(flow: Path, name: str | None) -> None:
    """Deliver the events that other processes accept into the spool of FLOW.

    It runs until Ctrl-C or SIGTERM, and takes its share of the destinations where other processes
    deliver as well. Where the flow has "deliver": false, web processes only accept, and this
    delivers.

    Exit status: 0.
    """
    spool_of(flow, name)  # raises for a flow without a spool
    registry = Registry().discover()
    loaded = load_flow(flow, flow=name, registry=registry)
    delivering = attrs.evolve(loaded, collector=attrs.evolve(loaded.collector, deliver=True))
    with StopSignal() as stop, Collector(delivering, registry):
        say(f"delivering from {loaded.collector.spool.path}", err=True)  # type: ignore[union-attr]  # spool_of has it
        while stop.signal is None:
            time.sleep(_INTERVAL)
    sys.exit(0)
