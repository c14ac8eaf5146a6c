"""Rows that are not as they were written: made so by a disk, or by hand.

What is wrong with a single event makes a dead letter of it when it is read. What would be wrong
with everything, or with the figures, is mended when the spool is opened.
"""

import json
import logging
import sqlite3
import time
from pathlib import Path
from typing import Any, Final

from walker_collector.events import PARTS, decode

LATEST: Final = 253_402_300_799_999
"""The last millisecond of the year 9999: times beyond are none."""
_DAY: Final = 86_400_000
_STATES: Final = ("begun", "done", "rejected")
_PARTS: Final[dict[str, type]] = {**PARTS, "name": str, "id": str}
_REASON: Final = "damaged in the spool: "

logger = logging.getLogger("walker_collector")


def of_event(person: Any, at: Any, body: Any) -> str:
    """Return what is wrong with an event's row; "" where nothing is."""
    if not isinstance(person, str):
        return f"its person is {_kind(person)}"
    if not isinstance(at, int):
        return f"its time is {_kind(at)}"
    if not isinstance(body, bytes | str):
        return f"its JSON is {_kind(body)}"
    try:
        event = decode(body if isinstance(body, bytes) else body.encode())
    except ValueError:
        return "its JSON cannot be read"
    if not isinstance(event, dict):
        return f"its JSON is {_kind(event)}"
    wrong = [key for key, kind in _PARTS.items() if not isinstance(event.get(key, kind()), kind)]
    return f"its {wrong[0]} is {_kind(event[wrong[0]])}" if wrong else ""


def of_delivery(attempts: Any, due: Any, reason: Any, parts: Any, consent: Any) -> str:
    """Return what is wrong with the record of an event's deliveries; "" where nothing is."""
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
    return _REASON + damage


def text(value: Any) -> str:
    """Return text as it is, and anything else as none."""
    return value if isinstance(value, str) else ""


def number(value: Any, most: int = LATEST) -> int:
    """Return a number within 0 and `most`; anything else as 0."""
    return min(max(value, 0), most) if isinstance(value, int) else 0


def body(value: Any) -> bytes:
    """Return the JSON of an event as bytes, whatever it is."""
    return value.encode("utf-8", "replace") if isinstance(value, str) else bytes_of(value)


def bytes_of(value: Any) -> bytes:
    return value if isinstance(value, bytes) else b""


def objects(column: Any) -> dict[str, Any]:
    """Return the object in a column of JSON, empty where there is none that can be read."""
    return _object(column) or {}


def decoded(raw: bytes) -> str:
    """Return text that may be damaged as text."""
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


# --- mended when a spool is opened ---------------------------------------------------------------

_NOWHERE: Final = (
    "SELECT count(*) FROM events WHERE audience NOT IN (SELECT audience FROM audiences)"
)
_NOT_TEXT: Final = "typeof({0}) <> 'text' OR typeof({1}) <> 'text'"
_MENDED: Final = (
    (
        "record(s) of deliveries of no event removed",
        """DELETE FROM deliveries WHERE NOT EXISTS (
        SELECT 1 FROM events e JOIN audiences a USING (audience)
        WHERE e.seq = deliveries.seq AND a.destination = deliveries.destination)""",
    ),
    (
        "event(s) of an unknown state made dead letters",
        f"""UPDATE deliveries SET state = 2, changed = :now, reason = '{_REASON}its state'
        WHERE typeof(state) <> 'integer' OR state NOT IN (0, 1, 2)""",
    ),
    (
        "statement(s) about consent by nobody removed",
        f"DELETE FROM told WHERE {_NOT_TEXT.format('person', 'key')}",
    ),
    (
        "statement(s) about consent that cannot be read made denials",
        """UPDATE told SET granted = 0
        WHERE typeof(granted) <> 'integer' OR granted NOT IN (0, 1) OR typeof(at) <> 'integer'""",
    ),
    (
        "statement(s) about consent at no possible time made to be of now",
        "UPDATE told SET at = :now * 1000 WHERE typeof(at) <> 'integer' OR at > :tomorrow * 1000",
    ),
    (
        "identifier(s) that are no text removed",
        f"DELETE FROM aliases WHERE {_NOT_TEXT.format('alias', 'person')}",
    ),
    (
        "identifier(s) that are no text removed",
        f"DELETE FROM signed_in WHERE {_NOT_TEXT.format('key', 'person')}",
    ),
    ("erasure(s) of nobody removed", "DELETE FROM owed WHERE typeof(person) <> 'text'"),
)


def mend(path: Path, db: sqlite3.Connection) -> None:
    """Mend what would stop every start or make the figures wrong; say so in the log."""
    now = time.time_ns() // 1_000_000
    for what, statement in _MENDED:
        count = db.execute(statement, {"now": now, "tomorrow": now + _DAY}).rowcount
        if count > 0:
            logger.error("spool %s is damaged: %d %s", path, count, what)
    (nowhere,) = db.execute(_NOWHERE).fetchone()
    if nowhere:
        logger.error(
            "spool %s is damaged: %d event(s) are for destinations that it does not name; they "
            "stay where they are",
            path,
            nowhere,
        )
