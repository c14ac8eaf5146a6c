"""Plans the Customer.io operations of a mapped event: pure, no I/O.

Order and conditions are those of walkerOS's Customer.io destination. Values are resolved against
the event as the mapping left it, so a policy that blanks `user.id` makes the event anonymous.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

from attrs import define

from walker_collector import MISSING, PushContext, Rule
from walker_dest_customerio.dates import with_seconds
from walker_dest_customerio.event_ids import event_id
from walker_dest_customerio.identify_attributes import sendable
from walker_dest_customerio.identify_cache import IdentifyMemory
from walker_dest_customerio.identity import identifiers, identity_of, person_keys, with_texts
from walker_dest_customerio.operations import (
    Identify,
    Json,
    Occurrence,
    Operation,
    Page,
    PageAnonymous,
    Track,
    TrackAnonymous,
    fingerprint,
)
from walker_dest_customerio.rule_actions import (
    Action,
    actions_of,
    messages,
    page_arguments,
    resolve_object,
    seconds,
)
from walker_dest_customerio.settings import RuleSettings, Settings

Status = Literal["deliver", "unidentified"]

_NO_SETTINGS = RuleSettings()


@define
class Plan:
    """The operations of one event, in order, and its person's id.

    `warnings` name the parts of the event that do not reach Customer.io although the rest does.
    """

    operations: Sequence[Operation]
    status: Status = "deliver"
    person: str | None = None
    anonymous_id: str | None = None
    warnings: Sequence[str] = ()

    @property
    def people(self) -> tuple[str, ...]:
        """Keys of the event's person."""
        if self.person is not None:
            return person_keys(identifiers(self.person))
        return () if self.anonymous_id is None else (f"anonymous:{self.anonymous_id}",)


UNIDENTIFIED = Plan((), "unidentified")


@define(eq=False)
class CompiledRule:
    """The parts of a rule that apply to each of its events; most rules have no actions."""

    settings: RuleSettings
    page: bool
    actions: tuple[Action, ...]
    messages: bool
    name: str | None
    skip: bool


@lru_cache(maxsize=4096)
def _compile_rule(rule: Rule | None) -> CompiledRule:
    settings: RuleSettings = (rule and rule.settings) or _NO_SETTINGS
    return CompiledRule(
        settings,
        settings.page is not None,
        actions_of(settings),
        settings.send_email is not None or settings.send_push is not None,
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
    until then. Raises Rejected if a value cannot be sent at all.
    """
    compiled = _compile_rule(rule)
    settings: Settings = context.settings
    person = identity_of(settings.customer_id, event, context)
    if person is None:
        planned = _plan_anonymous(event, data, context, compiled)
    else:
        planned = _plan_person(person, event, data, context, compiled, memory, now)
    for operation in planned.operations:
        operation.refusal = operation.problem(now)
    return planned


def _plan_person(
    person: str,
    event: Json,
    data: Any,
    context: PushContext,
    compiled: CompiledRule,
    memory: IdentifyMemory,
    now: float,
) -> Plan:
    operations: list[Operation] = []
    warnings: list[str] = []
    identify = _identify(event, context, compiled, person, memory, now, warnings)
    if identify is not None:
        operations.append(identify)
    if compiled.page and (
        seen := page_arguments(event, context, compiled.settings, person, compiled.name)
    ):
        operations.append(Page(*seen))
    if compiled.actions:
        made = (action(event, context, compiled.settings, person) for action in compiled.actions)
        operations += [operation for operation in made if operation is not None]
    if compiled.messages:
        operations += messages(event, context, compiled.settings)
    if not compiled.skip:
        operations.append(_track(Track, person, event, data, context, compiled, warnings))
    return Plan(operations, "deliver", person, None, warnings)


def _plan_anonymous(event: Json, data: Any, context: PushContext, compiled: CompiledRule) -> Plan:
    anonymous_id = identity_of(context.settings.anonymous_id, event, context)
    if anonymous_id is None:
        return UNIDENTIFIED
    operations: list[Operation] = []
    warnings: list[str] = []
    if compiled.page and (
        seen := page_arguments(event, context, compiled.settings, anonymous_id, compiled.name)
    ):
        operations.append(PageAnonymous(*seen))
    operations += messages(event, context, compiled.settings)
    if not compiled.skip:
        operations.append(
            _track(TrackAnonymous, anonymous_id, event, data, context, compiled, warnings)
        )
    return Plan(operations, "deliver", None, anonymous_id, warnings)


def _track(
    kind: type[Occurrence],
    identity: str,
    event: Json,
    data: Any,
    context: PushContext,
    compiled: CompiledRule,
    warnings: list[str],
) -> Occurrence:
    name = event["name"] if compiled.name is None else compiled.name
    known: Json = {}
    if isinstance(data, dict):
        known = with_seconds(data) if context.settings.timestamps == "unix" else data
    elif data is not MISSING:
        warnings.append(
            f"data is {_kind(data)}, and Customer.io takes an object: the event goes out without it"
        )
    return kind(identity, name, known, seconds(event), event_id(event, context.id, "track"))


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true or false"
    if isinstance(value, list):
        return "a list"
    return "text" if isinstance(value, str) else "a number"


def _identify(
    event: Json,
    context: PushContext,
    compiled: CompiledRule,
    person: str,
    memory: IdentifyMemory,
    now: float,
    warnings: list[str],
) -> Identify | None:
    settings: Settings = context.settings
    of_rule = compiled.settings.identify
    made = resolve_object(settings.identify if of_rule is None else of_rule, event, context)
    if made is None:
        return None
    attributes = with_texts(made, "id", "anonymous_id")
    digest, when = fingerprint(attributes), identify_timestamp(event, settings, now)
    if memory.get(person, math.inf if when is None else when) == digest:
        return None
    attributes, attribute_warnings = sendable(attributes, settings.timestamps == "unix", now)
    warnings += attribute_warnings
    return Identify(person, attributes, when, digest)


def identify_timestamp(event: Json, settings: Settings, now: float) -> int | None:
    """Return the timestamp of an identify (unix s), at most now; None if the setting is off."""
    when = seconds(event) if settings.identify_timestamp else None
    return when if when is None or when <= now else int(now)
