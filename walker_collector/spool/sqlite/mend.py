"""Repairs when a spool is opened, of damage that would stop a start or falsify the figures."""

import sqlite3
import time
from pathlib import Path
from typing import Final

from walker_collector.spool import damage
from walker_collector.spool.sqlite import people_tables
from walker_collector.spool.sqlite.group_commit import GroupCommit
from walker_collector.spool.sqlite.schema import CHECKED_BYTES
from walker_collector.text import get_logger

_DAY: Final = 86_400_000
_NOWHERE: Final = (
    "SELECT count(*) FROM events WHERE subscribers NOT IN (SELECT number FROM subscribers)"
)
_NOT_TEXT: Final = "typeof({0}) <> 'text' OR typeof({1}) <> 'text'"
_MENDED: Final = (
    (
        "record(s) of deliveries of no event removed",
        """DELETE FROM deliveries WHERE NOT EXISTS (
        SELECT 1 FROM events e JOIN subscribers s ON s.number = e.subscribers
        WHERE e.seq = deliveries.seq AND s.destination = deliveries.destination)""",
    ),
    (
        "event(s) of an unknown state made dead letters",
        f"""UPDATE deliveries SET state = 2, changed = :now, reason = '{damage.REASON}its state'
        WHERE typeof(state) <> 'integer' OR state NOT IN (0, 1, 2)""",
    ),
    (
        "statement(s) about consent by nobody removed",
        f"DELETE FROM consents WHERE {_NOT_TEXT.format('person', 'key')}",
    ),
    (
        "statement(s) about consent that cannot be read made denials",
        """UPDATE consents SET granted = 0
        WHERE typeof(granted) <> 'integer' OR granted NOT IN (0, 1)
        OR typeof(stamp) <> 'integer'""",
    ),
    (
        "statement(s) about consent at no possible time made to be of now",
        """UPDATE consents SET stamp = :now * 1000
        WHERE typeof(stamp) <> 'integer' OR stamp > :tomorrow * 1000""",
    ),
    (
        "identifier(s) that are no text removed",
        f"DELETE FROM aliases WHERE {_NOT_TEXT.format('alias', 'person')}",
    ),
    (
        "identifier(s) that are no text removed",
        f"DELETE FROM signed_in WHERE {_NOT_TEXT.format('key', 'person')}",
    ),
    ("erasure(s) of nobody removed", "DELETE FROM pending_erasures WHERE typeof(person) <> 'text'"),
)


logger = get_logger("walker_collector")


def mend(path: Path, commits: GroupCommit) -> None:
    """Repair the damage in a spool, and log each kind with its count."""
    if path.stat().st_size <= CHECKED_BYTES:  # a larger one would keep its start waiting
        commits.run(lambda db: _mend(path, db))
    commits.run(people_tables.straighten)


def _mend(path: Path, db: sqlite3.Connection) -> None:
    now = time.time_ns() // 1_000_000
    for problem, statement in _MENDED:
        count = db.execute(statement, {"now": now, "tomorrow": now + _DAY}).rowcount
        if count > 0:
            logger.error("spool %s is damaged: %d %s", path, count, problem)
    (nowhere,) = db.execute(_NOWHERE).fetchone()
    if nowhere:
        logger.error(
            "spool %s is damaged: %d event(s) are for destinations that it does not name; they "
            "stay where they are",
            path,
            nowhere,
        )
