"""`walker people`: show everything known of a person."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import click
from attrs import frozen

from walker_collector.cli.options import (
    data_option,
    examples,
    flow_argument,
    flow_option,
    json_option,
    person_of,
    person_options,
)
from walker_collector.cli.spool_access import flow_of, reading, spool_of
from walker_collector.cli.streams import say, say_json, to_json
from walker_collector.inspector.consent_statements import ConsentStatement, statements_under
from walker_collector.inspector.posted_events import PostedEvent, posted_by
from walker_collector.inspector.traces import EventTrace, Tracer
from walker_collector.moments import moment
from walker_collector.people.identity import identifiers
from walker_collector.spool import StoredSpool, mark_of
from walker_collector.spool.person_keys import is_claimed

_EVERY = 1_000_000


@click.command(
    epilog=examples(
        "walker people flow.json --user-id ines",
        "walker people flow.json --device d-1 --json",
        "walker people flow.json --user-id ines --data --json > ines.json",
    )
)
@flow_argument
@flow_option
@person_options
@data_option
@json_option
def people(
    flow: Path,
    name: str | None,
    user_id: str | None,
    device: str | None,
    session: str | None,
    show_data: bool,
    as_json: bool,
) -> None:
    """Show everything known of a person in the spool of FLOW.

    These are the identifiers that belong to them, their consent with the time and origin of each
    statement, and their events that are waiting, held for consent or dead letters. With --data the
    events are printed in full, as an answer to a request for access. FLOW is a flow file or a spool
    file. Nothing is changed, and collectors may be running.

    Delivered events are not kept: the destinations have them. `walker why` tells what each event
    waits for, `walker forget` erases the person.

    Exit status: 0 if anything is known of the person; 1 if not.
    """
    user = person_of(user_id, device, session)
    if not identifiers(user):
        raise click.UsageError("name the person: --user-id, --device or --session")
    config = spool_of(flow, name)
    with reading(config) as store:
        tracer = Tracer(store, config.place, flow_of(flow, name))
        found = _known(tracer, store, user)
    if as_json:
        say_json(found.as_object(with_data=show_data))
    else:
        for line in found.lines(with_data=show_data):
            say(line)
    sys.exit(0 if found.is_known else 1)


@frozen
class _Known:
    """All that is known of a person. `erasure`: "pending", "likely" (a mark is left), or none."""

    identifiers: list[str]
    claimed_identifiers: list[str]
    consent: list[ConsentStatement]
    counts: dict[str, dict[str, int]]
    events: Sequence[EventTrace]
    posted: Sequence[PostedEvent]
    erasure: str | None
    named: list[str]

    @property
    def is_known(self) -> bool:
        """Whether anything is known but the identifiers that were asked for."""
        return bool(
            self.consent or self.events or self.posted or self.erasure == "pending"
        ) or not ({*self.identifiers, *self.claimed_identifiers} <= {*self.named})

    def as_object(self, *, with_data: bool) -> dict[str, Any]:
        """Return everything for --json; times in ms since 1970."""
        return {
            "known": self.is_known,
            "identifiers": self.identifiers,
            "claimedIdentifiers": self.claimed_identifiers,
            "consent": [attrs.asdict(item) for item in self.consent],
            "counts": self.counts,
            "events": [event.as_object(with_data=with_data) for event in self.events],
            "outbox": [event.as_object(with_data=with_data) for event in self.posted],
            "erasure": self.erasure,
        }

    def lines(self, *, with_data: bool) -> Iterator[str]:
        """Yield everything for people."""
        if self.is_known:
            yield f"identifiers: {', '.join(self.identifiers)}"
            if claims := ", ".join(self.claimed_identifiers):
                yield f"claimed, by senders that are not trusted: {claims}"
            yield "consent:" if self.consent else "consent: nobody has said anything"
            yield from (f"  {_statement_line(item)}" for item in self.consent)
            yield "events:" if self.events else "events: none is waiting, held or dead"
            yield from self._event_lines(with_data=with_data)
            if self.posted:
                yield "in the outbox, to be accepted:"
            for event in self.posted:
                yield f"  {event.event}  {event.id}  {moment(event.at)}"
                if with_data:
                    yield f"    {to_json(event.data)}"
        else:
            yield f"Nothing is known of {', '.join(self.named)}."
        if self.erasure == "pending":
            yield "erasure: it has begun, and goes on"
        elif self.erasure == "likely":
            yield "erasure: somebody with such an identifier was erased, most likely this person"

    def _event_lines(self, *, with_data: bool) -> Iterator[str]:
        for id_, counts in self.counts.items():
            stored = [f"{count:,} {state}" for state, count in counts.items() if count]
            yield f"  {id_}: {', '.join(stored)}"
        for event in self.events:
            where = ", ".join(f"{item.destination} {item.status}" for item in event.deliveries)
            yield f"  {event.event}  {event.id}  {moment(event.accepted)}  {where}"
            if with_data:
                yield f"    {to_json(event.data)}"


def _known(tracer: Tracer, store: StoredSpool, user: dict[str, Any]) -> _Known:
    named = identifiers(user)
    keys = tracer.consents.keys_of(user)
    events = tracer.of_people(keys, _EVERY)
    sure = sorted(key for key in keys if not is_claimed(key))
    claims = sorted({key.removeprefix("~") for key in keys if is_claimed(key)} - {*sure})
    return _Known(
        identifiers=sure,
        claimed_identifiers=claims,
        consent=statements_under(keys, store.consent_of),
        counts=tracer.counts(keys),
        events=events,
        posted=posted_by(store, keys, tracer.consents),
        erasure=_erasure(tracer, store, keys),
        named=named,
    )


def _erasure(tracer: Tracer, store: StoredSpool, keys: set[str]) -> str | None:
    if keys & store.pending_erasures():
        return "pending"
    marks = store.people_since(max(0, tracer.consents.known_version - 9_999)).erased
    return "likely" if any(mark_of(key) in marks for key in keys) else None


def _statement_line(item: ConsentStatement) -> str:
    state = "granted" if item.granted else "denied"
    how = "by an event" if item.origin == "event" else "by a statement"
    claim = ", of a sender that is not trusted" if item.claimed else ""
    return f"{item.key}: {state} at {moment(item.at)} {how}{claim}"
