"""`walker simulate`: what each event would do."""

import sys
from pathlib import Path
from typing import Any

import click

from walker_collector.cli.options import (
    events_argument,
    examples,
    flow_argument,
    flow_option,
    json_option,
)
from walker_collector.cli.output import print_json, printable, to_json
from walker_collector.cli.rehearsal import BadLine, Rehearsal
from walker_collector.simulation import Simulated

_COLORS = {"deliver": "green", "held": "yellow", "unidentified": "red", "invalid": "red"}


@click.command(
    epilog=examples(
        "walker simulate flow.json events.ndjson",
        "walker simulate flow.json events.ndjson --json | jq -c .calls",
        """echo '{"name": "order complete"}' | walker simulate flow.json""",
    )
)
@flow_argument
@events_argument
@flow_option
@json_option
def simulate(flow: Path, events: str, name: str | None, as_json: bool) -> None:
    """Show what each event would do, without doing it.

    Nothing leaves the machine, nothing is stored, and no credentials are needed. EVENTS is as for
    `walker run`. Shown is one line per event and destination, and one more for each held event that
    a line releases; the calls of a destination stand below. Extensions take no part. What will
    surely be refused is invalid. With --json the reasons come on stderr as well.

    Exit status: 0; 1 where there are bad lines or invalid events.
    """
    rehearsal = Rehearsal(flow, name)
    for number, result in rehearsal.run(events):
        if as_json:
            print_json(as_object(number, result))
            if result.error:
                click.echo(f"line {number}: {printable(result.error)}", err=True)
        else:
            _print(number, result)
    sys.exit(0 if rehearsal.ok else 1)


def as_object(number: int, result: Simulated | BadLine) -> dict[str, Any]:
    """Return a result under JSON's names; `reason` and `warnings` where there are any."""
    made: dict[str, Any] = {
        "line": number,
        "event": result.event,
        "destination": result.destination,
        "status": result.status,
        "rule": result.rule,
        "calls": result.calls,
    }
    if result.error:
        made["reason"] = result.error
    if result.warnings:
        made["warnings"] = list(result.warnings)
    return made


def _print(number: int, result: Simulated | BadLine) -> None:
    click.echo(headline(number, result))
    for warning in result.warnings:
        click.echo(f"    warning: {printable(warning)}")
    for name, *arguments in result.calls:
        click.echo(f"    {name} {' '.join(map(to_json, arguments))}")


def headline(number: int, result: Simulated | BadLine) -> str:
    """Return the line of a result for people."""
    status = click.style(result.status, fg=_COLORS.get(result.status))
    event = printable(result.event or "?")
    where = f" -> {result.destination}" if result.destination else ""
    rule = f" (rule {printable(result.rule)})" if result.rule else ""
    error = f": {printable(result.error)}" if result.error else ""
    return f"line {number}  {event}{where}  {status}{rule}{error}"
