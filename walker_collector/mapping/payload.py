"""What an event's data is made of: the rule's own, what is included, less what is removed."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from walker_collector.config import MISSING
from walker_collector.hookspecs import Event
from walker_collector.mapping.paths import delete_by_path

_EVENT_KEYS: Final = ("entity", "action", "id", "timestamp", "name", "trigger", "timing")


def _label(value: Any) -> Any:
    """A context value is [label, order]; the label counts."""
    return (value[0] if value else MISSING) if type(value) is list else value


_SECTIONS: Final[dict[str, Callable[[Event], Any]]] = {
    "data": lambda event: event.get("data"),
    "globals": lambda event: event.get("globals"),
    "context": lambda event: {
        key: _label(value) for key, value in (event.get("context") or {}).items()
    },
    "user": lambda event: event.get("user"),
    "source": lambda event: event.get("source"),
    "event": lambda event: {key: event[key] for key in _EVENT_KEYS if key in event},
}

SECTIONS: Final = (*_SECTIONS, "all")
"""What `include` may name; `all` stands for the others."""


def flatten(event: Event, sections: Sequence[str]) -> dict[str, Any]:
    """Return the named sections of the event as one flat object.

    `data.shipping.city` becomes `data_shipping_city`; lists stay whole, None stays, an empty
    object leaves nothing. Names that are no section are nothing.
    """
    names = _SECTIONS if "all" in sections else sections
    flat: dict[str, Any] = {}
    for name in names:
        section = _SECTIONS[name](event) if name in _SECTIONS else None
        if type(section) is dict:
            flat.update(_leaves(name, section))
    return flat


def _leaves(prefix: str, branch: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in branch.items():
        if type(value) is dict:
            yield from _leaves(f"{prefix}_{key}", value)
        elif value is not MISSING:
            yield f"{prefix}_{key}", value


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return both as one object, `above` winning; two lists under one key are united.

    Shallow: an object replaces an object. Rule: walkerOS, `assign`.
    """
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        if type(below[key]) is list and type(above[key]) is list:
            merged[key] = _unite(below[key], above[key])
    return merged


def _unite(first: list[Any], second: list[Any]) -> list[Any]:
    """The first list, then what it lacks of the second; containers are compared by identity."""
    united = list(first)
    seen = {_mark(item) for item in first}
    for item in second:
        if (mark := _mark(item)) not in seen:
            seen.add(mark)
            united.append(item)
    return united


def _mark(item: Any) -> tuple[Any, Any]:
    if type(item) is list or type(item) is dict:
        return "identity", id(item)
    return type(item) is bool, item  # True is not 1


def remove(data: Any, paths: Sequence[str]) -> Any:
    """Return the data without what is at the paths; only an object has anything to remove."""
    if type(data) is dict:
        for path in paths:
            data = delete_by_path(data, path)
    return data
