"""Check and read the rules of a destination: entity -> action -> a rule or a list of rules."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

import attrs

from walker_collector.config import RuleConfig, Rules
from walker_collector.errors import Problem
from walker_collector.flow.diagnostics import outer_places
from walker_collector.flow.plugin_settings import structure_own
from walker_collector.flow.types import structure
from walker_collector.mapping import walk_rules
from walker_collector.naming import join


def map_rules(rules: Any, change: Callable[[Any, str, str, str], Any], path: str) -> Any:
    """Return raw rules with each replaced by `change(rule, entity, action, place)`.

    Parts of another shape stay as they are, for `structure` to refuse.
    """
    if not isinstance(rules, Mapping):
        return rules
    changed = {
        entity: dict(actions) if isinstance(actions, Mapping) else actions
        for entity, actions in rules.items()
    }
    for entity, action, place, rule in walk_rules(rules, path):
        changed[entity][action] = (
            [change(item, entity, action, join(place, at)) for at, item in enumerate(rule)]
            if isinstance(rule, list)
            else change(rule, entity, action, place)
        )
    return changed


def read_rules(plugin: Any, raw: Any, path: str) -> tuple[Any, list[Problem]]:
    """Return raw rules with their `settings` structured; other mistakes are left in them."""
    cls = getattr(plugin, "rule_settings", None)
    problems: list[Problem] = []

    def read(rule: Any, _: str, __: str, place: str) -> Any:
        if not isinstance(rule, Mapping) or rule.get("settings") is None:
            return rule
        settings, found = structure_own(rule["settings"], cls, join(place, "settings"))
        problems.extend(found)
        return {**rule, "settings": settings}

    return map_rules(raw, read, path), problems


def check_keys(rules: Any, path: str) -> list[Problem]:
    """Return a problem for each key of raw rules that no event can match.

    Rules are looked up by the first two words of an event's name, one level for each.
    """
    problems = [
        Problem(join(path, entity), _advice(entity, "an entity"))
        for entity in (rules if isinstance(rules, Mapping) else ())
        if _has_space(entity)
    ]
    problems += [
        Problem(place, _advice(f"{entity} {action}", "an action"))
        for entity, action, place, _ in walk_rules(rules, path)
        if _has_space(action) and not _has_space(entity)
    ]
    return problems + list(_misshapen(rules, path))


_RULE_KEYS: Final = frozenset(field.name for field in attrs.fields(RuleConfig))


def _misshapen(rules: Any, path: str) -> Iterator[Problem]:
    """Yield a problem for each rule at the level of an action or above, and for text as a rule."""
    for entity, actions in rules.items() if isinstance(rules, Mapping) else ():
        if isinstance(actions, list | tuple):
            message = f'expected rules by action; write {{{_quoted(entity)}: {{"*": [...]}}}}'
            yield Problem(join(path, entity), message)
    for entity, action, place, rule in walk_rules(rules, path):
        if isinstance(rule, Mapping | list | tuple) or _has_space(entity) or _has_space(action):
            continue
        if action in _RULE_KEYS:
            rule_of = f'{{{_quoted(entity)}: {{"*": {{{_quoted(action)}: ...}}}}}}'
            yield Problem(
                place, f"is a key of a rule, where an action is expected; write {rule_of}"
            )
        elif isinstance(rule, str):
            yield Problem(
                place, f'expected a rule, got a string; write {{"name": {_quoted(rule)}}}'
            )


def _quoted(text: Any) -> str:
    return json.dumps(str(text)[:80], ensure_ascii=False)


def _has_space(key: Any) -> bool:
    return isinstance(key, str) and (" " in key or not key)


def _advice(name: str, expected: str) -> str:
    entity, action, *_ = [word for word in name.split(" ") if word] + ["*", "*"]
    return (
        f"a key here is {expected}, one word, as rules are found by the first two words of an "
        f'event\'s name: this one never matches; write {{"{entity}": {{"{action}": {{...}}}}}}'
    )


def outside_of(places: Collection[Problem], problems: list[Problem]) -> list[Problem]:
    """Return the problems that are not inside one of the places: they are reported already."""
    paths = {place.path for place in places}
    return [item for item in problems if paths.isdisjoint(outer_places([item.path]))]


def sound_rules(rules: Any, path: str, broken: Collection[str]) -> Rules:
    """Return the rules that have no problem, structured; `broken` are the places of problems."""
    sound: Rules = {}
    without = outer_places(broken)
    for entity, action, place, rule in walk_rules(rules, path):
        if place in without:
            continue
        made, _ = structure({action: rule}, dict[str, RuleConfig | list[RuleConfig]])
        sound.setdefault(entity, {}).update(made or {})
    return sound
