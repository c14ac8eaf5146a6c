"""What the built-in destinations send of an event, and its JSON."""

from typing import Any

import orjson

from walker_collector.config import MISSING
from walker_collector.errors import Rejected
from walker_collector.hookspecs import Event, Rule


def payload(event: Event, data: Any) -> Any:
    """Return what the mapping made; the event itself where it made nothing."""
    return event if data is MISSING else data


def part_of(event: Event, path: str) -> Any:
    """Return the part of an event at a dotted path; MISSING where there is none."""
    value: Any = event
    for key in path.split("."):
        if type(value) is dict:
            value = value.get(key, MISSING)
        elif type(value) is list and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return MISSING
    return value


def skipped(rule: Rule | None) -> bool:
    """Tell whether the rule leaves out the default call (`skip`): here it is the only one."""
    return rule is not None and rule.skip


def to_json(value: Any) -> bytes:
    """Return compact JSON on one line; raises `Rejected` for what JSON cannot say."""
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise Rejected(f"cannot be written as JSON: {error}") from None
