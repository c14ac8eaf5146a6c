"""Which rule an event goes by: looked up by the first two words of its name.

The exact entity, else `*`; within it the exact action, else its `*`; and where that yields no
rule, `* *`. So `* view` counts for unknown entities only. Of a list of rules the first whose
condition holds applies. Rules: walkerOS, getMappingEvent.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from walker_collector.config import RuleConfig, Rules
from walker_collector.hookspecs import Event
from walker_collector.mapping.callables import ScopedFunction, guarded
from walker_collector.mapping.scope import LocalScope, Scope
from walker_collector.naming import join

T = TypeVar("T")
Find = Callable[[Event, Scope], T | None]
Candidates = tuple[tuple[ScopedFunction | None, T], ...]
"""Rules in the order they are asked, each with its condition."""


def find_rule(rules: Rules | None, event: Event, scope: Scope) -> tuple[str, RuleConfig] | None:
    """Return the key (`order complete`, `order *`) and the rule for the event, or None.

    For tooling and tests; `compile_lookup` is the fast form.
    """
    return compile_lookup(rules, lambda key, where, rule: (key, rule))(event, scope)


def compile_lookup(
    rules: Rules | None, build: Callable[[str, str, RuleConfig], T], where: str = "mapping"
) -> Find[T]:
    """Return the function that finds what `build(key, where, rule)` made of an event's rule.

    Raises ConfigError for a `condition` that cannot be called as one.
    """
    if not rules:
        return lambda event, scope: None
    candidates = _compile_candidates(rules, build, where)
    remembered = lru_cache(maxsize=1024)(candidates)
    words = [f"{entity} {action}" for entity, actions in rules.items() for action in actions]
    sure = _unconditional((name, candidates(name)) for name in words)

    def find(event: Event, scope: Scope) -> T | None:
        name = event.get("name")
        if type(name) is not str:
            return None
        built = sure.get(name)
        return _first(remembered(name), event, scope) if built is None else built

    return find


def compile_foregone(
    rules: Rules | None, holds: Callable[[RuleConfig], bool], *, otherwise: bool
) -> Callable[[str], bool] | None:
    """Return the function that tells for an event's name alone whether something `holds` of the
    rule it goes by, whatever conditions say, or `otherwise` where no rule is for it; None where
    that can be said of no event.
    """
    if not rules or not (otherwise or any(map(holds, _all(rules)))):
        return None
    candidates = _compile_candidates(rules, lambda key, where, rule: holds(rule), "mapping")

    @lru_cache(maxsize=1024)
    def foregone(name: str) -> bool:
        for condition, held in candidates(name):
            if not held or condition is None:
                return held
        return otherwise

    return foregone


def _all(rules: Rules) -> Iterable[RuleConfig]:
    for actions in rules.values():
        for rule in actions.values():
            yield from (rule,) if isinstance(rule, RuleConfig) else rule


def _compile_candidates(
    rules: Rules, build: Callable[[str, str, RuleConfig], T], where: str
) -> Callable[[str], Candidates[T]]:
    """Return the function that finds the rules an event of a name may go by."""
    entities = _tabulate(rules, build, where)
    unknown = entities["*"]

    def candidates(name: str) -> Candidates[T]:
        entity, _, rest = name.partition(" ")
        action = rest.partition(" ")[0]
        if not entity or not action:
            return ()
        actions = entities.get(entity, unknown)
        return actions[action if action in actions else "*"]

    return candidates


def _unconditional(named: Iterable[tuple[str, Candidates[T]]]) -> dict[str, T]:
    """By name what is found without asking anything."""
    return {name: found[0][1] for name, found in named if found and found[0][0] is None}


def _first(candidates: Candidates[T], event: Event, scope: Scope) -> T | None:
    for condition, built in candidates:
        if condition is None or condition(event, LocalScope(event, scope.consent)):
            return built
    return None


def _tabulate(
    rules: Rules, build: Callable[[str, str, RuleConfig], T], where: str
) -> dict[str, dict[str, Candidates[T]]]:
    """Per entity and action all candidates in order, those of `* *` last; `*` is always there."""
    own: dict[str, dict[str, Candidates[T]]] = {
        entity: {
            action: _candidates(f"{entity} {action}", join(where, entity, action), rule, build)
            for action, rule in actions.items()
        }
        for entity, actions in rules.items()
    }
    last = own.get("*", {}).get("*", ())
    tables = {
        entity: {action: (*found, *last) for action, found in actions.items()}
        for entity, actions in own.items()
    }
    tables.setdefault("*", {})["*"] = last
    for actions in tables.values():
        actions.setdefault("*", last)
    return tables


def _candidates(
    key: str,
    where: str,
    rules: RuleConfig | Sequence[RuleConfig],
    build: Callable[[str, str, RuleConfig], T],
) -> Candidates[T]:
    if isinstance(rules, RuleConfig):
        return (_candidate(key, where, rules, build),)
    return tuple(_candidate(key, join(where, at), rule, build) for at, rule in enumerate(rules))


def _candidate(
    key: str, where: str, rule: RuleConfig, build: Callable[[str, str, RuleConfig], Any]
) -> tuple[ScopedFunction | None, Any]:
    condition = rule.condition and guarded(
        rule.condition, join(where, "condition"), finish=bool, instead=False
    )
    return condition or None, build(key, where, rule)
