"""Values of events as columns take them."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from walker_collector import Rejected
from walker_dest_duckdb.settings import Kind


def kind_of(value: Any) -> Kind | None:
    """Return what a column made for this value holds; None where the value does not tell."""
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
    """Return a value as a column of this kind takes it.

    Raises Rejected, which names the column and never the value, where it does not.
    """
    if value is None:
        return None
    try:
        return _TAKEN[kind](value)
    except (TypeError, ValueError, OverflowError):
        raise Rejected(f"column {column} holds {kind}, not {_noun(value)}") from None


def _noun(value: Any) -> str:
    return {"text": "such a text", "json": "an object or a list"}.get(
        kind_of(value) or "", f"such a {kind_of(value)}"
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


_TAKEN: Final[Mapping[Kind, Callable[[Any], Any]]] = {
    "text": _text,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "time": _time,
    "json": lambda value: value,
}
