"""Changes to attributes, as pure functions on dictionaries."""

from collections.abc import Mapping
from typing import Any

from walker_dest_customerio.sandbox.received import Identifier, JsonObject, identifier

CONTROL = frozenset({"_timestamp", "_update", "cio_relationships"})
"""Keys of an identify that control it and are never stored (Track API reference)."""

UNSTORED = CONTROL | {"id", "cio_id"}
_PREFERENCES = "cio_subscription_preferences."


def with_changes(current: Mapping[str, Any], changes: Mapping[str, Any]) -> JsonObject:
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


def with_defaults(current: Mapping[str, Any], spare: Mapping[str, Any]) -> JsonObject:
    """Return `current` with missing attributes taken from `spare`, as a merge does."""
    return {**spare, **{name: value for name, value in current.items() if value not in (None, "")}}


def is_unsubscribed(value: object) -> bool:
    """Return whether a value means unsubscribed: true or 1, also as text (reference)."""
    return value is True or str(value).lower() in ("true", "1")


def identifiers_in(attributes: Mapping[str, Any]) -> list[Identifier]:
    """Return the identifiers among an identify's attributes: id and email.

    A phone identifies only people who are addressed by it, as relatives may share one.
    """
    return [identifier(kind, attributes[kind]) for kind in ("id", "email") if attributes.get(kind)]


def _set_preference(result: JsonObject, path: list[str], value: object) -> None:
    """Set one topic; copy the dictionaries above it, as others may share them."""
    node = result
    for step in path[:-1]:
        below = node.get(step)
        node[step] = dict(below) if isinstance(below, dict) else {}
        node = node[step]
    node[path[-1]] = value
