"""A destination's whole mapping, compiled: an event in, what its destination is to get out.

In this order: the destination's policy, rule lookup, the rule's policy, the destination's data,
`ignore` and the rule's consent, renaming, the rule's data merged over the destination's,
`include` below that, `remove` last. Rules: walkerOS, processEventMapping. Transformers come before
all of it, each with a policy and rules of its own.
"""

from collections.abc import Callable
from typing import Any, Final, Literal

from attrs import define, frozen

from walker_collector.config import (
    MISSING,
    AlternativesSpec,
    Consent,
    DestinationConfig,
    ObjectSpec,
    PathSpec,
    RuleConfig,
    ValueSpec,
)
from walker_collector.consent import compile_gate
from walker_collector.events import merge
from walker_collector.hookspecs import Event, Rule
from walker_collector.mapping.paths import set_by_path, split
from walker_collector.mapping.payload import flatten, remove
from walker_collector.mapping.rules import compile_foregone, compile_lookup
from walker_collector.mapping.scope import LocalScope, Scope
from walker_collector.mapping.values import Resolve, compile_value, uses_scope
from walker_collector.naming import join

UNMATCHED: Final = "no rule of the mapping is for its name; write one, or set unmatched to ignore"

Outcome = Literal["deliver", "ignored", "denied", "unmatched"]


@define(eq=False)
class Mapped:
    """What became of one event.

    `event` is the event after policies and renaming; `data` what the mapping made of it, MISSING
    where it made nothing; `rule` the rule that matched. `outcome` is "ignored" by the rule's
    `ignore`, "denied" where the rule's consent is not granted: neither is renamed, and `data` is
    the destination's alone. "unmatched": no rule is for it, which the destination takes for an
    error. `required` is the rule's consent where it was asked for. `policies`
    are the paths that policies have written, in that order.
    """

    event: Event
    data: Any
    rule: Rule | None
    outcome: Outcome
    required: Consent | None = None
    policies: tuple[str, ...] = ()


Mapper = Callable[[Event, Scope], Mapped]
"""Maps one event under the consent of the scope. Never raises, never changes the event."""

Policies = tuple[tuple[str, Resolve], ...]


@frozen(eq=False)
class _Plan:
    """What is done with the events of one rule, or of none.

    `plain`: they get a name and data at most, made of nothing but the event.
    """

    rule: Rule | None
    policies: Policies
    written: tuple[str, ...]
    ignore: bool
    consent: Consent | None
    name: str | None
    data: Resolve | None
    include: tuple[str, ...]
    remove: tuple[str, ...]
    plain: bool


def compile_mapping(config: DestinationConfig) -> Mapper:
    """Return the function that maps events as the destination's configuration says.

    Raises ConfigError for a callable that takes neither (value) nor (value, context), or is async.
    """
    where = join("", "destinations", config.id, "config") if config.id else ""
    mapper = _compile(config, where)
    for step in reversed(config.before):
        changes = _compile(DestinationConfig(policy=step.policy, mapping=step.mapping), "before")
        mapper = _after(changes, mapper)
    return mapper


def _after(changes: Mapper, mapper: Mapper) -> Mapper:
    """Map what a transformer made of an event; one that it ignores goes no further."""

    def map_event(event: Event, scope: Scope) -> Mapped:
        changed = changes(event, scope)
        if changed.outcome == "ignored":
            return Mapped(changed.event, MISSING, None, "ignored", None, changed.policies)
        mapped = mapper(changed.event, LocalScope(changed.event, scope.consent))
        mapped.policies = (*changed.policies, *mapped.policies)
        return mapped

    return map_event


def _compile(config: DestinationConfig, where: str) -> Mapper:
    policies = _compile_policies(config.policy, join(where, "policy"))
    shared = _compile_data(config.data, join(where, "data"))
    written = tuple(path for path, _ in policies)

    def build(key: str | None, place: str, rule: RuleConfig) -> Mapper:
        plan = _plan(config, written, key, place, rule)
        return _map_plainly(plan) if plan.plain else _map_fully(plan, shared, config.consent_mode)

    find = compile_lookup(config.mapping, build, join(where, "mapping"))
    ignored = bool(config.mapping) and config.unmatched == "ignore"
    otherwise = build(None, join(where, "mapping"), RuleConfig(ignore=ignored))
    if config.mapping and config.unmatched == "error":
        otherwise = _unmatched

    def map_event(event: Event, scope: Scope) -> Mapped:
        if policies:
            event = _apply(policies, event, LocalScope(event, scope.consent))
        map_by_rule = find(event, scope) or otherwise
        return map_by_rule(event, scope)

    return map_event


def _unmatched(event: Event, scope: Scope) -> Mapped:
    return Mapped(event, MISSING, None, "unmatched")


def compile_ignored(config: DestinationConfig) -> Callable[[str], bool] | None:
    """Return the function that tells by an event's name that the destination ignores it, whatever
    else the event says and whatever is granted; None where that can be said of no event.
    """
    if config.before or any(split(path)[0][0] == "name" for path in config.policy or ()):
        return None  # the rule is looked up by another name than the event comes with
    return compile_foregone(
        config.mapping, lambda rule: rule.ignore, otherwise=config.unmatched == "ignore"
    )


def _map_fully(plan: _Plan, shared: Resolve | None, mode: str) -> Mapper:
    admits = compile_gate(plan.consent, mode)

    def map_event(event: Event, scope: Scope) -> Mapped:
        local = LocalScope(event, scope.consent)
        if plan.policies:
            local.event = _apply(plan.policies, event, local)
        data = shared(local.event, local) if shared else MISSING
        if plan.ignore:
            return Mapped(local.event, data, plan.rule, "ignored", None, plan.written)
        if not admits(scope.consent):
            return Mapped(local.event, data, plan.rule, "denied", plan.consent, plan.written)
        if plan.name:
            local.event = {**local.event, "name": plan.name}
        data = _produce(plan, data, local)
        return Mapped(local.event, data, plan.rule, "deliver", plan.consent, plan.written)

    return map_event


def _map_plainly(plan: _Plan) -> Mapper:
    """What `_map_fully` does with a plain plan, without anything the others need."""
    rule, name, produce, written = plan.rule, plan.name, plan.data, plan.written

    def map_event(event: Event, scope: Scope) -> Mapped:
        if name:
            event = event.copy()
            event["name"] = name
        data = produce(event, scope) if produce else MISSING
        return Mapped(event, data, rule, "deliver", None, written)

    return map_event


def _plan(
    config: DestinationConfig,
    written: tuple[str, ...],
    key: str | None,
    where: str,
    rule: RuleConfig,
) -> _Plan:
    policies = _compile_policies(rule.policy, join(where, "policy"))
    include = tuple((config.include if rule.include is None else rule.include) or ())
    more = config.data or policies or rule.ignore or rule.consent or include or rule.remove
    return _Plan(
        rule=Rule(key, rule.name, rule.skip, rule.settings, rule.batch) if key else None,
        policies=policies,
        written=written + tuple(path for path, _ in policies),
        ignore=rule.ignore,
        consent=rule.consent,
        name=rule.name,
        data=_compile_data(rule.data, join(where, "data")),
        include=include,
        remove=tuple(rule.remove or ()),
        plain=not (more or uses_scope(rule.data)),
    )


def _compile_data(spec: ValueSpec | None, where: str) -> Resolve | None:
    """The empty path, which is the whole input elsewhere, is no data: nobody means to send that."""
    return None if spec is None or spec == PathSpec("") else compile_value(spec, where)


def _compile_policies(policy: dict[str, ValueSpec] | None, where: str) -> Policies:
    """The policies in the order they are written: deeper values later, as in the original."""
    specs = sorted((policy or {}).items(), key=lambda item: _depth(item[1]))
    return tuple((path, compile_value(spec, join(where, path))) for path, spec in specs)


def _depth(spec: ValueSpec | None) -> int:
    """How deeply `map`, `set` and `loop` are nested in the value."""
    if isinstance(spec, AlternativesSpec):
        return max(map(_depth, spec.items), default=0)
    if not isinstance(spec, ObjectSpec):
        return 0
    parts = (spec.map and spec.map.values(), spec.set, spec.loop)
    if all(part is None for part in parts):
        return 0
    return 1 + max((_depth(child) for part in parts for child in part or ()), default=0)


def _apply(policies: Policies, event: Event, scope: Scope) -> Event:
    """All policies read the event as it is before any of them is written."""
    for path, value in [(path, resolve(event, scope)) for path, resolve in policies]:
        event = set_by_path(event, path, value)
    return event


def _produce(plan: _Plan, data: Any, scope: Scope) -> Any:
    if plan.data is not None:
        own = plan.data(scope.event, scope)
        both = type(data) is dict and type(own) is dict
        data = merge(data, own) if both else own
    if plan.include:
        data = _above(flatten(scope.event, plan.include), data)
    return remove(data, plan.remove) if plan.remove else data


def _above(included: dict[str, Any], data: Any) -> Any:
    """Data that is no object has no place for what is included."""
    if not included:
        return data
    if type(data) is dict:
        return merge(included, data)
    return included if data is MISSING else data
