"""From a mapped event to the operations it asks of Customer.io: pure, no I/O.

Order and conditions are those of walkerOS's Customer.io destination. Values are resolved against
the event as the mapping left it, so a policy that blanks `user.id` makes the event anonymous.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from attrs import define

from walker_collector import MISSING, PushContext, Rule
from walker_dest_customerio.ids import event_id
from walker_dest_customerio.operations import (
    AddDevice,
    Delete,
    DeleteDevice,
    Event,
    Identify,
    Json,
    Merge,
    Message,
    Operation,
    Page,
    SendEmail,
    SendPush,
    Suppress,
    Track,
    TrackAnonymous,
    Unsuppress,
    fingerprint,
)
from walker_dest_customerio.people import Known, identifiers, identity, person_keys
from walker_dest_customerio.settings import RuleSettings, Settings

Status = Literal["deliver", "unidentified"]

NO_RULE = RuleSettings()
_NUMBERS = (int, float)


@define
class Plan:
    """What one event asks of Customer.io, in order, and by which name it knows its person."""

    operations: Sequence[Operation]
    status: Status = "deliver"
    person: str | None = None
    anonymous_id: str | None = None

    @property
    def people(self) -> tuple[str, ...]:
        """Keys of the persons the event is about."""
        if self.person is not None:
            return person_keys(identifiers(self.person))
        return () if self.anonymous_id is None else (f"anonymous:{self.anonymous_id}",)


UNIDENTIFIED = Plan((), "unidentified")


@define(eq=False)
class _Case:
    """One event with all that its operations are made from."""

    event: Json
    data: Any
    rule: Rule | None
    context: PushContext
    settings: Settings
    rule_settings: RuleSettings
    known: Known
    now: float

    def object_of(self, value: Any) -> Json | None:
        """Resolve a configured value; None unless it is there and makes an object."""
        made = MISSING if value is None else value(self.event, self.context)
        return made if isinstance(made, dict) else None

    def occurrence(self, part: str, name: str, data: Json) -> Event:
        return Event(
            name=name,
            data=data,
            timestamp=seconds(self.event),
            id=event_id(self.event, self.context.id, part),
        )


def plan(
    event: Json,
    data: Any,
    rule: Rule | None,
    context: PushContext,
    known: Known,
    now: float = math.inf,
) -> Plan:
    """Return the operations of a mapped event.

    `known` says what people were last identified with; it is not changed. `now` (unix s) bounds the
    time an identify claims: Customer.io ignores every later update of a person stamped in the
    future. Raises Rejected where a value cannot be sent at all.
    """
    settings: Settings = context.settings
    rule_settings = (rule and rule.settings) or NO_RULE
    case = _Case(event, data, rule, context, settings, rule_settings, known, now)
    person = identity(settings.customer_id(event, context))
    if person is not None:
        return Plan(_of_person(case, person), person=person)
    anonymous = identity(settings.anonymous_id(event, context))
    if anonymous is not None:
        return Plan(_of_stranger(case, anonymous), anonymous_id=anonymous)
    return UNIDENTIFIED


def seconds(event: Json) -> int | None:
    """Return the event's time in unix seconds; 0 counts as none."""
    when = event.get("timestamp")
    return math.floor(when / 1000) if isinstance(when, _NUMBERS) and when else None


def stamp(event: Json, settings: Settings, now: float) -> int | None:
    """Return the time (unix s) an identify claims: its event's, never one to come, or none."""
    when = seconds(event) if settings.identify_timestamp else None
    return when if when is None or when <= now else int(now)


def _of_person(case: _Case, person: str) -> list[Operation]:
    operations: list[Operation] = []
    if (identify := _identify(case, person)) is not None:
        operations.append(identify)
    if case.rule_settings is not NO_RULE:
        for name, step in _LIFECYCLE:
            if not getattr(case.rule_settings, name):
                continue
            if (operation := step(case, person)) is not None:
                operations.append(operation)
        operations += _messages(case)
    if not _is_skipped(case):
        operations.append(Track(person=person, event=_tracked(case)))
    return operations


def _of_stranger(case: _Case, anonymous_id: str) -> list[Operation]:
    operations: list[Operation] = [*_messages(case)]
    if not _is_skipped(case):
        operations.append(TrackAnonymous(anonymous_id=anonymous_id, event=_tracked(case)))
    return operations


def _is_skipped(case: _Case) -> bool:
    return case.rule is not None and case.rule.skip


def _tracked(case: _Case) -> Event:
    named = None if case.rule is None else case.rule.name
    name = named if isinstance(named, str) else case.event["name"]
    return case.occurrence("track", name, case.data if isinstance(case.data, dict) else {})


def _identify(case: _Case, person: str) -> Identify | None:
    of_rule = case.rule_settings.identify
    made = case.object_of(case.settings.identify if of_rule is None else of_rule)
    attributes = _with_texts(made, "id", "anonymous_id")
    if attributes is None:
        return None
    print_ = fingerprint(attributes)
    if case.known.recall(person) == print_:
        return None
    return Identify(
        person=person,
        attributes=attributes,
        timestamp=stamp(case.event, case.settings, case.now),
        fingerprint=print_,
    )


def _page(case: _Case, person: str) -> Page | None:
    made = case.object_of(case.rule_settings.page)
    url = made and made.get("url")
    if not made or not isinstance(url, str) or not url:
        return None
    data = {key: value for key, value in made.items() if key != "url"}
    return Page(person=person, event=case.occurrence("page", url, data))


def _delete(case: _Case, person: str) -> Delete | None:
    return Delete(person=person) if case.rule_settings.destroy is True else None


def _suppress(case: _Case, person: str) -> Suppress | None:
    return Suppress(person=person) if case.rule_settings.suppress is True else None


def _unsuppress(case: _Case, person: str) -> Unsuppress | None:
    return Unsuppress(person=person) if case.rule_settings.unsuppress is True else None


def _add_device(case: _Case, person: str) -> AddDevice | None:
    made = case.object_of(case.rule_settings.add_device)
    device = _strings(made, "deviceId", "platform")
    if made is None or device is None:
        return None
    data = made.get("data")
    return AddDevice(
        person=person,
        device_id=device[0],
        platform=device[1],
        data=data if isinstance(data, dict) else None,
    )


def _delete_device(case: _Case, person: str) -> DeleteDevice | None:
    device = _strings(case.object_of(case.rule_settings.delete_device), "deviceId", "platform")
    if device is None:
        return None
    return DeleteDevice(person=person, device_id=device[0], platform=device[1])


def _merge(case: _Case, person: str) -> Merge | None:
    made = _with_texts(case.object_of(case.rule_settings.merge), "primaryId", "secondaryId")
    parts = _strings(made, "primaryType", "primaryId", "secondaryType", "secondaryId")
    if parts is None:
        return None
    primary_type, primary_id, secondary_type, secondary_id = parts
    return Merge(
        primary_type=primary_type,
        primary_id=primary_id,
        secondary_type=secondary_type,
        secondary_id=secondary_id,
    )


def _messages(case: _Case) -> Iterator[Message]:
    email = case.object_of(case.rule_settings.send_email)
    if email is not None:
        yield SendEmail(request=_addressed(email))
    push = case.object_of(case.rule_settings.send_push)
    if push is not None:
        yield SendPush(request=_addressed(push))


def _addressed(request: Json) -> Json:
    named = request.get("identifiers")
    if not isinstance(named, dict):
        return request
    texts = _with_texts(named, *named)
    return request if texts is named else {**request, "identifiers": texts}


def _with_texts(made: Json | None, *keys: str) -> Json | None:
    """Return the object with numbers under `keys` as strings: Customer.io takes no other ids."""
    for key in keys:
        if made and type(made.get(key)) in _NUMBERS:
            made = {**made, key: identity(made[key])}
    return made


def _strings(made: Json | None, *keys: str) -> list[str] | None:
    """Return the values under `keys` if each is a string with something in it."""
    found = [(made or {}).get(key) for key in keys]
    strings = [value for value in found if isinstance(value, str) and value]
    return strings if len(strings) == len(keys) else None


_LIFECYCLE: tuple[tuple[str, Callable[[_Case, str], Operation | None]], ...] = (
    ("page", _page),
    ("destroy", _delete),
    ("suppress", _suppress),
    ("unsuppress", _unsuppress),
    ("add_device", _add_device),
    ("delete_device", _delete_device),
    ("merge", _merge),
)
