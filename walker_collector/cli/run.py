"""`walker run`: events to their destinations."""

import sys
from pathlib import Path

import click

from walker_collector.cli.flow_run import FlowRun
from walker_collector.cli.garbage import collect_seldom
from walker_collector.cli.lines import Stream, open_events, size_of
from walker_collector.cli.options import (
    events_argument,
    examples,
    flow_argument,
    flow_option,
    json_option,
    verbose,
)
from walker_collector.cli.progress import Bar, Unseen, progress
from walker_collector.cli.reader import BadLines, EventReader
from walker_collector.cli.signals import StopSignal
from walker_collector.errors import WalkerError


@click.command(
    epilog=examples(
        "walker run flow.json events.ndjson",
        "tail -f app.ndjson | walker run flow.json",
        "walker run flow.json events.ndjson --json > summary.json",
        "walker run flow.json events.ndjson --timeout 60",
    )
)
@flow_argument
@events_argument
@flow_option
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="S",
    help="Seconds to wait at the end for what is not delivered yet. Without it: until all is, or "
    "every destination with something left is down, or has failed for 60 s without a delivery.",
)
@json_option
def run(flow: Path, events: str, name: str | None, timeout: float | None, as_json: bool) -> None:
    """Deliver EVENTS to the destinations of FLOW.

    EVENTS is a file of JSON objects, one per line; stdin where it is "-" or absent. An array of
    them, or objects over several lines, will do up to 64 MB. A line is an event, or a command:
    {"name": "walker consent", "data": {"marketing": true}, "user": {"id": "u1"}}, likewise
    "walker user" and "walker globals".

    Bad lines are reported with their number, the rest goes on. Ctrl-C and SIGTERM stop the reading;
    what was accepted is delivered within collector.closeTimeout. The figures come on stderr, with
    --json on stdout.

    Exit status: 0 where every event was delivered, held for consent or left out by a rule; 1 where
    there are bad lines, dead letters or undelivered events; 130 after Ctrl-C, 143 after SIGTERM.
    """
    with open_events(events) as stream, StopSignal() as stop:
        flow_run = FlowRun(flow, name, stop)
        collect_seldom()
        reader = EventReader(flow_run.collector, stop, bad=BadLines(all_shown=verbose()))
        with progress(size_of(stream)) as seen:
            complete = _read(reader, stream, seen)
            summary = flow_run.finish(reader.summary(complete), timeout, seen.waiting)
        flow_run.report(summary, as_json)
    sys.exit(stop.exit_status or (0 if summary.ok else 1))


def _read(reader: EventReader, stream: Stream, watcher: Bar | Unseen) -> bool:
    """Push everything; say so, and return False, where that ended before the end."""
    try:
        reader.run(stream, watcher)
    except WalkerError as error:
        click.echo(f"Stopped after line {reader.last}: {error}", err=True)
        return False
    if reader.stop.signal:
        click.echo(f"Stopped after line {reader.last}.", err=True)
    return True
