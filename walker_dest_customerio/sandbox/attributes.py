"""How attributes change: pure functions on dictionaries."""

from collections.abc import Mapping
from typing import Any

from walker_dest_customerio.sandbox.operations import Identifier, JsonObject, identifier

CONTROL = frozenset({"_timestamp", "_update", "cio_relationships"})
"""Keys of an identify that steer it and are never stored (Track API reference)."""

UNSTORED = CONTROL | {"id", "cio_id"}
_PREFERENCES = "cio_subscription_preferences."


def merged(current: Mapping[str, Any], changes: Mapping[str, Any]) -> JsonObject:
    """Return `current` with `changes` applied.

    None and "" remove an attribute: documented for objects, assumed for people.
    """
    result = dict(current)
    for name, value in changes.items():
        if name in UNSTORED:
            continue
        if value is None or value == "":
            result.pop(name, None)
        elif name.startswith(_PREFERENCES):
            _set_preference(result, name.split("."), value)
        else:
            result[name] = is_unsubscribed(value) if name == "unsubscribed" else value
    return result


def filled(current: Mapping[str, Any], spare: Mapping[str, Any]) -> JsonObject:
    """Return `current` with what it lacks taken from `spare`: how a merge treats attributes."""
    return {**spare, **{name: value for name, value in current.items() if value not in (None, "")}}


def is_unsubscribed(value: object) -> bool:
    """True, "true" in any case, 1 and "1" mean unsubscribed, all else subscribed (reference)."""
    return value is True or str(value).lower() in ("true", "1")


def named_in(attributes: Mapping[str, Any]) -> list[Identifier]:
    """The identifiers an identify sets among its attributes: id and email.

    A phone names only those who are addressed by it, as relatives may share one.
    """
    return [identifier(kind, attributes[kind]) for kind in ("id", "email") if attributes.get(kind)]


def _set_preference(result: JsonObject, path: list[str], value: object) -> None:
    """Set one topic, copying what is on the way: `result` may share it with other dictionaries."""
    node = result
    for step in path[:-1]:
        below = node.get(step)
        node[step] = dict(below) if isinstance(below, dict) else {}
        node = node[step]
    node[path[-1]] = value
