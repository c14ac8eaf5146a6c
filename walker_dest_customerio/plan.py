"""Plans the Customer.io operations of a mapped event: pure, no I/O.

Order and conditions are those of walkerOS's Customer.io destination. Values are resolved against
the event as the mapping left it, so a policy that blanks `user.id` makes the event anonymous.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from attrs import define
from msgspec import Struct

from walker_collector import MISSING, PushContext, Rule
from walker_dest_customerio.dates import with_seconds
from walker_dest_customerio.encode import dumps
from walker_dest_customerio.event_ids import event_id
from walker_dest_customerio.identify_attributes import sendable
from walker_dest_customerio.identify_cache import IdentifyMemory
from walker_dest_customerio.identity import customer_id, identity_of, key_of
from walker_dest_customerio.lacks import what_lacks
from walker_dest_customerio.object_actions import object_operations
from walker_dest_customerio.operations import (
    Identify,
    Invite,
    Json,
    Message,
    Occurrence,
    Operation,
    Page,
    PageAnonymous,
    Screen,
    ScreenAnonymous,
    Track,
    TrackAnonymous,
)
from walker_dest_customerio.rule_actions import (
    Action,
    MappedEvent,
    actions_of,
    messages,
    messages_of,
    page_arguments,
    screen_arguments,
)
from walker_dest_customerio.settings import BY_ID, RuleSettings, Settings
from walker_dest_customerio.untrusted import permitted

_NO_SETTINGS = RuleSettings()
_NUMBERS = (int, float)


class Plan(Struct):
    """The operations of one event, in order, and its person's id.

    `is_unidentified`: neither a person nor an anonymous one could be found.
    `warnings` name the parts of the event that do not reach Customer.io although the rest does.
    `lacks` says why there are no operations.
    """

    operations: Sequence[Operation]
    person: str | None = None
    anonymous_id: str | None = None
    warnings: list[str] = []
    is_unidentified: bool = False
    lacks: str = ""

    @property
    def people(self) -> tuple[str, ...]:
        """Keys of the event's person."""
        if self.person is not None:
            return (key_of(self.person),)
        return () if self.anonymous_id is None else (f"anonymous:{self.anonymous_id}",)


UNIDENTIFIED = Plan((), is_unidentified=True)


@define(eq=False)
class CompiledRule:
    """The parts of a rule that apply to each of its events; most rules have no actions."""

    settings: RuleSettings
    objects: bool
    page: bool
    screen: bool
    actions: tuple[Action, ...]
    messages: tuple[type[Message], ...]
    name: str | None
    skip: bool


@lru_cache(maxsize=4096)
def _compile_rule(rule: Rule | None) -> CompiledRule:
    settings: RuleSettings = (rule and rule.settings) or _NO_SETTINGS
    return CompiledRule(
        settings,
        any((settings.object, settings.relate, settings.unrelate)),
        settings.page is not None,
        settings.screen is not None,
        actions_of(settings),
        messages_of(settings),
        rule.name if rule is not None and isinstance(rule.name, str) else None,
        rule is not None and rule.skip,
    )


def plan(
    event: Json,
    data: Any,
    rule: Rule | None,
    context: PushContext,
    memory: IdentifyMemory,
    now: float = math.inf,
) -> Plan:
    """Return the operations of a mapped event.

    `memory` holds the attributes last sent; it is not changed. `now` (unix s) is an upper bound of
    an identify's timestamp: after one in the future, Customer.io ignores all updates of the person
    until then. Raises Rejected if a value cannot be sent at all, and for an operation that an
    untrusted sender must not cause.
    """
    compiled = _compile_rule(rule)
    settings: Settings = context.destination.settings
    mapped = MappedEvent(
        event, data, context, settings, compiled.settings, compiled.name, seconds(event)
    )
    person = _person(settings, event, context)
    made = (
        _plan_anonymous(mapped, compiled)
        if person is None
        else _plan_person(mapped, compiled, person, memory, now)
    )
    if not made.operations and not made.is_unidentified:
        made.lacks = what_lacks(mapped, person is not None)
    elif made.operations and not context.trusted:
        made.operations = permitted(made.operations, rule, made.warnings)
    return made


def _person(settings: Settings, event: Json, context: PushContext) -> str | None:
    """Return the customer id of an event's person, or None if it is anonymous."""
    if settings.customer_id is BY_ID and settings.identifier is None:  # as mostly
        user = event.get("user")  # a policy may have made anything of it
        id_ = user.get("id") if type(user) is dict else None
        if type(id_) is str and id_ and not id_.isspace():
            return id_
    return customer_id(settings.customer_id, settings.identifier, event, context)


def _plan_person(
    mapped: MappedEvent, compiled: CompiledRule, person: str, memory: IdentifyMemory, now: float
) -> Plan:
    operations: list[Operation] = []
    warnings: list[str] = []
    identify = _identify(mapped, person, memory, now, warnings)
    if identify is not None:
        operations.append(identify)
    if compiled.objects:
        operations += object_operations(mapped, person, warnings)
    if compiled.page and (seen := page_arguments(mapped, person)):
        operations.append(Page(*seen))
    if compiled.screen and (seen := screen_arguments(mapped, person)):
        operations.append(Screen(*seen))
    if compiled.actions:
        made = (action(mapped, person) for action in compiled.actions)
        operations += [operation for operation in made if operation is not None]
    if compiled.messages:
        operations += messages(mapped, compiled.messages, person)
    if not compiled.skip:
        operations.append(_track(Track, person, mapped, warnings))
    return Plan(operations, person, None, warnings)


def _plan_anonymous(mapped: MappedEvent, compiled: CompiledRule) -> Plan:
    anonymous_id = identity_of(mapped.settings.anonymous_id, mapped.event, mapped.context)
    warnings: list[str] = []
    operations: list[Operation] = []
    if compiled.objects:
        operations += object_operations(mapped, None, warnings)
    if anonymous_id is None:
        return _plan_nobody(mapped, compiled, operations, warnings)
    if compiled.page and (seen := page_arguments(mapped, anonymous_id)):
        operations.append(PageAnonymous(*seen))
    if compiled.screen and (seen := screen_arguments(mapped, anonymous_id)):
        operations.append(ScreenAnonymous(*seen))
    if compiled.messages:
        operations += messages(mapped, compiled.messages, None)
    if not compiled.skip:
        operations.append(_track(TrackAnonymous, anonymous_id, mapped, warnings))
    return Plan(operations, None, anonymous_id, warnings)


def _plan_nobody(
    mapped: MappedEvent, compiled: CompiledRule, operations: list[Operation], warnings: list[str]
) -> Plan:
    """Return the plan of an event that names nobody: objects and invites need no person."""
    if not compiled.skip and (recipient := _recipient(mapped)) is not None:
        operations.append(_event(Invite, recipient, mapped, warnings))
    elif not operations:
        return UNIDENTIFIED
    elif not compiled.skip:
        warnings.append("names nobody: its objects go out, the event itself does not")
    return Plan(operations, warnings=warnings)


def _track(
    kind: type[Occurrence], identity: str, mapped: MappedEvent, warnings: list[str]
) -> Occurrence:
    """Return the event as that of its person, or of the recipient that its rule names."""
    if (recipient := _recipient(mapped)) is not None:
        return _event(Invite, recipient, mapped, warnings)
    return _event(kind, identity, mapped, warnings)


def _recipient(mapped: MappedEvent) -> str | None:
    value = mapped.rule.recipient
    return None if value is None else identity_of(value, mapped.event, mapped.context)


def _event(
    kind: type[Occurrence], identity: str, mapped: MappedEvent, warnings: list[str]
) -> Occurrence:
    event, data = mapped.event, mapped.data
    known: Json = {}
    if isinstance(data, dict):
        known = with_seconds(data) if mapped.settings.timestamps == "unix" else data
    elif data is not MISSING:
        warnings.append(
            f"data is {_kind(data)}, and Customer.io takes an object: the event goes out without it"
        )
    if kind is Invite:
        known = {**known, "recipient": identity}
    id_ = event_id(event, mapped.context.destination.id, "track")
    return kind(identity, _event_name(mapped), known, mapped.when, id_)


def _event_name(mapped: MappedEvent) -> str:
    """Return the name of the rule, else that of `eventName`, else the event's own."""
    if mapped.name is not None:
        return mapped.name
    value = mapped.settings.event_name
    found = None if value is None else value(mapped.event, mapped.context)
    if isinstance(found, str) and found.strip():
        return found
    name: str = mapped.event["name"]
    return name


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true or false"
    if isinstance(value, list):
        return "a list"
    return "text" if isinstance(value, str) else "a number"


def _identify(
    mapped: MappedEvent, person: str, memory: IdentifyMemory, now: float, warnings: list[str]
) -> Identify | None:
    """Return the identify of an event; None if it has no attributes, or none that changed.

    The attributes are encoded once, for their fingerprint; if they can be sent as they are, the
    request holds the same bytes.
    """
    settings = mapped.settings
    when = identify_timestamp(mapped.when, settings, now)
    value = settings.identify if mapped.rule.identify is None else mapped.rule.identify
    made = MISSING if value is None else value(mapped.event, mapped.context)
    if not isinstance(made, dict):
        return None
    encoded = dumps(made, "identify", sort_keys=True)
    fingerprint = hash(encoded)  # comparable within this process only
    if memory.get(person, math.inf if when is None else when) == fingerprint:
        return None
    attributes, attribute_warnings = sendable(
        made, settings.timestamps == "unix", now, len(encoded)
    )
    warnings += attribute_warnings
    return Identify(person, attributes, when, fingerprint, encoded if attributes is made else None)


def identify_timestamp(when: int | None, settings: Settings, now: float) -> int | None:
    """Return the timestamp of an identify, at most `now`; None if the setting is off.

    `when` is the time of its event. All are unix seconds.
    """
    if when is None or not settings.identify_timestamp:
        return None
    return when if when <= now else int(now)


def seconds(event: Json) -> int | None:
    """Return the event's time in unix seconds, or None; 0 counts as missing."""
    when = event.get("timestamp")
    if type(when) is int and when:  # as with almost all
        return when // 1000
    return math.floor(when / 1000) if isinstance(when, _NUMBERS) and when else None
