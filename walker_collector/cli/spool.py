"""`walker spool`: count or drop the events stored for each destination."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import click
from attrs import Factory, frozen

from walker_collector.cli.options import (
    FILE,
    HelpfulGroup,
    examples,
    flow_option,
    json_option,
    yes_option,
)
from walker_collector.cli.output import duration, outbox_line, print_table
from walker_collector.cli.spool_access import (
    check_destination,
    fullness,
    owning,
    reading,
    spool_of,
)
from walker_collector.cli.streams import Colored, say, say_json
from walker_collector.config import SpoolConfig
from walker_collector.inspector.stored_counts import (
    OutboxCounts,
    StoredCounts,
    outbox_counts,
    stored_counts,
)
from walker_collector.moments import moment, now_ms
from walker_collector.spool import (
    Member,
    NothingStored,
    Observer,
    SpoolUpdate,
    StoredSpool,
    UpdateKind,
)
from walker_collector.spool.deliverer import NOBODY, trouble
from walker_collector.text import counted

_PAGE: Final = 10_000
"""Events dropped in one transaction."""


@click.group(
    cls=HelpfulGroup,
    epilog=examples("walker spool status flow.json", "walker spool drop flow.json old-crm"),
)
def spool() -> None:
    """Count or drop the events in the spool."""


@spool.command(
    epilog=examples("walker spool status flow.json", "walker spool status spool.db --json")
)
@click.argument("flow", type=FILE)
@flow_option
@json_option
def status(flow: Path, name: str | None, as_json: bool) -> None:
    """Count the events in the spool of FLOW, for each destination.

    FLOW is a flow file or a spool file, which does not tell the flow's bounds. Nothing is changed,
    and collectors may be running.

    waiting: to be delivered. retrying: those of them that have failed, and wait for a retry. held:
    for consent. dead: dead letters. oldest: age of the oldest event that waits. A line
    below tells where events wait and why nothing goes out: no process delivers, the one that has to
    is stopped, or the destination is down or failing. Another one counts the events that have been
    pushed in transactions, and wait in the outbox to be accepted. Then come the processes that use
    the spool, with the destinations that each delivers to now. A full spool, which takes no more
    events, is named with the bound that it has reached; a database that takes no writes as well.
    """
    contents = _contents(spool_of(flow, name))
    if as_json:
        say_json(_as_object(contents))
    elif contents.nothing:
        say(contents.nothing)
    else:
        _print_contents(contents)


@frozen
class _Contents:
    """The contents of a spool, and the processes that use it.

    nothing: the reason why there is nothing to count. full: the bound that it has reached. trouble:
    why the store cannot be used. processes: each with the destinations that it delivers to now.
    """

    place: str
    nothing: str = ""
    full: str = ""
    trouble: str = ""
    counts: Mapping[str, StoredCounts] = Factory(dict)
    outbox: OutboxCounts | None = None
    processes: Sequence[tuple[Member, Sequence[str]]] = ()


def _contents(config: SpoolConfig) -> _Contents:
    """Return the contents of a spool. Raises SpoolError."""
    try:
        with reading(config) as store:
            counts = stored_counts(store, now_ms())
            for id_, item in counts.items():
                item.reason = _why_waiting(store.observer, id_) if item.waiting else ""
            processes = store.observer.deliveries(counts)
            return _Contents(
                config.place,
                full=fullness(config, store),
                trouble=store.trouble,
                counts=counts,
                outbox=outbox_counts(store, processes, now_ms()),
                processes=processes,
            )
    except NothingStored as error:
        return _Contents(config.place, nothing=str(error))


def _why_waiting(observer: Observer, destination: str) -> str:
    """Return the reason why nothing is delivered to a destination; "" if it is."""
    return trouble([*observer.deliverers(destination).values()] or [NOBODY])


def _as_object(contents: _Contents) -> dict[str, Any]:
    """Return the contents of a spool as an object of JSON."""
    return {
        "spool": contents.place,
        "trouble": contents.trouble,
        "full": contents.full,
        "destinations": {id_: attrs.asdict(item) for id_, item in contents.counts.items()},
        "outbox": attrs.asdict(contents.outbox) if contents.outbox else None,
        "processes": [
            {
                "pid": member.pid,
                "host": member.host,
                "since": _since(member),
                "delivers": delivers,
                "silent": member.silent,
            }
            for member, delivers in contents.processes
        ],
    }


def _print_contents(contents: _Contents) -> None:
    say(contents.place)
    if contents.trouble:
        say(Colored(contents.trouble, "yellow"))
    if contents.full:
        say(Colored(contents.full, "yellow"), "; new events are refused until some have left")
    print_table(
        ("destination", "waiting", "retrying", "held", "dead", "oldest"),
        [
            (
                *(id_, item.waiting, item.retrying, item.held, item.dead),
                duration(item.oldest_age) if item.waiting else "",
            )
            for id_, item in contents.counts.items()
        ],
    )
    for id_, item in contents.counts.items():
        if item.reason:
            say(f"{id_}: {item.reason}")
    if (outbox := contents.outbox) and outbox.waiting:
        say(outbox_line(outbox.waiting, outbox.oldest_age, outbox.reason))
    if contents.processes:
        _print_processes(contents.processes)


def _print_processes(processes: Sequence[tuple[Member, Sequence[str]]]) -> None:
    say("")
    print_table(
        ("process", "host", "since", "delivers to"),
        [
            (
                str(member.pid),
                member.host,
                _since(member),
                ", ".join(delivers) + (" (gives no sign of life)" if member.silent else ""),
            )
            for member, delivers in processes
        ],
    )


def _since(member: Member) -> str:
    return moment(round(member.since * 1000))


@spool.command(epilog=examples("walker spool drop flow.json old-crm"))
@click.argument("flow", type=FILE)
@click.argument("destination")
@flow_option
@yes_option
def drop(flow: Path, destination: str, name: str | None, yes: bool) -> None:
    """Remove all events stored for DESTINATION.

    Meant for a destination that the flow no longer has. Its waiting and held events and its dead
    letters are gone for good; other destinations keep theirs. Collectors may be running.
    """
    with owning(spool_of(flow, name)) as store:
        check_destination(destination, flow, name, [store])
        item = stored_counts(store, now_ms()).get(destination, StoredCounts())
        count = item.waiting + item.held + item.dead
        if count and not yes:
            question = f"Drop {counted(count, 'event')} kept for {destination} for good?"
            click.confirm(question, abort=True, err=True)
        _clear(store, destination)
        store.announce()
    say(f"{counted(count, 'event')} dropped", err=True)


def _clear(store: StoredSpool, destination: str) -> None:
    """Remove all events stored for a destination."""
    store.delete_dead(store.dead(destination))
    store.settle(
        destination, [SpoolUpdate(item.entry, UpdateKind.ACKED) for item in store.held(destination)]
    )
    while waiting := store.load(destination, 0, _PAGE):
        store.settle(destination, [SpoolUpdate(item.entry, UpdateKind.ACKED) for item in waiting])
