"""The statements over the ids that came with events lately: `recent`, by their marks.

Marks are evenly spread. So every new one finds some old ones beside it, on a page that is written
anyway: these are deleted when their time is over. No other maintenance is needed, and no index.

A row has the destinations that its event was stored for, by the number of their set, and the
outcome at each that did not get it. Delivered is the rule, and needs no write.

Every function is given the connection of the group commit, within a transaction.
"""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import orjson

from walker_collector.spool import damage
from walker_collector.spool.base import NewEvent
from walker_collector.spool.repeats import (
    OutcomeAt,
    RecentEvent,
    RecentOutcome,
    Unstored,
    marks_of_event,
)
from walker_collector.spool.sqlite.catalog import Catalog
from walker_collector.spool.sqlite.inserts import insert_rows
from walker_collector.text import storable

_UNSTORED: Final = -1
"""The number of events that no destination takes: they may come again, and be stored then."""
_FIND: Final = "SELECT mark, seq FROM recent WHERE mark IN ({}) AND at BETWEEN ? AND ? AND seq >= 0"
_REMEMBER: Final = (
    "INSERT OR REPLACE INTO recent (mark, at, seq, subscribers, outcomes) VALUES (?, ?, ?, ?, ?)"
)
_REMEMBER_UNSTORED: Final = f"""
INSERT INTO recent (mark, at, seq, subscribers, outcomes) VALUES (?, ?, {_UNSTORED}, 0, ?)
ON CONFLICT (mark) DO UPDATE SET at = excluded.at, outcomes = excluded.outcomes
WHERE recent.seq = {_UNSTORED}
"""
_REMEMBER_NEW: Final = "INSERT OR IGNORE INTO recent (mark, at, seq, subscribers, outcomes) VALUES"
_REMEMBER_NEW_ALONE: Final = _REMEMBER_NEW.replace(", outcomes)", ")")
_TAKE_BACK: Final = "DELETE FROM recent WHERE mark = ? AND seq = ?"
_FORGET: Final = """
DELETE FROM recent WHERE mark > ?1 AND at NOT BETWEEN ?2 AND ?3
  AND mark <= (SELECT mark FROM recent WHERE mark > ?1 ORDER BY mark LIMIT 1 OFFSET ?4)
"""
_HAS_ANY: Final = "SELECT 1 FROM recent LIMIT 1"
_NOTE: Final = """
UPDATE recent SET outcomes = json_patch(iif(json_valid(outcomes), outcomes, '{}'), ?)
WHERE mark IN (?, ?) AND seq = ?
"""
EVENT: Final = """
SELECT r.at, r.seq, r.outcomes, d.id FROM recent r
LEFT JOIN subscribers s ON s.number = r.subscribers
LEFT JOIN destinations d ON d.number = s.destination
WHERE r.mark = (
  SELECT mark FROM recent WHERE mark IN (?, ?) AND at BETWEEN ? AND ? ORDER BY at DESC LIMIT 1)
"""
_LOOKED_AT: Final = 2
"""Old marks that are looked at for each new one."""
_SEVERAL: Final = 16
"""Of new marks that come one by one, every sixteenth has those of all of them looked at."""

_SHOWN: Final = 200
"""Characters of a reason that are kept."""

Row = tuple[bytes, int, int, int, str | None]
"""A mark, with the time (ms), the number, the set of destinations, and outcomes as JSON."""
_mark: Final = itemgetter(0)


def numbers_of(
    db: sqlite3.Connection, marks: Sequence[bytes], now: int, period: int
) -> dict[bytes, int]:
    """Return the numbers of the marks that came in the last `period` (ms)."""
    return dict(db.execute(*find(marks, now, period)).fetchall())


def find(marks: Collection[bytes], now: int, period: int) -> tuple[str, tuple[bytes | int, ...]]:
    """Return the statement for the marks that came in the last `period` (ms), with its values."""
    sql = _FIND.format(", ".join("?" * len(marks)))
    return sql, (*marks, now - period, now + period)


def insert_new(
    db: sqlite3.Connection,
    known: Catalog,
    events: Sequence[NewEvent],
    seqs: Sequence[int],
    period: int,
) -> bool:
    """Remember the numbers of events if all their marks are new, as mostly; else change nothing.

    Returns whether they were. That saves looking for each before.
    """
    rows = _rows(known, events, seqs)
    # In the order of the table: so the neighbours among them share the way to their page.
    if _insert_new(db, sorted(rows, key=_mark)) == len(rows):
        _forget_some(db, rows[0][0], rows[0][1], len(rows), period)
        return True
    db.executemany(_TAKE_BACK, [(mark, seq) for mark, _, seq, _, _ in rows])
    return False


def _insert_new(db: sqlite3.Connection, rows: Sequence[Row]) -> int:
    if any(row[4] for row in rows):
        return insert_rows(db, _REMEMBER_NEW, rows)
    # Without nulls and `bytes`, as the module `sqlite3` looks for an adapter of each of them.
    alone = [(bytearray(mark), at, seq, number) for mark, at, seq, number, _ in rows]
    return insert_rows(db, _REMEMBER_NEW_ALONE, alone)


def insert_events(
    db: sqlite3.Connection,
    known: Catalog,
    events: Sequence[NewEvent],
    seqs: Sequence[int],
    period: int,
) -> dict[bytes, int]:
    """Remember the numbers of new events that have a mark, and return them."""
    rows = _rows(known, events, seqs)
    if rows:
        insert(db, rows, period)
    return {row[0]: row[2] for row in rows}


def _rows(known: Catalog, events: Sequence[NewEvent], seqs: Sequence[int]) -> list[Row]:
    """Return the rows of the events that have a mark."""
    rows: list[Row] = []
    states: Mapping[str, object] | None = None
    number = 0
    for event, seq in zip(events, seqs, strict=True):
        if not event.mark:
            continue
        if event.states is not states:
            states = event.states
            number = known.subscribers[frozenset(states)]
        outcomes = _left_out(event.left_out, event.at) if event.left_out else None
        rows.append((event.mark, event.at, seq, number, outcomes))
    return rows


def insert(db: sqlite3.Connection, rows: Sequence[Row], period: int) -> None:
    """Remember marks. Some are forgotten that came longer than `period` (ms) ago."""
    db.executemany(_REMEMBER, rows)
    _forget_some(db, rows[0][0], rows[0][1], len(rows), period)


def insert_unstored(db: sqlite3.Connection, events: Sequence[Unstored], period: int) -> None:
    """Remember events that no destination takes."""
    rows = [(mark, at, _left_out(left_out, at)) for mark, at, left_out in events]
    db.executemany(_REMEMBER_UNSTORED, rows)
    _forget_some(db, rows[0][0], rows[0][1], len(rows), period)


def _forget_some(db: sqlite3.Connection, mark: bytes, now: int, count: int, period: int) -> None:
    if count >= _SEVERAL or mark[0] % _SEVERAL == 0:
        looked_at = _LOOKED_AT * max(_SEVERAL, count)
        db.execute(_FORGET, (mark, now - period, now + period, looked_at))


def _left_out(kinds: Mapping[str, str], at: int) -> str:
    return _json({destination: (kind, at) for destination, kind in kinds.items()})


def _json(outcomes: Mapping[str, tuple[str, int] | tuple[str, int, str]]) -> str:
    return orjson.dumps(outcomes).decode()


def note_outcomes(db: sqlite3.Connection, outcomes: Iterable[OutcomeAt]) -> None:
    """Note the outcomes of events that are remembered."""
    if db.execute(_HAS_ANY).fetchone() is None:
        return
    rows = []
    for seq, body, destination, kind, at, reason in outcomes:
        if marks := marks_of_event(body):
            outcome = kind, at, storable(reason, _SHOWN)
            rows.append((_json({destination: outcome}), *marks, seq))
    db.executemany(_NOTE, rows)


def recent_event(rows: Sequence[tuple[Any, ...]]) -> RecentEvent | None:
    """Return the trace of an event, given the rows of EVENT; None: there is none."""
    if not rows:
        return None
    at, seq, column, _ = rows[0]
    found = damage.objects(column)
    return RecentEvent(
        at=damage.number(at),
        seq=seq,
        destinations=frozenset(id_ for _, _, _, id_ in rows if isinstance(id_, str)),
        outcomes={
            str(id_): RecentOutcome(str(item[0]), damage.number(item[1]), *map(str, item[2:3]))
            for id_, item in found.items()
            if isinstance(item, list) and len(item) > 1
        },
    )
