"""The parts that an event was not given, as JSON to write behind its own."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

_EMPTY: Final[Mapping[str, str]] = {
    "data": "{}",
    "context": "{}",
    "globals": "{}",
    "custom": "{}",
    "user": "{}",
    "nested": "[]",
    "trigger": '""',
}
"""The JSON of parts that every event has, where they were not given."""
GIVEN: Final = tuple(_EMPTY)
"""The parts that every event has, and that an application may give."""


@lru_cache(maxsize=8)
def timing_text(timing: float) -> str:
    """Return the timing of an event as JSON after a comma; many events share it."""
    return f',"timing":{timing}'


def words_text(entity: str, action: str) -> str:
    """Return entity and action of an event as JSON after a comma."""
    return f',"entity":{json_text(entity)},"action":{json_text(action)}'


def lacking_text(parts: Iterable[str]) -> str:
    """Return parts that an event was not given, of those that every event has, as JSON."""
    return "".join(f',"{part}":{_EMPTY[part]}' for part in parts)


def json_text(value: Any) -> str:
    """Return a value as JSON."""
    return orjson.dumps(value).decode()
