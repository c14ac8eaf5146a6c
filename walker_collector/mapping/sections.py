"""`include` and `remove`: sections of the event as flat data, and data without some paths."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from walker_collector.hookspecs import Event
from walker_collector.mapping.paths import delete_by_path

_EVENT_KEYS: Final = ("entity", "action", "id", "timestamp", "name", "trigger", "timing")


def _labels(context: Any) -> Any:
    """Return a context's labels; each of its values is [label, order]."""
    if type(context) is not dict:
        return None
    return {
        key: value[0] if type(value) is list else value
        for key, value in context.items()
        if value != []
    }


def _core(event: Event) -> dict[str, Any]:
    return {key: event[key] for key in _EVENT_KEYS if key in event}


_SECTIONS: Final[dict[str, Callable[[Event], Any]]] = {
    "data": lambda event: event.get("data"),
    "globals": lambda event: event.get("globals"),
    "context": lambda event: _labels(event.get("context")),
    "user": lambda event: event.get("user"),
    "source": lambda event: event.get("source"),
    "event": _core,
}


def flatten(event: Event, sections: Sequence[str]) -> dict[str, Any]:
    """Return the named sections of the event (`all`: every one) as one flat object.

    `data.shipping.city` becomes `data_shipping_city`. Lists stay whole and None stays; an empty
    object has no key in the result.
    """
    flat: dict[str, Any] = {}
    for name in _SECTIONS if "all" in sections else sections:
        section = _SECTIONS[name](event)
        if type(section) is dict:
            _flatten_into(flat, name, section)
    return flat


def _flatten_into(flat: dict[str, Any], prefix: str, branch: dict[str, Any]) -> None:
    for key, value in branch.items():
        if type(value) is dict:
            _flatten_into(flat, f"{prefix}_{key}", value)
        else:
            flat[f"{prefix}_{key}"] = value


def remove(data: Any, paths: Sequence[str]) -> Any:
    """Return the data without the given paths; data other than an object is returned as it is."""
    if type(data) is dict:
        for path in paths:
            data = delete_by_path(data, path)
    return data
