"""A plugin's own part of the configuration: its settings and its rules' settings."""

from collections.abc import Mapping
from typing import Any

import attrs

from walker_collector.config import Secret
from walker_collector.errors import Problem
from walker_collector.flowfile.references import STAND_IN
from walker_collector.naming import join, kind
from walker_collector.structuring import disk_key, structure


def read_settings(plugin: Any, raw: Any, path: str, lenient: bool) -> tuple[Any, list[Problem]]:
    """Structure a destination's settings; `lenient` stands in for absent secrets."""
    cls = getattr(plugin, "settings", None)
    raw = {} if raw is None else raw
    if cls is not None and lenient and isinstance(raw, Mapping):
        raw = _with_stand_ins(raw, cls)
    return _structure(raw, cls, path)


def read_rules(plugin: Any, raw: Any, path: str) -> tuple[Any, list[Problem]]:
    """Return raw rules with their `settings` structured; other mistakes are left in them."""
    cls = getattr(plugin, "rule_settings", None)
    problems: list[Problem] = []

    def rule(raw: Any, path: str) -> Any:
        if isinstance(raw, list):
            return [rule(item, join(path, index)) for index, item in enumerate(raw)]
        if not isinstance(raw, Mapping) or raw.get("settings") is None:
            return raw
        settings, found = _structure(raw["settings"], cls, join(path, "settings"))
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


def _structure(raw: Any, cls: type | None, path: str) -> tuple[Any, list[Problem]]:
    if cls is not None:
        return structure(raw, cls, path)
    if raw == {}:
        return None, []
    if isinstance(raw, Mapping):
        return None, [Problem(join(path, key), "this package takes no settings") for key in raw]
    return None, [Problem(path, f"expected an object, got {kind(raw)}")]


def _with_stand_ins(raw: Mapping[str, Any], cls: type[Any]) -> dict[str, Any]:
    """Return the settings with every absent credential stood in for.

    A credential is a field of type `Secret`, or one whose metadata says `credential`.
    """
    attrs.resolve_types(cls)
    absent = {
        disk_key(field): STAND_IN
        for field in attrs.fields(cls)
        if _is_credential(field) and raw.keys().isdisjoint({field.name, disk_key(field)})
    }
    return {**raw, **absent}


def _is_credential(field: "attrs.Attribute[Any]") -> bool:
    return field.type in (Secret, Secret | None) or "credential" in field.metadata
