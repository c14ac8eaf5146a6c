"""Compile a destination's whole mapping into one function of an event.

It works in this order: the destination's policy, rule lookup, the rule's policy, the destination's
data, `ignore` and the rule's consent, renaming, the rule's data merged over the destination's,
`include` below that, `remove` last. Source: walkerOS, processEventMapping. Transformers run before
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
from walker_collector.events import merge
from walker_collector.hookspecs import Event, Rule
from walker_collector.mapping.paths import set_by_path
from walker_collector.mapping.rules import compile_lookup
from walker_collector.mapping.scope import LocalScope, Resolve, Scope
from walker_collector.mapping.sections import flatten, remove
from walker_collector.mapping.values import compile_value, uses_scope
from walker_collector.naming import join
from walker_collector.people.gate import compile_gate

UNMATCHED: Final = "no rule of the mapping is for its name; write one, or set unmatched to ignore"

MappingOutcome = Literal["deliver", "ignored", "denied", "unmatched"]


@define(eq=False)
class Mapped:
    """The result of mapping one event.

    `event` is the event after policies and renaming, `data` the mapped data or MISSING, `rule` the
    rule that matched. `outcome` is "ignored" by the rule's `ignore`, or "denied" if the rule's
    consent is not granted; then the event is not renamed, and `data` is the destination's alone.
    "unmatched": no rule matched, and the destination's `unmatched` is "error".
    `required` is the rule's consent, unless the event was ignored before it was checked.
    `policies` are the paths that policies have written, in order.
    """

    event: Event
    data: Any
    rule: Rule | None
    outcome: MappingOutcome
    required: Consent | None = None
    policies: tuple[str, ...] = ()


Mapper = Callable[[Event, Scope], Mapped]
"""Maps one event under the consent of the scope. Never raises, never changes the event."""

Policies = tuple[tuple[str, Resolve], ...]


@frozen(eq=False)
class RuleSteps:
    """The compiled steps of one rule, or the destination's own for events without a rule.

    `plain`: the steps are a name and data at most, and the data reads the event alone.
    `specs` is the configuration of all data, each with its place: the destination's, the rule's.
    `simple`: the steps are a name and this data, which reads the event alone.
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
    simple: bool
    specs: tuple[tuple[ValueSpec, str], ...]


@frozen(eq=False)
class CompiledMapping:
    """A destination's mapping.

    simple_steps: returns the steps for all events of a name, if they are simple; else None, as
        conditions, policies and the like have to see the event first.
    """

    mapper: Mapper
    simple_steps: Callable[[str], RuleSteps | None]


def compile_mapping(config: DestinationConfig) -> Mapper:
    """Return the function that maps events by the destination's configuration.

    Raises ConfigError as `compile_rules` does.
    """
    return compile_rules(config).mapper


def compile_rules(config: DestinationConfig) -> CompiledMapping:
    """Return the compiled mapping of the destination's configuration.

    Raises ConfigError for a callable that takes neither (value) nor (value, context), or is async.
    """
    where = join("", "destinations", config.id, "config") if config.id else ""
    compiled = _compile(config, where)
    for step in reversed(config.before):
        transform = _compile(DestinationConfig(policy=step.policy, mapping=step.mapping), "before")
        compiled = CompiledMapping(_after(transform.mapper, compiled.mapper), lambda name: None)
    return compiled


def _after(transform: Mapper, mapper: Mapper) -> Mapper:
    """Map events after a transformer; those that it ignores go no further."""

    def map_event(event: Event, scope: Scope) -> Mapped:
        changed = transform(event, scope)
        if changed.outcome == "ignored":
            return Mapped(changed.event, MISSING, None, "ignored", None, changed.policies)
        mapped = mapper(changed.event, LocalScope(changed.event, scope.consent))
        mapped.policies = (*changed.policies, *mapped.policies)
        return mapped

    return map_event


def _compile(config: DestinationConfig, where: str) -> CompiledMapping:
    policies = _compile_policies(config.policy, join(where, "policy"))
    shared = _compile_data(config.data, join(where, "data"))
    written = tuple(path for path, _ in policies)
    common = _specs((config.data, join(where, "data")))
    simple: dict[Mapper, RuleSteps] = {}

    def build(key: str | None, place: str, rule: RuleConfig) -> Mapper:
        steps = _compile_steps(config, written, key, place, rule, common)
        plain = _plain_mapper if steps.plain else None
        mapper = plain(steps) if plain else _full_mapper(steps, shared, config.consent_mode)
        if steps.simple:
            simple[mapper] = steps
        return mapper

    lookup = compile_lookup(config.mapping, build, join(where, "mapping"))
    by_name, find = lookup.by_name, lookup.find
    ignored = bool(config.mapping) and config.unmatched == "ignore"
    otherwise = build(None, join(where, "mapping"), RuleConfig(ignore=ignored))
    if config.mapping and config.unmatched == "error":
        otherwise = _unmatched

    def map_event(event: Event, scope: Scope) -> Mapped:
        if policies:
            event = _apply(policies, event, LocalScope(event, scope.consent))
        name = event.get("name")
        map_by_rule = by_name.get(name) if type(name) is str else None
        return (map_by_rule or find(event, scope) or otherwise)(event, scope)

    def simple_steps(name: str) -> RuleSteps | None:
        condition, mapper = (*lookup.candidates(name), (None, otherwise))[0]
        return simple.get(mapper) if condition is None and not policies else None

    return CompiledMapping(map_event, simple_steps)


def _unmatched(event: Event, scope: Scope) -> Mapped:
    return Mapped(event, MISSING, None, "unmatched")


def _full_mapper(steps: RuleSteps, shared: Resolve | None, mode: str) -> Mapper:
    admits = compile_gate(steps.consent, mode)

    def map_event(event: Event, scope: Scope) -> Mapped:
        local = LocalScope(event, scope.consent)
        if steps.policies:
            local.event = _apply(steps.policies, event, local)
        # Before `ignore` and consent, as in the original: ignored events have the shared data too.
        data = shared(local.event, local) if shared else MISSING
        if steps.ignore:
            return Mapped(local.event, data, steps.rule, "ignored", None, steps.written)
        if not admits(scope.consent):
            return Mapped(local.event, data, steps.rule, "denied", steps.consent, steps.written)
        if steps.name:
            local.event = {**local.event, "name": steps.name}
        data = _produce(steps, data, local)
        return Mapped(local.event, data, steps.rule, "deliver", steps.consent, steps.written)

    return map_event


def _plain_mapper(steps: RuleSteps) -> Mapper:
    """Return the fast twin of `_full_mapper` for plain steps: no scope, no merging, no consent.

    Most rules are plain, and for them the full mapper takes half as long again.
    """
    rule, name, produce, written = steps.rule, steps.name, steps.data, steps.written

    def map_event(event: Event, scope: Scope) -> Mapped:
        if name:
            event = event.copy()
            event["name"] = name
        data = produce(event, scope) if produce else MISSING
        return Mapped(event, data, rule, "deliver", None, written)

    return map_event


def _compile_steps(
    config: DestinationConfig,
    written: tuple[str, ...],
    key: str | None,
    where: str,
    rule: RuleConfig,
    common: tuple[tuple[ValueSpec, str], ...],
) -> RuleSteps:
    policies = _compile_policies(rule.policy, join(where, "policy"))
    include = tuple((config.include if rule.include is None else rule.include) or ())
    more = policies or rule.ignore or rule.consent or include or rule.remove
    specs = (*common, *_specs((rule.data, join(where, "data"))))
    simple = not (more or any(uses_scope(spec) for spec, _ in specs))
    return RuleSteps(
        rule=_rule_of(key, rule) if key else None,
        policies=policies,
        written=written + tuple(path for path, _ in policies),
        ignore=rule.ignore,
        consent=rule.consent,
        name=rule.name,
        data=_compile_data(rule.data, join(where, "data")),
        include=include,
        remove=tuple(rule.remove or ()),
        plain=simple and config.data is None,
        simple=simple,
        specs=specs,
    )


def _rule_of(key: str, rule: RuleConfig) -> Rule:
    return Rule(key, rule.name, rule.skip, rule.settings, rule.batch, rule.untrusted)


def _compile_data(spec: ValueSpec | None, where: str) -> Resolve | None:
    return compile_value(spec, where) if _specs((spec, where)) else None


def _specs(spec: tuple[ValueSpec | None, str]) -> tuple[tuple[ValueSpec, str], ...]:
    # The empty path means the whole input elsewhere. As data it means none: a destination that
    # wants the whole event reads the event.
    value, where = spec
    return () if value is None or value == PathSpec("") else ((value, where),)


def _compile_policies(policy: dict[str, ValueSpec] | None, where: str) -> Policies:
    """Compile policies in the order they are written: deeper values later, as in the original."""
    specs = sorted((policy or {}).items(), key=lambda item: _depth(item[1]))
    return tuple((path, compile_value(spec, join(where, path))) for path, spec in specs)


def _depth(spec: ValueSpec | None) -> int:
    """Return how deeply `map`, `set` and `loop` are nested in the value."""
    if isinstance(spec, AlternativesSpec):
        return max(map(_depth, spec.items), default=0)
    if not isinstance(spec, ObjectSpec):
        return 0
    parts = (spec.map and spec.map.values(), spec.set, spec.loop)
    if all(part is None for part in parts):
        return 0
    return 1 + max((_depth(child) for part in parts for child in part or ()), default=0)


def _apply(policies: Policies, event: Event, scope: Scope) -> Event:
    """Write all policies; each of them reads the event as it was before the first was written."""
    for path, value in [(path, resolve(event, scope)) for path, resolve in policies]:
        event = set_by_path(event, path, value)
    return event


def _produce(steps: RuleSteps, data: Any, scope: Scope) -> Any:
    if steps.data is not None:
        own = steps.data(scope.event, scope)
        both = type(data) is dict and type(own) is dict
        data = merge(data, own) if both else own
    if steps.include:
        data = _above(flatten(scope.event, steps.include), data)
    return remove(data, steps.remove) if steps.remove else data


def _above(included: dict[str, Any], data: Any) -> Any:
    """Merge the data over the included sections; data other than an object stays as it is."""
    if not included:
        return data
    if type(data) is dict:
        return merge(included, data)
    return included if data is MISSING else data
