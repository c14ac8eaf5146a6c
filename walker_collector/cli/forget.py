"""`walker forget`: a person erased from the spool."""

from pathlib import Path

import click

from walker_collector.cli.clock import now_ms
from walker_collector.cli.options import examples, flow_argument, flow_option, json_option
from walker_collector.cli.output import counted, print_json
from walker_collector.cli.spool_access import owning, spool_of
from walker_collector.consent import Ledger
from walker_collector.identity import identifiers


@click.command(
    epilog=examples(
        "walker forget flow.json --user-id u1",
        "walker forget flow.json --device d1 --session s1",
    )
)
@flow_argument
@flow_option
@click.option("--user-id", metavar="ID", help="The person's id (user.id of events).")
@click.option("--device", metavar="ID", help="A device of theirs (user.device).")
@click.option("--session", metavar="ID", help="A session of theirs (user.session).")
@json_option
def forget(
    flow: Path,
    name: str | None,
    user_id: str | None,
    device: str | None,
    session: str | None,
    as_json: bool,
) -> None:
    """Erase a person from the spool of FLOW, on disk too.

    Every event of theirs that waits, is held or is dead goes, and what they said about consent; so
    does what is known under other identifiers to be theirs. Nothing is delivered meanwhile. FLOW is
    a flow file or a spool file, which no other process may hold: in a running collector, call
    Collector.forget.

    The file is written anew then, so that no copy of theirs is left in unused parts of it.

    Destinations keep what they were sent; erase it there as well.
    """
    user = {"id": user_id, "device": device, "session": session}
    if not identifiers(user):
        raise click.UsageError("name the person: --user-id, --device or --session")
    with owning(spool_of(flow, name)) as spool:
        # Not through a collector: it would go on delivering the person's events meanwhile.
        ledger = Ledger(spool, {}, people_max=100, now=now_ms)
        count = len(spool.forget(ledger.known_as(user)).seqs)
        spool.compact()
    if as_json:
        print_json({"events": count})
    else:
        click.echo(f"{counted(count, 'event')} removed")
