"""Masks for values of people: keys, identifiers and names of events stay readable."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from walker_collector.people.identity import KINDS

HIDDEN: Final = "***"


def masked(value: Any, known: Collection[object] = ()) -> Any:
    """Return a JSON value with every text and number in it hidden, except those in `known`."""
    if isinstance(value, Mapping):
        return {key: masked(item, known) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item, known) for item in value]
    return value if value is None or value in known else HIDDEN


def public_values(event: Mapping[str, Any], *names: str | None) -> frozenset[str]:
    """Return the values of an event that may be shown: its id, names, and its person's ids."""
    user = event.get("user")
    ids = [user.get(kind) for kind in KINDS] if isinstance(user, Mapping) else []
    known = (*(event.get(key) for key in ("id", "name", "entity", "action")), *ids, *names)
    return frozenset(str(item) for item in known if item is not None)
