"""`walker why`: show the fate of an event, or of a person's latest events."""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import click

from walker_collector.cli.ignored import ignored_names, ignoring_rules
from walker_collector.cli.options import (
    data_option,
    examples,
    flow_argument,
    flow_option,
    json_option,
    limit_option,
    person_of,
    person_options,
)
from walker_collector.cli.output import duration
from walker_collector.cli.spool_access import flow_of, fullness, reading, spool_of
from walker_collector.cli.streams import Colored, say, say_json, to_json
from walker_collector.config import DestinationConfig
from walker_collector.inspector.deliverers import Attendance
from walker_collector.inspector.missing_consent import MissingConsent, Statement
from walker_collector.inspector.posted_events import PostedEvent, posted_by, posted_with_id
from walker_collector.inspector.traces import Delivery, EventTrace, Tracer, shown_person
from walker_collector.moments import moment
from walker_collector.people.identity import identifiers
from walker_collector.spool.damage import LATEST
from walker_collector.text import counted

_GIVEN_UP: Final = re.compile(r"given up after [\d,]+ attempts?:")
_COLORS: Final = {"held": "yellow", "waiting": "yellow", "dead": "red", "delivered": "green"}
_ENDS: Final = {
    "empty": "it gave the destination nothing to send",
    "dropped": "it was denied consent and not kept, or it left its hold or its spool undelivered",
    "deleted": "its dead letter was deleted, by hand or beyond dlqMax",
    "erased": "its person was erased first",
}


@click.command(
    epilog=examples(
        "walker why flow.json --event 4f0a9c11d2e3b4a5",
        "walker why flow.json --user-id ines",
        "walker why flow.json --session s-1 --json | jq .events[].deliveries[]",
    ),
)
@flow_argument
@flow_option
@click.option("--event", "id_", metavar="ID", help="An event, by its id.")
@person_options
@limit_option
@data_option
@json_option
def why(
    flow: Path,
    name: str | None,
    id_: str | None,
    user_id: str | None,
    device: str | None,
    session: str | None,
    limit: int,
    show_data: bool,
    as_json: bool,
) -> None:
    """Show the fate of an event, or of a person's events.

    For each destination: held, with the consent that is missing; waiting, and for what; dead, with
    the reason; delivered, ignored, dropped or erased lately; and what to do. FLOW is a flow file or
    a spool file; a spool alone does not say which consent is required. Nothing is changed, and
    collectors may be running.

    An event that has left the spool is known for as long as its id is remembered: for a day if a
    source took it (collector.recent), else not at all. A person's delivered events are not kept.
    Only ids are shown of people, unless --data is given.

    An event that was pushed in a transaction waits in the outbox until a process accepts it.

    Exit status: 0 if there is a trace of the event, or of an event of the person; 1 if not.
    """
    user = person_of(user_id, device, session)
    if (id_ is None) == (not identifiers(user)):
        raise click.UsageError(
            "name either the event (--event) or the person (--user-id, --device, --session)"
        )
    config = spool_of(flow, name)
    with reading(config) as store:
        tracer = Tracer(store, config.place, flow_of(flow, name))
        if id_ is not None:
            events, posted = tracer.events(id_), posted_with_id(store, id_)
            subject: dict[str, Any] = {"event": id_}
        else:
            keys = tracer.consents.keys_of(user)
            events, posted = tracer.of_people(keys, limit), posted_by(store, keys, tracer.consents)
            subject = {"person": sorted(keys), "counts": tracer.counts(keys)}
        full = fullness(config, store)
        answer = _Answer(tracer, subject, events, posted, str(flow), full, show_data=show_data)
        if as_json:
            say_json(answer.as_object())
        else:
            answer.print()
    sys.exit(0 if events or posted else 1)


@attrs.frozen
class _Answer:
    """The traces that were found, with the destinations that they depend on."""

    tracer: Tracer
    subject: Mapping[str, Any]
    events: list[EventTrace]
    posted: list[PostedEvent]
    flow: str
    full: str
    show_data: bool = attrs.field(kw_only=True)

    def as_object(self) -> dict[str, Any]:
        """Return the answer for --json; times in ms since 1970."""
        return {
            **self.subject,
            "events": [event.as_object(with_data=self.show_data) for event in self.events],
            "outbox": [event.as_object(with_data=self.show_data) for event in self.posted],
            "destinations": {item.destination: item.as_object() for item in self._attended()},
            "ignores": {id_: list(ignored_names(config)) for id_, config in self._configs()},
        }

    def _attended(self) -> list[Attendance]:
        """Return the deliverers that events wait for; of several shards, one in trouble last."""
        deliveries = (item for event in self.events for item in event.deliveries)
        waiting = [item for item in deliveries if item.status == "waiting"]
        found = [self.tracer.attendance(item) for item in waiting]
        return sorted(found, key=lambda item: (item.destination, item.is_in_trouble))

    def _configs(self) -> Iterator[tuple[str, DestinationConfig]]:
        for id_, entry in self.tracer.flow.destinations.items() if self.tracer.flow else ():
            yield id_, entry.config

    def print(self) -> None:
        """Print the answer for people."""
        if "person" in self.subject:
            self._print_person()
        for number, event in enumerate(self.events):
            if number:
                say("")
            self._print_event(event)
        for posted in self.posted:
            self._print_posted(posted)
        if not self.events and not self.posted:
            for line in self._no_trace():
                say(line)
        nameless = (event for event in self.events if not event.event)
        if not (self.events or self.posted) or any(_is_ignored(event) for event in nameless):
            for number, line in enumerate(self._ignored()):
                if self.events and not number:
                    say("")
                say(line)

    def _print_person(self) -> None:
        say(", ".join(key for key in self.subject["person"] if not key.startswith("~")))
        for id_, counts in self.subject["counts"].items():
            stored = [f"{count:,} {state}" for state, count in counts.items() if count]
            say(f"  {id_}: {', '.join(stored)}")
        say("")

    def _print_event(self, event: EventTrace) -> None:
        say(f"{event.event or 'event'}  {event.id}")
        person = f" for {shown_person(event.person)}" if event.person else ""
        say(f"  accepted at {moment(event.accepted)}{person}")
        for item in event.deliveries:
            since = f" since {moment(item.at)}" if item.status in ("held", "waiting") else ""
            at = f" at {moment(item.at)}" if item.at and not since else ""
            say(
                f"  {item.destination}: ", Colored(item.status, _COLORS.get(item.status)), since, at
            )
            for line in self._lines(item, event):
                say(f"    {line}")
        if self.show_data and event.data is not None:
            say(f"  {to_json(event.data)}")

    def _print_posted(self, event: PostedEvent) -> None:
        say(f"{event.event or 'event'}  {event.id}")
        since = f"since {moment(event.at)}, the time of its push"
        say("  ", Colored("in the outbox", "yellow"), f" {since}")
        say("    its transaction has committed; a process that delivers accepts it")
        say(f"    `walker spool status {self.flow}` shows whether there is one")
        if self.show_data:
            say(f"  {to_json(event.data)}")

    def _lines(self, item: Delivery, event: EventTrace) -> Iterator[str]:
        if item.status == "held" and item.missing is not None:
            yield from self._held(item, item.missing, event)
        elif item.status == "waiting":
            yield from self._waits(item)
        elif item.status == "dead":
            yield from self._dead(item, event)
        elif item.reason:
            yield item.reason
        elif item.status in ("ignored", "unknown") and event.event:
            yield from self._ignoring(item, event.event)
        elif item.status in _ENDS:
            yield _ENDS[item.status]

    def _ignoring(self, item: Delivery, name: str) -> Iterator[str]:
        config = self.tracer.config_of(item.destination)
        rules = ignoring_rules(config, name) if config else []
        yield from rules
        if item.status == "unknown" and not rules:
            yield "delivered already, or never meant for it: its id is not remembered"

    def _held(self, item: Delivery, missing: MissingConsent, event: EventTrace) -> Iterator[str]:
        if not missing.known:
            yield "for consent; give the flow file in place of the spool to learn which"
            return
        if missing.is_granted:
            attended = self.tracer.attendance(item)
            yield "its consent is granted now, and it is released when somebody delivers"
            yield from attended.lines()
            return
        rule = f" (rule {missing.rule})" if missing.rule else ""
        yield f"needs consent to {_choice(missing)}{rule}"
        yield from map(_said, missing.statements)
        config = self.tracer.config_of(item.destination)
        if config is not None:
            yield _hope(missing, event.person)
            dropped_at = min(event.accepted + config.queue_age, LATEST)
            yield f"dropped at {moment(dropped_at)} (queueAge)"

    def _waits(self, item: Delivery) -> Iterator[str]:
        attended = self.tracer.attendance(item)
        if item.reason:
            yield f"{_failures(item.attempts)} at {moment(item.tried)}: {item.reason}"
        if attended.is_in_trouble:
            yield from attended.lines(item.reason)
        elif item.due:
            again = f"at {moment(item.due)}" if item.due > self.tracer.now else "any moment now"
            yield f"it is tried again {again}"
        elif item.under_way:
            yield "a call with this person's events is under way"
        elif item.behind:
            yield f"behind event {item.behind} of the same person, which is tried again"
        else:
            ahead = counted(self.tracer.waiting.get(item.destination, 0), "event")
            yield f"in the queue, with {ahead} in all"
            yield from attended.lines()

    def _dead(self, item: Delivery, event: EventTrace) -> Iterator[str]:
        yield death(item.attempts, item.reason)
        if item.parts:
            yield ", ".join(f"{part} {state}" for part, state in item.parts.items())
        yield "mend the cause, then deliver it again, or delete it:"
        for verb in ("replay", "drop"):
            flow = self.flow if self.tracer.flow else "FLOW"
            yield f"walker dead {verb} {flow} --id {event.id}"

    def _no_trace(self) -> Iterator[str]:
        tracer = self.tracer
        if "person" in self.subject:
            yield f"No event of this person is waiting, held or dead in {tracer.place}."
            yield "Delivered events are known by their ids alone: `walker why FLOW --event ID`."
            yield f"`walker people {self.flow}` tells what else is known of the person."
            return
        yield f"No trace of event {self.subject['event']} in {tracer.place}."
        yield "  It was never accepted: see the answer that its sender got, and the log."
        if self.full:
            yield f"  The spool may have refused it: now it is {self.full}."
        yield "  Or every destination has got or ignored it, and its id is not remembered."
        yield "  Or it was a dead letter, and was dropped (walker dead drop) or went beyond dlqMax."
        yield "  Or its person was erased (walker forget, collector.forget)."
        asked = tracer.flow.collector.recent if tracer.flow else None
        period = duration(tracer.recent / 1000).replace(".0 ", " ")
        pushed = "also ids given to push" if asked else "ids given to push are not"
        yield f"  Ids from sources are remembered for {period}, {pushed} (collector.recent)."

    def _ignored(self) -> Iterator[str]:
        lines = [
            f"  {id_} ignores {', '.join(found)}"
            for id_, config in self._configs()
            if (found := list(ignored_names(config)))
        ]
        if lines:
            yield "Ignored by the flow as it is now:"
            yield from lines
            yield "`walker explain FLOW EVENTS` shows which rule an event meets."


def death(attempts: int, reason: str) -> str:
    """Return why an event is a dead letter, with the number of attempts, once."""
    return reason if _GIVEN_UP.match(reason) else f"{_failures(attempts)}: {reason}"


def _failures(attempts: int) -> str:
    if attempts <= 1:
        return "1 attempt has failed" if attempts else "an attempt has failed"
    return f"{attempts:,} attempts have failed, the last"


def _choice(missing: MissingConsent) -> str:
    if len(missing.keys) == 1:
        return missing.keys[0]
    return f"{'all' if missing.mode == 'all' else 'any'} of {', '.join(missing.keys)}"


def _hope(missing: MissingConsent, person: str) -> str:
    """Return the statement that releases a held event."""
    if missing.is_denied_for_good:
        return "the event itself says no, which no later grant changes"
    if not person:
        return "it names nobody: it goes out once the default consent grants that"
    return "goes out once the person grants that (collector.consent, walker consent)"


def _said(item: Statement) -> str:
    at = f" at {moment(item.at)}" if item.at else ""
    state = "granted" if item.granted else "denied"
    return (
        f"{item.key}: "
        + {
            "event": f"{state} by the event itself",
            "person": f"{state} by the person{at}",
            "default": f"{state} by default; the person has said nothing",
            "claim": f"granted by a sender that is not trusted{at}, which does not count here",
            "nobody": "nobody has said anything",
        }[item.by]
    )


def _is_ignored(event: EventTrace) -> bool:
    return any(item.status == "ignored" for item in event.deliveries)
