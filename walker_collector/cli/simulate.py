"""`walker simulate`: show the effects of each event."""

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click
from attrs import Factory, evolve, field, frozen

from walker_collector.cli.options import (
    events_argument,
    examples,
    flow_argument,
    flow_option,
    json_option,
)
from walker_collector.cli.progress_line import BytesRead
from walker_collector.cli.reader import open_events
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.streams import Colored, say, say_json, to_json
from walker_collector.errors import EventError
from walker_collector.events import is_command
from walker_collector.flow import load_flow
from walker_collector.hookspecs import PROJECT, Received
from walker_collector.moments import now_ms
from walker_collector.secret import masked, secrets_in
from walker_collector.simulation import Call, Simulated, Simulation, Status
from walker_collector.sources.file.lines import (
    name_of,
    parse,
    read_lines,
    read_piece,
    read_so_far,
    size_of,
)
from walker_collector.sources.file.selection import ALL, Selection
from walker_collector.text import get_logger

logger = get_logger(PROJECT)

_COLORS = {"deliver": "green", "held": "yellow", "unidentified": "red", "invalid": "red"}


@frozen
class InvalidLine:
    """Result of a line without a valid event; it has the fields of `Simulated` that are shown."""

    event: str | None
    error: str
    destination: None = field(default=None, init=False)
    status: Status = field(default="invalid", init=False)
    rule: None = field(default=None, init=False)
    unmatched: bool = field(default=False, init=False)
    calls: list[Call] = field(default=Factory(list), init=False)
    warnings: tuple[str, ...] = field(default=(), init=False)


class LineSimulation:
    """Simulates the lines of EVENTS. `ok` tells whether every line so far was valid.

    `read`, `commands` and `left_out` count lines: all that are not blank, those with a command, and
    events that are not in `selection`. `untrusted`: as if a sender without a trusted key had sent
    them to a source that has keys.
    Raises ConfigError for a flow that cannot be loaded.
    """

    def __init__(
        self,
        flow: Path,
        name: str | None,
        *,
        untrusted: bool = False,
        selection: Selection = ALL,
    ) -> None:
        config = load_flow(flow, flow=name, credentials=False, events_given=True)
        for warning in config.warnings:
            logger.warning("%s: %s", config.source, warning)
        self._count = 0
        self._untrusted = untrusted
        self._most = config.collector.max_bytes
        self._secrets = frozenset(secrets_in(config))
        self._simulation = Simulation(config, now=now_ms, new_id=self._new_id)
        self._selection = selection
        self.destinations = self._simulation.destinations
        self.read = 0
        self.commands = 0
        self.left_out = 0
        self.ok = True

    def _new_id(self) -> str:
        self._count += 1
        return f"simulated-{self._count}"

    def run(
        self, events: str, progress: BytesRead | None = None, stop: StopSignal | None = None
    ) -> Iterator[tuple[int, Simulated | InvalidLine]]:
        """Yield each result with the number of its line, until a signal ends the reading."""
        progress = progress or BytesRead()
        with open_events(events) as stream:
            progress.size, progress.silent = size_of(stream), stream.isatty()
            for lines in read_lines(stream, stop.read if stop else read_piece):
                if stop and stop.signal:  # the last line may be a part of one
                    return
                progress.count = read_so_far(stream)
                for number, text in lines.numbered():
                    self.read += 1
                    for result in self._push(text):
                        self.ok = self.ok and result.status != "invalid"
                        yield number, result

    def _push(self, text: bytes) -> list[Simulated] | list[InvalidLine]:
        event = None
        try:
            event = parse(text, self._most)
            if is_command(event.get("name")):
                self.commands += 1
            elif not self._selection.has(event):
                self.left_out += 1
                return []
            sent = Received(event, trusted=False, limited=True) if self._untrusted else event
            with redirect_stdout(sys.stderr):  # functions and plugins may print; stdout is ours
                return [
                    evolve(result, calls=masked(result.calls, self._secrets))
                    for result in self._simulation.push(sent)
                ]
        except EventError as error:
            return [InvalidLine(name_of(event), str(error))]


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
@click.option(
    "--untrusted",
    is_flag=True,
    help="As if a sender without a trusted key had sent EVENTS to a source that has keys.",
)
@json_option
def simulate(flow: Path, events: str, name: str | None, untrusted: bool, as_json: bool) -> None:
    """Show the effects of each event, without delivering it.

    Nothing leaves the machine, nothing is stored, and no credentials are needed. EVENTS is as for
    `walker run`. There is one line per event and destination, with the destination's calls below,
    and one more for each held event that a line releases. The extensions that the flow
    names are run. An event that the destination is sure to refuse is invalid. With --json the
    reasons come on stderr as well.

    Exit status: 0; 1 if there are bad lines or invalid events.
    """
    simulation = LineSimulation(flow, name, untrusted=untrusted)
    for number, result in simulation.run(events):
        if as_json:
            say_json(as_object(number, result))
            if result.error:
                say(f"line {number}: {result.error}", err=True)
        else:
            _print(number, result)
    sys.exit(0 if simulation.ok else 1)


def as_object(number: int, result: Simulated | InvalidLine) -> dict[str, Any]:
    """Return a result for --json; with `reason` and `warnings` if it has any."""
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


def _print(number: int, result: Simulated | InvalidLine) -> None:
    say(*headline(number, result))
    for warning in result.warnings:
        say(f"    warning: {warning}")
    for name, *arguments in result.calls:
        say(f"    {name} {' '.join(map(to_json, arguments))}")


def headline(number: int, result: Simulated | InvalidLine) -> tuple[str | Colored, ...]:
    """Return the first line of a result: event, destination, status, rule, error."""
    where = f" -> {result.destination}" if result.destination else ""
    rule = f" (rule {result.rule})" if result.rule else ""
    rule = " (no rule)" if result.unmatched and result.status == "deliver" else rule
    error = f": {result.error}" if result.error else ""
    status = Colored(result.status, _COLORS.get(result.status))
    return f"line {number}  {result.event or '?'}{where}  ", status, f"{rule}{error}"
