"""`walker check`: one harmless request per destination, and a look at the spool."""

import sys
import tempfile
from pathlib import Path

import click

from walker_collector.checking import Checked, check_destinations
from walker_collector.cli.options import examples, flow_argument, flow_option, json_option
from walker_collector.cli.spool_access import owning
from walker_collector.cli.streams import Colored, say, say_json
from walker_collector.config import SpoolConfig
from walker_collector.errors import SpoolError
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry
from walker_collector.spool import NothingStored
from walker_collector.spool.opening import check_database
from walker_collector.spool.processes.disk import require_local_disk
from walker_collector.spool.sqlite.failure import cannot_open

_COLORS = {"ok": "green", "reachable": "yellow", "wrong": "red", "not checked": "yellow"}


@click.command(
    epilog=examples("walker check flow.json", "walker check flow.json --json"),
)
@flow_argument
@flow_option
@json_option
def check(flow: Path, name: str | None, as_json: bool) -> None:
    """Check address, region and credentials of the destinations of FLOW.

    Each gets one harmless request, which changes nothing: of what is wrong, a line says what to do.
    No event is sent. A destination whose plugin has no check is not checked. "reachable": it
    answers, and has no harmless request that tests the key. A spool is opened, or, if there is none
    yet, a file is made in its folder and removed. A database is asked for the rights of the user,
    and leaseUrl must lead to it.

    Exit status: 0 if nothing is wrong, else 1.
    """
    loaded = load_flow(flow, flow=name, registry=Registry().discover(), events_given=True)
    found = check_destinations(loaded)
    collector = loaded.collector
    # A process that only accepts needs no leases. `walker deliver` does, where the flow has a way.
    delivers = collector.deliver or bool(collector.spool and collector.spool.lease_url)
    spool = _check_spool(collector.spool, delivers, collector.shards) if collector.spool else None
    right = all(item.status != "wrong" for item in (*found.values(), *([spool] if spool else ())))
    if as_json:
        stored = {"spool": _as_object(spool)} if spool else {}
        destinations = {id: _as_object(found[id]) for id in found}
        say_json({"ok": right, **stored, "destinations": destinations})
    else:
        if spool:
            _print("collector.spool", spool)
        for id, item in found.items():
            _print(id, item)
        if not found:
            say("the flow has no destinations")
    sys.exit(0 if right else 1)


def _check_spool(config: SpoolConfig, delivers: bool, shards: int | None) -> Checked:
    """Return whether the spool can be used; a new one is not made."""
    try:
        if config.url is not None:
            check_database(config, config.url, delivers=delivers, shards=shards)
            return Checked("ok")
        try:
            with owning(config):
                pass
        except NothingStored:
            _check_new(Path(config.path))
    except SpoolError as error:
        return Checked("wrong", (str(error),))
    return Checked("ok")


def _check_new(path: Path) -> None:
    """Raise SpoolError unless a spool can be made at this path."""
    real = path.resolve()
    require_local_disk(real)
    try:
        with tempfile.TemporaryFile(dir=real.parent):
            pass
    except OSError as error:
        raise cannot_open(path, error) from None


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
