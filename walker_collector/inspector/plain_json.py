"""JSON of anything that an event may hold."""

import json
from typing import Any

import orjson


def json_bytes(value: Any) -> bytes:
    """Return a value as JSON; also lone surrogates and long integers, which orjson refuses."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return json.dumps(value, default=str).encode()
