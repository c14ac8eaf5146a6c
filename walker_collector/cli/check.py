"""`walker check`: one harmless request per destination."""

import sys
from pathlib import Path

import click

from walker_collector.checking import Checked, check_destinations
from walker_collector.cli.options import examples, flow_argument, flow_option, json_option
from walker_collector.cli.streams import Colored, say, say_json
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry

_COLORS = {"ok": "green", "reachable": "yellow", "wrong": "red", "not checked": "yellow"}


@click.command(
    short_help="Check address and credentials of each destination.",
    epilog=examples("walker check flow.json", "walker check flow.json --json"),
)
@flow_argument
@flow_option
@json_option
def check(flow: Path, name: str | None, as_json: bool) -> None:
    """Check address, region and credentials of the destinations of FLOW.

    Each gets one harmless request, which changes nothing: of what is wrong, a line says what to do.
    No event is sent. A destination whose plugin has no check is not checked. "reachable": it
    answers, and has no harmless request that tests the key.

    Exit status: 0 if nothing is wrong, else 1.
    """
    loaded = load_flow(flow, flow=name, registry=Registry().discover(), events_given=True)
    found = check_destinations(loaded)
    right = all(item.status != "wrong" for item in found.values())
    if as_json:
        say_json({"ok": right, "destinations": {id: _as_object(found[id]) for id in found}})
    else:
        for id, item in found.items():
            _print(id, item)
        if not found:
            say("the flow has no destinations")
    sys.exit(0 if right else 1)


def _as_object(item: Checked) -> dict[str, object]:
    return {"status": item.status, "reasons": list(item.reasons)}


def _print(id: str, item: Checked) -> None:
    status = Colored(item.status, _COLORS[item.status])
    if item.status == "not checked":
        say(f"{id}: ", status, f" ({'; '.join(item.reasons)})")
        return
    say(f"{id}: ", status, ", key not tested" if item.status == "reachable" else "")
    for reason in item.reasons:
        say(f"    {reason}")
