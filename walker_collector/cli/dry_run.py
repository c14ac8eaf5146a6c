"""`walker run --dry-run`: count the effects of a run, and estimate its requests and time."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from walker_collector.cli.effects import DELIVERIES, Effects, Reasons, Requests
from walker_collector.cli.live_line import live_line
from walker_collector.cli.output import print_table
from walker_collector.cli.progress_line import BytesRead, CountLine, clock
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.simulate import InvalidLine, LineSimulation
from walker_collector.cli.streams import say, say_json
from walker_collector.errors import WalkerError
from walker_collector.simulation import Simulated
from walker_collector.sources.file.line_reader import SHOWN, BadLines
from walker_collector.sources.file.selection import Selection
from walker_collector.text import counted

_STATUSES: Final = ("deliver", "held", "ignored", "empty", "dropped", "unidentified", "invalid")
_ALWAYS: Final = ("deliver", "held", "ignored", "invalid")
"""Columns that are shown even if they have nothing but zeros."""
_MORE: Final = "more bad lines are counted, not shown; --json has their numbers"


def count_effects(
    flow: Path,
    name: str | None,
    events: str,
    selection: Selection,
    stop: StopSignal,
    as_json: bool,
) -> bool:
    """Count the effects of EVENTS, and print them. Return whether nothing would be refused.

    A signal ends the reading, and so does a file that is cut off or damaged; then the lines so far
    are counted.
    """
    simulation = LineSimulation(flow, name, selection=selection)
    effects = {item.id: Effects(item) for item in simulation.destinations}
    bad = BadLines(partial(say, err=True, level="warning"), _MORE)
    progress = BytesRead()
    failure: WalkerError | None = None
    with live_line(CountLine(lambda: simulation.read, progress)):
        try:
            _count(simulation.run(events, progress, stop), effects, bad)
        except WalkerError as error:
            if not simulation.read:
                raise
            failure = error
        for item in effects.values():
            item.finish()
    read = counted(simulation.read, "line")
    if failure:
        say(f"Error: stopped after {read}, and the figures end there: {failure}", err=True)
    elif stop.signal:
        say(f"Stopped after {read}; the figures end there.", err=True)
    if as_json:
        destinations = {id_: _as_json(item) for id_, item in effects.items()}
        figures = {**_figures(simulation, bad), "bad_lines": bad.numbers}
        say_json({**figures, "destinations": destinations})
    else:
        _print(_figures(simulation, bad), effects)
    return not failure and not bad.count and not any(item.refused for item in effects.values())


def _count(
    results: Iterable[tuple[int, Simulated | InvalidLine]],
    effects: Mapping[str, Effects],
    bad: BadLines,
) -> None:
    """Count the results of all lines."""
    for number, result in results:
        if isinstance(result, InvalidLine):
            bad.note(number, result.error)
            bad.report()
        else:
            effects[result.destination].add(number, result)


def _figures(simulation: LineSimulation, bad: BadLines) -> dict[str, int]:
    return {
        "read": simulation.read,
        "left_out": simulation.left_out,
        "commands": simulation.commands,
        "bad": bad.count,
    }


def _as_json(effects: Effects) -> dict[str, Any]:
    return {
        **{status: effects.statuses[status] for status in _STATUSES},
        "calls": dict(effects.calls),
        "reasons": _reasons_as_json(effects.refused),
        "warnings": _reasons_as_json(effects.warnings),
        "requests": {
            name: {"count": item.count, "rate": item.rate, "seconds": item.seconds}
            for name, item in effects.requests.items()
        },
    }


def _reasons_as_json(reasons: Reasons) -> list[dict[str, Any]]:
    return [
        {"reason": item.text, "count": item.count, "line": item.line} for item in reasons.sorted()
    ]


def _print(figures: Mapping[str, int], effects: Mapping[str, Effects]) -> None:
    """Print all figures on stdout, the table first."""
    parts = [f"{figures['read']:,} read"]
    parts += [f"{figures['left_out']:,} left out"] if figures["left_out"] else []
    parts += [counted(figures["commands"], "command")] if figures["commands"] else []
    parts += [f"{figures['bad']:,} bad"] if figures["bad"] else []
    say(f"{', '.join(parts)}; nothing was sent or stored")
    shown = [
        status
        for status in _STATUSES
        if status in _ALWAYS or any(item.statuses[status] for item in effects.values())
    ]
    print_table(
        ["destination", *shown],
        [[id_, *(item.statuses[status] for status in shown)] for id_, item in effects.items()],
    )
    for id_, item in effects.items():
        _print_details(id_, item)


def _print_details(id_: str, effects: Effects) -> None:
    """Print the calls and requests of a destination, and its refusals."""
    if effects.calls:
        calls = (f"{count:,} {name}" for name, count in effects.calls.most_common())
        say(f"{id_}: calls: {', '.join(calls)}")
    for name, requests in effects.requests.items():
        if requests.rate is not None:
            say(f"{id_}: {_requests(name, requests)}")
    _print_reasons(id_, "refused", effects.refused)
    _print_reasons(id_, "with a warning", effects.warnings)


def _print_reasons(id_: str, what: str, reasons: Reasons) -> None:
    found = reasons.sorted()
    for reason in found[:SHOWN]:
        say(f"{id_}: {reason.count:,} {what}, the first on line {reason.line}: {reason.text}")
    if len(found) > SHOWN:
        say(f"{id_}: {counted(len(found) - SHOWN, 'more reason')}; --json has them")


def _requests(name: str, requests: Requests) -> str:
    """Return the line of a limit."""
    what = f"{counted(requests.count, 'request')} to the {name}"
    if name == DELIVERIES:
        what = f"{requests.count:,} {'delivery' if requests.count == 1 else 'deliveries'}"
    return f"about {what}, at {requests.rate:g}/s: {clock(requests.seconds or 0)} at least"
