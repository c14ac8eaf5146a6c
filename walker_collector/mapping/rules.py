"""Look up the rule for an event by the first two words of its name.

The exact entity, else `*`; within it the exact action, else its `*`; if that yields no rule,
`* *`. So `* view` applies to unknown entities only. Of a list of rules, the first one with a true
condition applies. Source: walkerOS, getMappingEvent.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

from attrs import frozen

from walker_collector.config import RuleConfig, Rules
from walker_collector.hookspecs import Event
from walker_collector.mapping.callables import guarded
from walker_collector.mapping.scope import LocalScope, Resolve, Scope
from walker_collector.naming import join

AT_NAME: Final = len(b'{"name":"')
"""The place of the name in an event's JSON, which `complete` has first."""

T = TypeVar("T")
Find = Callable[[Event, Scope], T | None]
Candidates = tuple[tuple[Resolve | None, T], ...]
"""The rules that may apply, in their order, each with its condition if it has one."""


def walk_rules(rules: Any, path: str = "") -> Iterator[tuple[str, str, str, Any]]:
    """Yield entity, action, place and rule of each entry; a rule may be a list of them.

    The rules may be raw, as a file has them: parts of another shape are passed over.
    """
    for entity, actions in rules.items() if isinstance(rules, Mapping) else ():
        for action, rule in actions.items() if isinstance(actions, Mapping) else ():
            yield entity, action, join(path, entity, action), rule


def each_rule(rules: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the place of every rule and the rule itself, those in lists one by one."""
    for _, _, place, rule in walk_rules(rules, path):
        if isinstance(rule, list | tuple):
            yield from ((join(place, index), item) for index, item in enumerate(rule))
        else:
            yield place, rule


@frozen(eq=False)
class Lookup(Generic[T]):
    """Finds the rule of an event.

    by_name: the rules that apply to every event of a name, as they have no condition. Most events
        have one: a single look into a dict finds it.
    find: finds the rule of any event.
    candidates: finds those that may apply to events of a name.
    """

    by_name: Mapping[str, T]
    find: Find[T]
    candidates: Callable[[str], Candidates[T]]


def compile_lookup(
    rules: Rules | None, build: Callable[[str, str, RuleConfig], T], where: str = "mapping"
) -> Lookup[T]:
    """Build every rule with `build(key, where, rule)`; return the lookup of the results.

    Raises ConfigError for a `condition` with the wrong parameters.
    """
    if not rules:
        return Lookup({}, lambda event, scope: None, lambda name: ())
    candidates = _compile_candidates(rules, build, where)
    cached = lru_cache(maxsize=1024)(candidates)

    def find(event: Event, scope: Scope) -> T | None:
        name = event.get("name")
        return _first(cached(name), event, scope) if type(name) is str else None

    names = [f"{entity} {action}" for entity, action, _, _ in walk_rules(rules)]
    return Lookup(_unconditional((name, candidates(name)) for name in names), find, candidates)


def compile_name_test(
    rules: Rules | None, holds: Callable[[RuleConfig], bool], *, otherwise: bool
) -> Callable[[str], bool | None] | None:
    """Return a test of event names: whether `holds` is true of the event's rule, whichever it is;
    None for a name where conditions tell.

    Conditions are not evaluated: the rules that may apply must agree. For an event without a rule
    the answer is `otherwise`. None if it is true for no name.
    """
    if not rules or not (otherwise or any(holds(rule) for _, rule in each_rule(rules))):
        return None
    candidates = _compile_candidates(rules, lambda key, where, rule: holds(rule), "mapping")

    @lru_cache(maxsize=1024)
    def certain(name: str) -> bool | None:
        answers = set()
        for condition, held in candidates(name):
            answers.add(held)
            if condition is None:
                break
        else:
            answers.add(otherwise)  # no rule, or none with a true condition
        return answers.pop() if len(answers) == 1 else None

    return certain


def rules_for(rules: Rules | None, name: str) -> list[tuple[str, RuleConfig]]:
    """Return the rules that may apply to events of a name, with their keys; no condition is asked.

    They end with the first that has no condition.
    """
    found: list[tuple[str, RuleConfig]] = []
    if rules:
        candidates = _compile_candidates(rules, lambda key, where, rule: (key, rule), "mapping")
        for condition, keyed in candidates(name):
            found.append(keyed)
            if condition is None:
                break
    return found


def _compile_candidates(
    rules: Rules, build: Callable[[str, str, RuleConfig], T], where: str
) -> Callable[[str], Candidates[T]]:
    """Return a function of an event's name that finds the rules it may go by."""
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
    """Return the built rules by name, if no condition has to be asked for them."""
    return {name: found[0][1] for name, found in named if found and found[0][0] is None}


def _first(candidates: Candidates[T], event: Event, scope: Scope) -> T | None:
    for condition, built in candidates:
        if condition is None or condition(event, LocalScope(event, scope.consent)):
            return built
    return None


def _tabulate(
    rules: Rules, build: Callable[[str, str, RuleConfig], T], where: str
) -> dict[str, dict[str, Candidates[T]]]:
    """Return the candidates by entity and action, those of `* *` last; both tables have `*`."""
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
) -> tuple[Resolve | None, Any]:
    condition = rule.condition and guarded(
        rule.condition, join(where, "condition"), finish=bool, instead=False
    )
    return condition or None, build(key, where, rule)
