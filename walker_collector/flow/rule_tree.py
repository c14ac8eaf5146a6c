"""The rules of a destination: their keys, and the settings that are the plugin's own."""

from collections.abc import Collection, Mapping
from typing import Any

from walker_collector.config import RuleConfig, Rules
from walker_collector.errors import Problem
from walker_collector.flow.diagnostics import is_below
from walker_collector.flow.plugin_settings import structure_own
from walker_collector.flow.types import structure
from walker_collector.naming import join


def read_rules(plugin: Any, raw: Any, path: str) -> tuple[Any, list[Problem]]:
    """Return raw rules with their `settings` structured; other mistakes are left in them."""
    cls = getattr(plugin, "rule_settings", None)
    problems: list[Problem] = []

    def rule(raw: Any, path: str) -> Any:
        if isinstance(raw, list):
            return [rule(item, join(path, index)) for index, item in enumerate(raw)]
        if not isinstance(raw, Mapping) or raw.get("settings") is None:
            return raw
        settings, found = structure_own(raw["settings"], cls, join(path, "settings"))
        problems.extend(found)
        return {**raw, "settings": settings}

    def actions(raw: Any, path: str) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        return {action: rule(item, join(path, action)) for action, item in raw.items()}

    if not isinstance(raw, Mapping):
        return raw, []
    rules = {entity: actions(item, join(path, entity)) for entity, item in raw.items()}
    return rules, problems


def check_keys(rules: Any, path: str) -> list[Problem]:
    """Return a problem for each key of raw rules that no event can match.

    Rules are looked up by the first two words of an event's name, one level for each.
    """
    if not isinstance(rules, Mapping):
        return []
    problems = []
    for entity, actions in rules.items():
        if _has_space(entity):
            problems.append(Problem(join(path, entity), _advice(entity, "an entity")))
            continue
        for action in actions if isinstance(actions, Mapping) else ():
            if _has_space(action):
                advice = _advice(f"{entity} {action}", "an action")
                problems.append(Problem(join(path, entity, action), advice))
    return problems


def _has_space(key: Any) -> bool:
    return isinstance(key, str) and " " in key


def _advice(name: str, what: str) -> str:
    entity, action, *_ = [word for word in name.split(" ") if word] + ["*", "*"]
    return (
        f"a key here is {what}, one word, as rules are found by the first two words of an event's "
        f'name: this one never matches; write {{"{entity}": {{"{action}": {{...}}}}}}'
    )


def sound_rules(rules: Any, path: str, broken: Collection[str]) -> Rules:
    """Return the rules that have no problem, structured; `broken` are the places of problems."""
    sound: Rules = {}
    for entity, actions in rules.items() if isinstance(rules, Mapping) else ():
        for action, rule in actions.items() if isinstance(actions, Mapping) else ():
            place = join(path, entity, action)
            if any(is_below(problem, place) for problem in broken):
                continue
            made, _ = structure({action: rule}, dict[str, RuleConfig | list[RuleConfig]])
            sound.setdefault(entity, {}).update(made or {})
    return sound
