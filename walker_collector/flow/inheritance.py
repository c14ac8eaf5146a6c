"""Merge the rules of a flow onto the rules that its destination ships (`extend`).

As in walkerOS (core, mergeMapping.ts): a plain rule replaces the shipped one; one with `extend`
or `remove` is merged onto it, and null clears an inherited field.
"""

import re
from collections.abc import Mapping
from typing import Any

from attrs import Factory, define

from walker_collector.errors import Problem
from walker_collector.flow.diagnostics import outer_places
from walker_collector.flow.rule_tree import map_rules
from walker_collector.naming import join, kind


@define
class Inherited:
    """Merged rules, still raw, with the problems and warnings of the merge.

    `patches` holds, by the place of a rule, the keys that came out of its `extend`.
    """

    rules: Any
    patches: dict[str, frozenset[str]] = Factory(dict)
    problems: list[Problem] = Factory(list)
    warnings: list[str] = Factory(list)

    def locate(self, problem: Problem) -> Problem:
        """Return the problem with its place on disk, which may be inside `extend`."""
        for place in outer_places([problem.path]) & self.patches.keys():
            rest = problem.path.removeprefix(f"{place}.")
            if rest != problem.path and re.split(r"[.\[]", rest)[0] in self.patches[place]:
                return Problem(f"{place}.extend.{rest}", problem.message)
        return problem


def inherit(rules: Any, plugin: Any, path: str) -> Inherited:
    """Merge the raw rules of a flow onto the raw rules that a destination's class ships.

    Rules that are not entity -> action -> rule are left as they are, for `structure` to refuse.
    """
    shipped: Mapping[str, Any] = getattr(plugin, "mapping", None) or {}
    if not shipped and rules is None:
        return Inherited(None)
    rules = {} if rules is None else rules
    if not isinstance(rules, Mapping) or not all(isinstance(a, Mapping) for a in rules.values()):
        return Inherited(rules)
    result = Inherited({entity: dict(actions) for entity, actions in shipped.items()})

    def build(rule: Any, entity: str, action: str, place: str) -> Any:
        return _built(rule, shipped.get(entity, {}).get(action), place, result)

    for entity, actions in map_rules(rules, build, path).items():
        result.rules.setdefault(entity, {}).update(actions)
    return result


def _built(rule: Any, base: Any, place: str, result: Inherited) -> Any:
    if not isinstance(rule, Mapping) or not {"extend", "remove"} & rule.keys():
        return rule
    own = {key: value for key, value in rule.items() if key != "extend"}
    patch = rule.get("extend") or {}
    if not isinstance(patch, Mapping):
        result.problems.append(
            Problem(join(place, "extend"), f"expected an object, got {kind(patch)}")
        )
        return own
    if base is None:
        if patch:
            result.warnings.append(f"{place}.extend: no effect, the destination ships no such rule")
        return own
    if not isinstance(base, Mapping):
        if "extend" not in rule:
            return own
        message = "the destination ships several rules here; write out the rule instead"
        result.problems.append(Problem(join(place, "extend"), message))
        return own
    result.patches[place] = frozenset(patch.keys() - own.keys())
    inherited = {key: value for key, value in _patched(base, patch).items() if key != "remove"}
    return {**inherited, **own}


def _patched(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` deeply merged with `patch`; null removes a key (JSON merge patch)."""
    merged = dict(base)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _patched(merged[key], value)
        else:
            merged[key] = value
    return merged
