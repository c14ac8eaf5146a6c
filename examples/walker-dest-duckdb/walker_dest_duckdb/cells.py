"""From values of events to values of columns."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from walker_collector import Rejected
from walker_dest_duckdb.settings import Kind


def kind_of(value: Any) -> Kind | None:
    """Return the column type for a value, or None for a null."""
    match value:
        case None:
            return None
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
    return "json"


def cell(value: Any, kind: Kind, column: str) -> Any:
    """Return a value converted for a column of this type.

    Raises Rejected if that is impossible; the reason names the column and never the value.
    """
    if value is None:
        return None
    try:
        return _CONVERTERS[kind](value)
    except (TypeError, ValueError, OverflowError):
        raise Rejected(f"column {column} has type {kind}; {_noun(value)} does not fit") from None


def _noun(value: Any) -> str:
    return {"text": "this text", "json": "an object or a list"}.get(
        kind_of(value) or "", f"this {kind_of(value)}"
    )


def _text(value: Any) -> str:
    if isinstance(value, bool | dict | list):
        raise TypeError
    return str(value)


def _number(value: Any) -> float:
    if isinstance(value, bool | str) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _integer(value: Any) -> int:
    if not _number(value).is_integer() or not -(2**63) <= value < 2**63:
        raise ValueError
    return int(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _time(value: Any) -> str:
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
    else:
        moment = datetime.fromtimestamp(_number(value) / 1000, UTC)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


_CONVERTERS: Final[Mapping[Kind, Callable[[Any], Any]]] = {
    "text": _text,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "time": _time,
    "json": lambda value: value,
}
