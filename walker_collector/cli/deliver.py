"""`walker deliver`: deliver the events that other processes accept into the spool."""

import os
import sys
import time
from pathlib import Path
from typing import Final

import attrs
import click

from walker_collector.cli.flow_run import FlowRun
from walker_collector.cli.heap import relax_gc
from walker_collector.cli.live_line import live_line
from walker_collector.cli.options import examples, flow_argument, flow_option, json_option
from walker_collector.cli.progress_line import BytesRead, ProgressLine
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.spool_access import spool_of
from walker_collector.cli.streams import say
from walker_collector.cli.summary import Summary
from walker_collector.config import FlowConfig, SpoolConfig
from walker_collector.errors import ConfigError, SpoolError

_INTERVAL: Final = 0.2
"""Seconds between two looks for a signal."""

_Identity = tuple[int, int]


@click.command(
    epilog=examples(
        "walker deliver flow.json",
        "walker -v deliver flow.json",
        "walker deliver flow.json --json > summary.json",
    ),
)
@flow_argument
@flow_option
@json_option
def deliver(flow: Path, name: str | None, as_json: bool) -> None:
    """Deliver the events that other processes accept into the spool of FLOW.

    It reads no events itself, and runs until Ctrl-C or SIGTERM. Where other processes deliver as
    well, each takes its share of the destinations, and takes over when another ends. With
    "deliver": false in the flow's collector, other processes only accept, and this one delivers.

    At a signal it ends what is in flight and hands the rest over; if no other process delivers, it
    does so itself within collector.closeTimeout, and the spool keeps the rest. The figures come on
    stderr, with --json on stdout.

    Exit status: 0 after a signal, 1 if the flow cannot be run or its spool file is lost; 130 after
    Ctrl-C while it starts, 143 after SIGTERM.
    """
    spool = spool_of(flow, name)  # raises for a flow without a spool, before it is run
    with StopSignal() as stop:
        flow_run = FlowRun.of_file(flow, name, stop, _delivering)
        relax_gc()
        opened = _identity(spool)
        say(f"delivering from {spool.place}; Ctrl-C or SIGTERM stops", err=True)
        progress = ProgressLine(flow_run.statuses, BytesRead(complete=True))
        with live_line(progress):
            while stop.signal is None:
                _check_same(spool, opened)
                time.sleep(_INTERVAL)
            summary = flow_run.finish(Summary(), None)
        flow_run.report(summary, as_json, reading=False)
    sys.exit(0)


def _delivering(flow: FlowConfig) -> FlowConfig:
    """Return the flow with deliveries on. Raises ConfigError if it has no destinations."""
    if all(entry.config.disabled for entry in flow.destinations.values()):
        raise ConfigError("destinations: there is none to deliver to; add one", flow.source)
    return attrs.evolve(flow, collector=attrs.evolve(flow.collector, deliver=True))


def _check_same(spool: SpoolConfig, opened: _Identity | None) -> None:
    """Raise SpoolError if the spool file is another one than was opened, or gone."""
    if _identity(spool) != opened:
        raise SpoolError(
            f"spool {spool.path}: the file was deleted, moved or replaced, so nothing more can be "
            "delivered from it; start again"
        )


def _identity(spool: SpoolConfig) -> _Identity | None:
    """Return device and inode of a spool file; None: there is none, or it is a database."""
    try:
        found = os.stat(spool.path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
