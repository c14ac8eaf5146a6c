"""The statements over the ids that came with events lately: `recent`, by their marks.

Marks are evenly spread. So every new one finds some old ones beside it, on a page that is written
anyway: these are deleted when their time is over. No other maintenance is needed, and no index.

Every function is given the connection of the group commit, within a transaction.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from walker_collector.spool.base import NewEvent

CAME_BEFORE: Final = "SELECT 1 FROM recent WHERE mark = ? AND at BETWEEN ? AND ?"
_FIND: Final = "SELECT mark, seq FROM recent WHERE mark IN ({}) AND at BETWEEN ? AND ?"
_REMEMBER: Final = "INSERT OR REPLACE INTO recent (mark, at, seq) VALUES (?, ?, ?)"
_FORGET: Final = """
DELETE FROM recent WHERE mark IN (SELECT mark FROM recent WHERE mark > ?1 ORDER BY mark LIMIT ?4)
  AND at NOT BETWEEN ?2 AND ?3
"""
_LOOKED_AT: Final = 4
"""Old marks that are looked at for each new one."""
_SEVERAL: Final = 16
"""Of new marks that come one by one, every sixteenth has those of all of them looked at."""


def numbers_of(
    db: sqlite3.Connection, marks: Sequence[bytes], now: int, period: int
) -> dict[bytes, int]:
    """Return the numbers of the marks that came in the last `period` (ms)."""
    sql = _FIND.format(", ".join("?" * len(marks)))
    return dict(db.execute(sql, (*marks, now - period, now + period)).fetchall())


def insert_events(
    db: sqlite3.Connection, events: Sequence[NewEvent], seqs: Sequence[int], period: int
) -> dict[bytes, int]:
    """Remember the numbers of new events that have a mark, and return them."""
    rows = [
        (event.mark, event.at, seq) for event, seq in zip(events, seqs, strict=True) if event.mark
    ]
    if rows:
        insert(db, rows, period)
    return {mark: seq for mark, _, seq in rows}


def insert(db: sqlite3.Connection, rows: Sequence[tuple[bytes, int, int]], period: int) -> None:
    """Remember marks, each with its time (ms) and number.

    Some are forgotten that came longer than `period` (ms) ago.
    """
    db.executemany(_REMEMBER, rows)
    mark, now, _ = rows[0]
    if len(rows) >= _SEVERAL or mark[0] % _SEVERAL == 0:
        looked_at = _LOOKED_AT * max(_SEVERAL, len(rows))
        db.execute(_FORGET, (mark, now - period, now + period, looked_at))
