"""Checks of stored rows that a disk, or somebody's hand, may have damaged.

A damaged event becomes a dead letter when it is read. Damage that would stop a start, or falsify
the figures, is mended when the spool is opened.
"""

import json
from typing import Any, Final

from walker_collector.events import PARTS, decode

LATEST: Final = 253_402_300_799_999
"""The last millisecond of the year 9999; later times are damage."""
_STATES: Final = ("begun", "done", "rejected")
_PARTS: Final[dict[str, type]] = {**PARTS, "name": str, "id": str}
REASON: Final = "damaged in the spool: "


def of_event(person: Any, at: Any, body: Any, *, parse: bool = True) -> str:
    """Return the fault of an event's row; "" if it has none.

    `parse`: look into its JSON as well, which costs more than all the rest of reading an event.
    """
    if not isinstance(person, str):
        return f"its person is {_kind(person)}"
    if not isinstance(at, int):
        return f"its time is {_kind(at)}"
    if not isinstance(body, bytes | str):
        return f"its JSON is {_kind(body)}"
    return _of_body(body if isinstance(body, bytes) else body.encode()) if parse else ""


def _of_body(body: bytes) -> str:
    try:
        event = decode(body)
    except ValueError:
        return "its JSON cannot be read"
    if not isinstance(event, dict):
        return f"its JSON is {_kind(event)}"
    for key, value in event.items():
        kind = _PARTS.get(key)
        if kind is not None and not isinstance(value, kind):
            return f"its {key} is {_kind(value)}"
    return ""


def of_delivery(attempts: Any, due: Any, reason: Any, parts: Any, consent: Any) -> str:
    """Return the fault of a delivery's row; "" if it has none."""
    if not isinstance(attempts, int) or not isinstance(due, int):
        return "its attempts are no numbers"
    if not isinstance(reason, str | None):
        return f"its reason is {_kind(reason)}"
    if not _are_parts(_object(parts)):
        return "the parts of its delivery cannot be read"
    granted = _object(consent)
    if granted is None or not all(isinstance(value, bool) for value in granted.values()):
        return "its consent cannot be read"
    return ""


def reason_of(damage: str) -> str:
    """Return the reason of the dead letter that damage makes of an event."""
    return REASON + damage


def text(value: Any) -> str:
    """Return text as it is, and anything else as empty."""
    return value if isinstance(value, str) else ""


def number(value: Any, most: int = LATEST) -> int:
    """Return a number within 0 and `most`; anything else as 0."""
    return min(max(value, 0), most) if isinstance(value, int) else 0


def body(value: Any) -> bytes:
    """Return the JSON of an event as bytes; empty if it is something else."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return value if isinstance(value, bytes) else b""


def objects(column: Any) -> dict[str, Any]:
    """Return the object in a column of JSON; empty if it cannot be read."""
    return _object(column) or {}


def grants(column: Any) -> dict[str, bool] | None:
    """Return the consent in a column of JSON; None if it cannot be read."""
    found = None if column is None else _object(column)
    if found is None or not all(isinstance(value, bool) for value in found.values()):
        return None
    return found


def decoded(raw: bytes) -> str:
    """Decode text, with bad bytes replaced."""
    return raw.decode("utf-8", "replace")


def _object(column: Any) -> dict[str, Any] | None:
    if column is None:
        return {}
    try:
        found = json.loads(column)
    except (TypeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _are_parts(parts: dict[str, Any] | None) -> bool:
    return parts is not None and all(
        state in _STATES
        if isinstance(state, str)
        else isinstance(state, list) and [*map(type, state)] == [str, str]
        for state in parts.values()
    )


def _kind(value: Any) -> str:
    return f"of the type {type(value).__name__}"
