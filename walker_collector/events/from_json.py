"""Events that are given as JSON: no more of them is read than somebody looks at."""

import json
from typing import Any, Final

import orjson

from walker_collector.errors import EventError
from walker_collector.events.encode import Bounds
from walker_collector.events.long_integers import may_have_long_integer, no_number
from walker_collector.events.unread import UnreadEvent, read_event

_LOOSE: Final = 4
"""JSON may have this many times the bytes of its event: spaces and escapes are not kept."""


def event_of_json(text: bytes, bounds: Bounds) -> UnreadEvent | Any:
    """Return the event in a JSON text, unread if it is a usual one; else the value of the text.

    Raises EventError for other text, and one that is far too long for an event: its values might
    take many times its length in memory.
    """
    if len(text) <= bounds.bytes and (event := read_event(text)) is not None:
        return event
    if len(text) > _LOOSE * bounds.bytes:
        raise EventError(
            f"event has {len(text):,} bytes of JSON; the limit is {bounds.bytes:,} "
            "(collector.maxBytes)"
        )
    try:
        if may_have_long_integer(text):  # orjson would round it
            return json.loads(text.decode(), parse_constant=no_number)
        return orjson.loads(text)
    except RecursionError:
        raise EventError("event is nested too deeply") from None
    except ValueError as error:
        raise EventError(f"event is not JSON: {error}"[:200]) from None
