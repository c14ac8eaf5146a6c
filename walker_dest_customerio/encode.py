"""Values to JSON bytes, in the way Customer.io's SDK understands them."""

from datetime import UTC, datetime
from typing import Any

import orjson

from walker_collector import Rejected

_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME
_SORTED = _OPTIONS | orjson.OPT_SORT_KEYS


def dumps(value: Any, what: str, *, sort_keys: bool = False) -> bytes:
    """Return `value` as JSON bytes: NaN and infinities become null, datetimes unix seconds.

    The SDK treats datetimes so (naive ones are UTC); Customer.io's dates are unix seconds. Mapping
    functions may return anything, so what JSON cannot hold raises Rejected, naming `what`.
    """
    try:
        return orjson.dumps(value, _seconds, _SORTED if sort_keys else _OPTIONS)
    except orjson.JSONEncodeError as error:
        raise Rejected(f"{what} cannot be written as JSON: {error}") from None


def _seconds(value: Any) -> int:
    if isinstance(value, datetime):
        return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())
    raise TypeError(f"it holds a value of type {type(value).__name__}")
