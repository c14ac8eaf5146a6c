"""`walker forget`: erase a person from the spool."""

from pathlib import Path

import click

from walker_collector.cli.options import (
    examples,
    flow_argument,
    flow_option,
    json_option,
    person_of,
    person_options,
)
from walker_collector.cli.spool_access import owning, spool_of
from walker_collector.cli.streams import say, say_json
from walker_collector.errors import SpoolError
from walker_collector.inspector.consent_statements import statements_under
from walker_collector.moments import now_ms
from walker_collector.people.consent import ConsentStore
from walker_collector.people.erasure import Erasure, until_scrubbed
from walker_collector.people.identity import identifiers
from walker_collector.spool import StoredSpool
from walker_collector.text import counted


@click.command(
    epilog=examples(
        "walker forget flow.json --user-id u1",
        "walker forget flow.json --device d1 --session s1",
    )
)
@flow_argument
@flow_option
@person_options
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

    Removed are the person's waiting and held events, their dead letters, and their consent; also
    those stored under other identifiers known to be theirs. The file is rewritten, so that no copy
    is left in its unused parts. Nothing is delivered.

    FLOW is a flow file or a spool file. Collectors may be running.

    Destinations keep the events that were sent to them; erase the person there as well.
    """
    user = person_of(user_id, device, session)
    if not identifiers(user):
        raise click.UsageError("name the person: --user-id, --device or --session")
    with owning(spool_of(flow, name)) as spool:
        # Without a collector, which would deliver the person's events before it erases them.
        consents = ConsentStore(spool, {}, people_max=100, now=now_ms)
        keys = consents.keys_of(user)
        stated = len(statements_under(keys, spool.consent_of))
        others = len({key.removeprefix("~") for key in keys} - {*identifiers(user)})
        erased = Erasure({}, consents, spool).erase(keys)
        _compact(spool, erased.count)
    if as_json:
        say_json({"events": erased.count, "underWay": erased.under_way})
        return
    say(f"{counted(erased.count, 'event')} removed")
    say(_besides(stated, others, is_any=bool(erased.count)), err=True)
    if erased.under_way:
        say(
            f"{counted(erased.under_way, 'call')} with their events still under way in other "
            "processes: these may be delivered, but are not tried again",
            err=True,
        )


def _besides(stated: int, others: int, *, is_any: bool) -> str:
    """Return the line about all removed beside events; `others`: identifiers that nobody named."""
    parts = [
        counted(count, thing)
        for count, thing in ((stated, "consent statement"), (others, "other identifier"))
        if count
    ]
    if parts:
        return f"also removed: {', '.join(parts)}"
    return "nothing else was known of this person" if is_any else "nothing was known of this person"


def _compact(spool: StoredSpool, count: int) -> None:
    try:
        spool.compact()
        until_scrubbed(spool, "the file was written anew")
    except SpoolError as error:
        raise SpoolError(
            f"{counted(count, 'event')} removed, but the file could not be written anew: copies "
            f"may be left in its unused parts. Run the command again. {error}"
        ) from error
