"""The content that the built-in destinations send for an event, and its JSON."""

from typing import Any

import orjson

from walker_collector.config import MISSING
from walker_collector.errors import Rejected
from walker_collector.hookspecs import Event, Rule


def payload(event: Event, data: Any) -> Any:
    """Return the mapped data, or the event itself if there is none."""
    return event if data is MISSING else data


def part_of(event: Event, path: str) -> Any:
    """Return the value at a dotted path of an event, or MISSING."""
    value: Any = event
    for key in path.split("."):
        if type(value) is dict:
            value = value.get(key, MISSING)
        elif type(value) is list and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return MISSING
    return value


def is_skipped(rule: Rule | None) -> bool:
    """Return whether the rule skips the default call, which is the only one here."""
    return rule is not None and rule.skip


def to_json(value: Any) -> bytes:
    """Return compact JSON on one line; raises Rejected for a value that JSON cannot express."""
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise Rejected(f"cannot be written as JSON: {error}") from None
