"""Repairs when a spool is opened, of damage that would stop a start or falsify the figures."""

import sqlite3
import time
from pathlib import Path
from typing import Final

from walker_collector.spool import damage
from walker_collector.spool.sqlite import people_tables, shard_tables
from walker_collector.spool.sqlite.catalog import register
from walker_collector.text import counted, get_logger

_DAY: Final = 86_400_000
UNKNOWN: Final = "unknown"
"""The destination of events without one, until somebody drops them."""
_LAST_SEQ: Final = 2**53
_NUMBER: Final = "typeof({0}) = 'integer' AND {0} BETWEEN 1 AND 2147483647"
# The few rows that all others depend on.
_CATALOG: Final = (
    (
        "record",
        "of destinations that cannot be read removed",
        f"""DELETE FROM subscribers
        WHERE NOT ({_NUMBER.format("number")} AND {_NUMBER.format("destination")})""",
    ),
    (
        "destination",
        "with a name that cannot be read now called unknown-NUMBER",
        """UPDATE destinations SET id = 'unknown-' || number
        WHERE typeof(id) <> 'text' OR id = '' OR length(id) > 1000""",
    ),
    (
        "destination",
        "without a name now called unknown-NUMBER",
        """INSERT INTO destinations SELECT DISTINCT destination, 'unknown-' || destination
        FROM subscribers WHERE destination NOT IN (SELECT number FROM destinations)""",
    ),
)
_BAD_SEQ: Final = f"seq < 1 OR seq > {_LAST_SEQ}"
_NOWHERE: Final = "subscribers NOT IN (SELECT number FROM subscribers)"
_NOT_TEXT: Final = "typeof({0}) <> 'text' OR typeof({1}) <> 'text'"
_MENDED: Final = (
    (
        "record",
        "of deliveries of no event removed",
        """DELETE FROM deliveries WHERE NOT EXISTS (
        SELECT 1 FROM events e JOIN subscribers s ON s.number = e.subscribers
        WHERE e.seq = deliveries.seq AND s.destination = deliveries.destination)""",
    ),
    (
        "event",
        "of an unknown state made dead letters",
        f"""UPDATE deliveries SET state = 2, changed = :now, reason = '{damage.REASON}its state'
        WHERE typeof(state) <> 'integer' OR state NOT IN (0, 1, 2)""",
    ),
    (
        "statement",
        "about consent by nobody removed",
        f"DELETE FROM consents WHERE {_NOT_TEXT.format('person', 'key')}",
    ),
    (
        "statement",
        "about consent that cannot be read made denials",
        """UPDATE consents SET granted = 0
        WHERE typeof(granted) <> 'integer' OR granted NOT IN (0, 1)
        OR typeof(stamp) <> 'integer'""",
    ),
    (
        "statement",
        "about consent at no possible time made to be of now",
        """UPDATE consents SET stamp = :now * 1000
        WHERE typeof(stamp) <> 'integer' OR stamp > :tomorrow * 1000""",
    ),
    (
        "identifier",
        "other than text removed",
        f"DELETE FROM aliases WHERE {_NOT_TEXT.format('alias', 'person')}",
    ),
    (
        "identifier",
        "other than text removed",
        f"DELETE FROM signed_in WHERE {_NOT_TEXT.format('key', 'person')}",
    ),
    ("erasure", "of nobody removed", "DELETE FROM pending_erasures WHERE typeof(person) <> 'text'"),
)


logger = get_logger("walker_collector")


def mend(path: Path, db: sqlite3.Connection, shards: int) -> None:
    """Repair the damage in a spool, and log each kind with its count."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        _mend_catalog(path, db)
        _mend_rows(path, db)
        moved = people_tables.straighten(db)
        if shards > 1:
            placed = shard_tables.place(db, shards, everything=moved)
            _log(path, placed, "event", "put into the shards of their people")


def _mend_catalog(path: Path, db: sqlite3.Connection) -> None:
    for thing, problem, statement in _CATALOG:
        _log(path, db.execute(statement).rowcount, thing, problem)
    bad = db.execute(f"SELECT seq FROM events WHERE {_BAD_SEQ}").fetchall()
    for (seq,) in bad:  # to the end, as numbers beyond a bound leave none for new events
        (last,) = db.execute(
            f"SELECT coalesce(max(seq), 0) FROM events WHERE seq BETWEEN 0 AND {_LAST_SEQ}"
        ).fetchone()
        for table in ("events", "deliveries"):
            db.execute(f"UPDATE {table} SET seq = ? WHERE seq = ?", (last + 1, seq))
    _log(path, len(bad), "event", "with an impossible number numbered anew")


def _mend_rows(path: Path, db: sqlite3.Connection) -> None:
    nowhere = db.execute(f"SELECT seq FROM events WHERE {_NOWHERE} LIMIT 1").fetchone()
    if nowhere:
        unknown = register(db, [frozenset((UNKNOWN,))]).subscribers[frozenset((UNKNOWN,))]
        count = db.execute(
            f"UPDATE events SET subscribers = ? WHERE {_NOWHERE}", (unknown,)
        ).rowcount
        _log(
            path,
            count,
            "event",
            f"without a destination kept for {UNKNOWN!r} (first: {nowhere[0]})",
        )
    now = time.time_ns() // 1_000_000
    for thing, problem, statement in _MENDED:
        found = db.execute(statement, {"now": now, "tomorrow": now + _DAY})
        _log(path, found.rowcount, thing, problem)


def _log(path: Path, count: int, thing: str, problem: str) -> None:
    if count > 0:
        logger.error("spool %s is damaged: %s %s", path, counted(count, thing), problem)
