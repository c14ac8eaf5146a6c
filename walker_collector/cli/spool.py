"""`walker spool`: what is stored."""

from pathlib import Path

import attrs
import click

from walker_collector.cli.backlog import Backlog, backlog, clear
from walker_collector.cli.clock import now_ms
from walker_collector.cli.options import FILE, examples, flow_option, json_option, yes_option
from walker_collector.cli.output import counted, duration, print_json, print_table
from walker_collector.cli.spool_access import check_destination, owning, reading, spool_of


@click.group(
    epilog=examples("walker spool status flow.json", "walker spool drop flow.json old-crm")
)
def spool() -> None:
    """Look into the spool, where accepted events wait."""


@spool.command(
    epilog=examples("walker spool status flow.json", "walker spool status spool.db --json")
)
@click.argument("flow", type=FILE)
@flow_option
@json_option
def status(flow: Path, name: str | None, as_json: bool) -> None:
    """Show what the spool of FLOW holds for each destination.

    FLOW is a flow file or a spool file. Nothing is changed, and a collector that runs goes on. What
    its worker processes store beside it counts, too.

    waiting: to be delivered. due: of these, the ones that wait for a retry. held: for consent.
    dead: dead letters. oldest: age of the oldest that waits or is held.
    """
    config = spool_of(flow, name)
    with reading(config) as spools:
        found = backlog(spools, now_ms())
    if as_json:
        rows = {id_: attrs.asdict(item) for id_, item in found.items()}
        print_json({"spool": config.path, "destinations": rows})
        return
    click.echo(config.path)
    print_table(
        ("destination", "waiting", "due", "held", "dead", "oldest"),
        [
            (id_, item.waiting, item.due, item.held, item.dead, duration(item.oldest_age))
            for id_, item in found.items()
        ],
    )


@spool.command(epilog=examples("walker spool drop flow.json old-crm"))
@click.argument("flow", type=FILE)
@click.argument("destination")
@flow_option
@yes_option
def drop(flow: Path, destination: str, name: str | None, yes: bool) -> None:
    """Remove all that is kept for DESTINATION.

    For a destination that a flow no longer has: what waits, is held or is dead goes for good, for
    this destination alone. No other process may hold the spool.
    """
    with owning(spool_of(flow, name)) as store:
        check_destination(destination, flow, name, [store])
        item = backlog([store], now_ms()).get(destination, Backlog())
        count = item.waiting + item.held + item.dead
        if count and not yes:
            question = f"Drop {counted(count, 'event')} kept for {destination} for good?"
            click.confirm(question, abort=True, err=True)
        clear(store, destination)
    click.echo(f"{counted(count, 'event')} dropped", err=True)
