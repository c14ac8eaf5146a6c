"""`walker run`: deliver events."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from walker_collector.cli.dry_run import count_effects
from walker_collector.cli.flow_run import FlowRun
from walker_collector.cli.heap import relax_gc
from walker_collector.cli.input_position import InputChanged, begin, no_spool
from walker_collector.cli.live_line import live_line
from walker_collector.cli.options import (
    events_argument,
    examples,
    flow_argument,
    flow_option,
    json_option,
    selection_options,
    verbose,
)
from walker_collector.cli.partition import MOST
from walker_collector.cli.progress_line import BytesRead, ProgressLine
from walker_collector.cli.reader import EventReader, open_events
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.streams import say
from walker_collector.config import FlowConfig
from walker_collector.errors import WalkerError
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry
from walker_collector.sources.file.lines import Stream, size_of
from walker_collector.sources.file.selection import Selection


@click.command(
    epilog=examples(
        "walker run flow.json events.ndjson",
        "tail -f app.ndjson | walker run flow.json",
        "walker run flow.json events.ndjson --json > summary.json",
        "walker run flow.json events.ndjson --timeout 60",
        "walker run flow.json export.ndjson.gz --dry-run",
        "walker run flow.json export.ndjson.gz --resume",
        "walker run flow.json export.ndjson.gz --workers 2 --resume",
        "walker run flow.json export.ndjson.gz --since 2026-01-01 --only 'order *'",
    )
)
@flow_argument
@events_argument
@flow_option
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="S",
    help="Seconds to wait for deliveries at the end. Without it: until all are made, or every "
    "destination with events left is down, has no process that delivers to it, or has failed for "
    "60 s without a delivery.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on where the last run of EVENTS has stopped, also one that was killed. Needs a spool, "
    "and the file as it was; lines may have been added.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only count what would be sent, held, left out and refused, and estimate requests and "
    "time. Nothing leaves the machine, and nothing is stored.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, MOST),
    default=1,
    metavar="N",
    help="Processes that deliver, each to people of its own; one more reads.",
)
@selection_options
@json_option
def run(
    flow: Path,
    events: str,
    name: str | None,
    timeout: float | None,
    resume: bool,
    dry_run: bool,
    workers: int,
    selection: Selection,
    as_json: bool,
) -> None:
    """Deliver EVENTS to the destinations of FLOW.

    EVENTS is a file of JSON objects, one per line; stdin if it is "-" or absent. An array of
    objects, or objects over several lines, are read as well, up to 64 MB. A line is an event, or a
    command: {"name": "walker consent", "data": {"marketing": true}, "user": {"id": "u1"}}, likewise
    "walker user" and "walker globals".

    Bad lines are reported with their numbers, and skipped. Ctrl-C and SIGTERM stop the reading;
    accepted events are delivered within collector.closeTimeout. The figures come on stderr, with
    --json on stdout.

    With --workers, each process gets all events of a person, in their order, and its part of a rate
    limit. With a spool, or for stdin, if one is killed, the others take over. Else the file is read
    twice, first to see which identifiers belong together; if a process is killed, the reading
    stops, and the others deliver what they have.

    Exit status: 0 if every event was delivered, held for consent or left out by a rule; 1 if there
    are bad lines, dead letters or undelivered events; 130 after Ctrl-C, 143 after SIGTERM.
    """
    if dry_run:
        sys.exit(_count(flow, name, events, selection, resume=resume, as_json=as_json))
    registry = Registry().discover()
    loaded = load_flow(flow, flow=name, registry=registry, events_given=True)
    if workers > 1 and not hasattr(os, "fork"):
        raise click.UsageError("--workers needs processes that are forked; this system has none")
    if workers == 1 or loaded.collector.spool is not None:
        _run(loaded, registry, events, selection, timeout, workers, resume=resume, as_json=as_json)
    if resume:
        raise click.UsageError(no_spool(loaded))
    if Path(events).is_file():
        from walker_collector.cli.run_workers import run_in_memory

        sys.exit(run_in_memory(loaded, registry, events, selection, timeout, workers, as_json))
    from walker_collector.cli.memory_spool import in_shared_memory

    with in_shared_memory(loaded, workers) as shared:
        _run(shared, registry, events, selection, timeout, workers, as_json=as_json, temporary=True)


def _run(
    flow: FlowConfig,
    registry: Registry,
    events: str,
    selection: Selection,
    timeout: float | None,
    workers: int,
    *,
    as_json: bool,
    resume: bool = False,
    temporary: bool = False,
) -> NoReturn:
    """Run a flow in this process, or on its spool with workers beside it; exit with the status.

    `temporary`: the spool ends with the run.
    """
    with open_events(events) as stream, StopSignal() as stop:
        position = begin(flow, events, resume=resume)
        flow_run = _start(flow, registry, stop, workers, temporary=temporary)
        relax_gc()
        if resume and position:
            position.announce()
        reader = EventReader(
            flow_run.collector,
            stop,
            all_shown=verbose(),
            selection=selection,
            position=position,
            status=flow_run.status,
        )
        read = BytesRead(size_of(stream), silent=stream.isatty())
        with live_line(ProgressLine(flow_run.statuses, read)):
            complete = _read(reader, stream, read)
            read.complete = True
            summary = flow_run.finish(reader.summary(complete), timeout)
        flow_run.report(summary, as_json)
    sys.exit(stop.exit_status or (0 if summary.ok else 1))


def _count(
    flow: Path, name: str | None, events: str, selection: Selection, *, resume: bool, as_json: bool
) -> int:
    """Count the effects of a run; return the exit status."""
    if resume:
        raise click.UsageError("--dry-run counts all of EVENTS; leave out --resume")
    relax_gc()
    with StopSignal() as stop:
        accepted = count_effects(flow, name, events, selection, stop, as_json)
    return stop.exit_status or (0 if accepted else 1)


def _start(
    flow: FlowConfig, registry: Registry, stop: StopSignal, workers: int, *, temporary: bool
) -> FlowRun:
    """Start the run of a flow in this process, or with workers beside it."""
    if workers == 1:
        return FlowRun(flow, registry, stop)
    from walker_collector.cli.shared_run import SharedRun

    return SharedRun(flow, registry, stop, workers, temporary=temporary)


def _read(reader: EventReader, stream: Stream, read: BytesRead) -> bool:
    """Read the stream, and say if that ended early. Return False if an error ended it."""
    try:
        reader.run(stream, read)
    except InputChanged as error:  # no line was handed on
        say(str(error), err=True, level="error")
        return False
    except WalkerError as error:
        say(f"Error: stopped after line {reader.lines.last}: {error}", err=True)
        return False
    if reader.stop.signal:
        goes_on = "; --resume goes on there" if reader.keeps_position else ""
        say(f"Stopped after line {reader.lines.last}{goes_on}.", err=True)
    return True
