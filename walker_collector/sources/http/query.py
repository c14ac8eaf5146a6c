"""The event in the query of a pixel, as walkerOS writes it: `name=page+view&data[id]=1`.

As in the original (core, request.ts and castValue.ts): brackets nest, whole numbers in them are
places in a list, and values that read as numbers, true or false are these.
"""

import re
from typing import Any, Final
from urllib.parse import parse_qsl

_BRACKETS: Final = re.compile(r"[\[\]]+")
_INDEX: Final = re.compile(r"\s*[+-]?\d")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_HEX: Final = re.compile(r"0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+")
_FIELDS_MAX: Final = 1_000
_LIST_MAX: Final = 100
"""Places of a list: a few letters of a query name the last, and so fill all before it."""
_DEPTH_MAX: Final = 32
_EXACT: Final = 2**53


def event_of(query: str) -> dict[str, Any]:
    """Return the event in a query; parts that contradict each other are left out."""
    event: dict[str, Any] = {}
    pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=None)
    for key, value in pairs[:_FIELDS_MAX]:
        keys = [part for part in _BRACKETS.split(key) if part]
        if 0 < len(keys) <= _DEPTH_MAX:
            _put(event, keys, cast(value))
    return event


def _put(holder: Any, keys: list[str], value: Any) -> None:
    """Put a value at a place, with the objects and lists on the way to it."""
    for at, key in enumerate(keys):
        is_last = at == len(keys) - 1
        if isinstance(holder, list):
            index = int(key) if key.isdecimal() and len(key) < 5 else _LIST_MAX
            if index >= _LIST_MAX:
                return
            holder += [None] * (index + 1 - len(holder))
            place: Any = index
        elif isinstance(holder, dict):
            place = key
        else:  # a value stands there already
            return
        if is_last:
            holder[place] = value
            return
        below = holder[place] if isinstance(holder, list) else holder.get(place)
        if not below:
            below = holder[place] = [] if _INDEX.match(keys[at + 1]) else {}
        holder = below


def cast(text: str) -> Any:
    """Return a value of a query as JSON: a number, true, false, or the text."""
    if text in ("true", "false"):
        return text == "true"
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number.is_integer() and abs(number) <= _EXACT:
            return int(number)
        return number if abs(number) < float("inf") else text
    return int(text, 0) if _HEX.fullmatch(text) and len(text) < 16 else text
