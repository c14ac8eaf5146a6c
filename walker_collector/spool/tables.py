"""The statements over events and their deliveries.

A call of SQLite lets go of the interpreter, and a busy thread may keep it for milliseconds then.
So what is done to many events is done by few statements: rows are inserted many at a time, and
deleted by runs of numbers that follow each other.

Every function is given the writer's connection, within a transaction.
"""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from walker_collector.spool import (
    Change,
    DeadLetter,
    Entry,
    Forgotten,
    State,
    Stored,
    people,
)
from walker_collector.spool.directory import Directory, directory, register
from walker_collector.spool.memory import entry_of, revived
from walker_collector.spool.rows import change_row, parts_column

Runs = list[tuple[int, int]]
"""Numbers as runs of consecutive ones, each by its first and last."""
Gone = tuple[int, int]
"""How many events were deleted, and their bytes."""

_ROWS: Final = 50
_INSERT: Final = "INSERT INTO events (seq, person, at, body, audience) VALUES "
_INSERT_ONE: Final = f"{_INSERT} (?, ?, ?, ?, ?)"
_INSERT_MANY: Final = _INSERT + ", ".join(["(?, ?, ?, ?, ?)"] * _ROWS)
_SET_ASIDE: Final = "INSERT INTO deliveries (seq, destination, state) VALUES (?, ?, ?)"

_DROP: Final = "DELETE FROM events WHERE seq BETWEEN ? AND ? AND audience = ?"
_AUDIENCES: Final = "SELECT DISTINCT audience FROM events WHERE seq BETWEEN ? AND ?"
_LEAVE: Final = "UPDATE events SET audience = ?4 WHERE seq BETWEEN ?1 AND ?2 AND audience = ?3"
_TIDY: Final = "DELETE FROM deliveries WHERE seq BETWEEN ? AND ? AND destination = ?"
_KEEP: Final = """
INSERT INTO deliveries (state, attempts, due, changed, reason, parts, consent, seq, destination)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE EXISTS (
  SELECT 1 FROM events e JOIN audiences a USING (audience) WHERE e.seq = ?8 AND a.destination = ?9)
ON CONFLICT (seq, destination) DO UPDATE SET
  state = excluded.state, attempts = excluded.attempts, due = excluded.due,
  changed = excluded.changed, reason = excluded.reason, parts = excluded.parts,
  consent = excluded.consent
"""
_RELEASE: Final = (
    "UPDATE deliveries SET state = 0, due = 0 WHERE seq = ? AND destination = ? AND state = 1"
)
_REVIVE: Final = (
    "UPDATE deliveries SET state = 0, attempts = 0, due = 0, reason = NULL, parts = ? "
    "WHERE seq = ? AND destination = ? AND state = 2"
)
_IS_DEAD: Final = "SELECT 1 FROM deliveries WHERE seq = ? AND destination = ? AND state = 2"

_STORED: Final = (
    "SELECT e.seq, e.person, e.at, e.body, d.attempts, d.due, d.reason, d.parts, d.consent"
)
# `state > 0` is what SQLite wants to see in order to use the index of what is set aside.
HELD: Final = f"""
{_STORED} FROM deliveries d JOIN events e ON e.seq = d.seq
WHERE d.destination = ? AND d.state > 0 AND d.state = 1 ORDER BY d.seq
"""
WAITING: Final = f"""
{_STORED} FROM events e LEFT JOIN deliveries d ON d.seq = e.seq AND d.destination = ?1
WHERE e.seq > ?2 AND e.audience IN (SELECT audience FROM audiences WHERE destination = ?1)
  AND coalesce(d.state, 0) = 0
ORDER BY e.seq LIMIT ?3
"""
DEAD: Final = """
SELECT d.seq, t.id, coalesce(d.reason, ''), d.attempts, e.at, coalesce(d.changed, 0),
  e.person, e.body, d.consent, d.parts
FROM deliveries d JOIN destinations t ON t.number = d.destination JOIN events e ON e.seq = d.seq
WHERE d.state > 0 AND d.state = 2 AND (?1 IS NULL OR t.id = ?1)
ORDER BY d.changed, d.seq LIMIT ?2
"""
SIZE: Final = "SELECT coalesce(max(seq), 0), count(*), coalesce(sum(length(body)), 0) FROM events"
COUNTS: Final = """
WITH accepted AS (SELECT audience, count(*) AS n FROM events GROUP BY audience),
  aside AS (
    SELECT destination, state, count(*) AS n FROM deliveries WHERE state > 0 GROUP BY 1, 2),
  parts AS (
    SELECT a.destination, 0 AS state, n FROM accepted JOIN audiences a USING (audience)
    UNION ALL SELECT destination, 0, -n FROM aside
    UNION ALL SELECT destination, state, n FROM aside)
SELECT t.id, state, sum(n) FROM parts JOIN destinations t ON t.number = parts.destination
GROUP BY 1, 2 HAVING sum(n) > 0
"""
OLDEST: Final = """
SELECT t.id, min(e.at), sum(coalesce(d.state = 0 AND d.due > 0, 0))
FROM events e JOIN audiences a USING (audience) JOIN destinations t ON t.number = a.destination
LEFT JOIN deliveries d ON d.seq = e.seq AND d.destination = a.destination
WHERE coalesce(d.state, 0) IN (0, 1) GROUP BY 1
"""
_KEYS: Final = 500
_LEAVING: Final = "INSERT INTO leaving SELECT seq, length(body) FROM events WHERE person IN"
_COUNTS_OF_LEAVING: Final = """
SELECT t.id, coalesce(d.state, 0) AS now, count(*) FROM leaving
JOIN events e USING (seq) JOIN audiences a USING (audience)
JOIN destinations t ON t.number = a.destination
LEFT JOIN deliveries d ON d.seq = e.seq AND d.destination = a.destination GROUP BY 1, 2
"""


def runs_of(numbers: Iterable[int]) -> Runs:
    """Return numbers, each given once, as runs."""
    seqs = sorted(numbers)
    if not seqs:
        return []
    breaks = [(a, b) for a, b in pairwise(seqs) if b != a + 1]
    firsts = [seqs[0], *(b for _, b in breaks)]
    lasts = [*(a for a, _ in breaks), seqs[-1]]
    return list(zip(firsts, lasts, strict=True))


def insert(
    db: sqlite3.Connection,
    known: Directory,
    entries: Sequence[Entry],
    states: Mapping[str, State],
) -> None:
    """Insert events that share their first states at the destinations."""
    audience = known.audiences[frozenset(states)]
    many = len(entries) - len(entries) % _ROWS
    for at in range(0, many, _ROWS):
        values: list[Any] = []
        for entry in entries[at : at + _ROWS]:
            values += entry
            values.append(audience)
        db.execute(_INSERT_MANY, values)
    db.executemany(_INSERT_ONE, [(*entry, audience) for entry in entries[many:]])
    for id_, state in states.items():
        if state is not State.WAITING:
            number = known.numbers[id_]
            db.executemany(_SET_ASIDE, [(entry[0], number, int(state)) for entry in entries])


def has(db: sqlite3.Connection, seq: int) -> bool:
    """Tell whether there is an event of this number."""
    return db.execute("SELECT 1 FROM events WHERE seq = ?", (seq,)).fetchone() is not None


def settle(
    db: sqlite3.Connection, known: Directory, destination: str, changes: Sequence[Change]
) -> tuple[Gone, Directory]:
    """Note what a destination answered; return what is gone by that, and a directory with the
    audiences that are left.
    """
    done = [change.entry for change in changes if change.state is None]
    gone, known = finish(db, known, destination, done)
    number = known.numbers[destination]
    kept = [
        change_row(change, number)
        for change in changes
        if change.state is not None and not change.released
    ]
    db.executemany(_KEEP, kept)
    released = [(change.entry[0], number) for change in changes if change.released]
    db.executemany(_RELEASE, released)
    return gone, known


def finish(
    db: sqlite3.Connection, known: Directory, destination: str, entries: Sequence[Entry]
) -> tuple[Gone, Directory]:
    """Note that a destination is done with these events; return as `settle` does."""
    if not entries:
        return (0, 0), known
    sizes = {entry[0]: len(entry[3]) for entry in entries}
    runs = runs_of(sizes)
    alone = known.audiences[frozenset((destination,))]
    dropped = db.executemany(_DROP, [(*run, alone) for run in runs]).rowcount
    number = known.numbers[destination]
    db.executemany(_TIDY, [(*run, number) for run in runs])
    if dropped == len(sizes):
        return (dropped, sum(sizes.values())), known
    known = _leave(db, destination, runs)
    left = _numbers_in(db, runs) if dropped else sizes.keys()
    return (dropped, sum(size for seq, size in sizes.items() if seq not in left)), known


def _leave(db: sqlite3.Connection, destination: str, runs: Runs) -> Directory:
    """Take a destination out of the audiences of events that others still need."""
    known = directory(db)  # there may be new ones since, within this very transaction
    members = {number: ids for ids, number in known.audiences.items()}
    for run in runs:
        for (audience,) in db.execute(_AUDIENCES, run).fetchall():
            if destination not in members[audience]:
                continue
            left = members[audience] - {destination}
            if left not in known.audiences:
                known = register(db, [left])
            db.execute(_LEAVE, (*run, audience, known.audiences[left]))
    return known


def _numbers_in(db: sqlite3.Connection, runs: Runs) -> set[int]:
    """Return which events of these runs there are."""
    query = "SELECT seq FROM events WHERE seq BETWEEN ? AND ?"
    return {seq for run in runs for (seq,) in db.execute(query, run).fetchall()}


def revive(
    db: sqlite3.Connection,
    known: Directory,
    letters: Sequence[DeadLetter],
    without: Collection[str] = (),
) -> list[Stored]:
    """Make dead letters wait again, but for parts to leave out; return those that were dead."""
    found = []
    for letter in letters:
        stored = revived(letter, without)
        row = (parts_column(stored.attempt), letter.seq, known.numbers[letter.destination])
        if db.execute(_REVIVE, row).rowcount:
            found.append(stored)
    return found


def bury(
    db: sqlite3.Connection, known: Directory, letters: Sequence[DeadLetter]
) -> tuple[int, Gone, Directory]:
    """Have destinations be done with dead letters; return of how many, and as `settle` does."""
    buried: dict[str, dict[int, Entry]] = {}
    for letter in letters:
        if db.execute(_IS_DEAD, (letter.seq, known.numbers[letter.destination])).fetchone():
            buried.setdefault(letter.destination, {})[letter.seq] = entry_of(letter)
    events = size = 0
    for id_, entries in buried.items():
        gone, known = finish(db, known, id_, list(entries.values()))
        events, size = events + gone[0], size + gone[1]
    return sum(map(len, buried.values())), (events, size), known


def forget(db: sqlite3.Connection, wanted: Iterable[str]) -> tuple[Forgotten, int]:
    """Delete everything of these keys; return what, and the bytes of the events."""
    keys = [(key,) for key in {*wanted}]
    db.execute("CREATE TEMP TABLE IF NOT EXISTS leaving (seq INTEGER PRIMARY KEY, size)")
    db.execute("DELETE FROM leaving")
    for at in range(0, len(keys), _KEYS):  # there is no index by person: each looks at all events
        some = [key for (key,) in keys[at : at + _KEYS]]
        marks = ", ".join("?" * len(some))
        db.execute(f"{_LEAVING} ({marks})", some)
    seqs = {row[0] for row in db.execute("SELECT seq FROM leaving")}
    (size,) = db.execute("SELECT coalesce(sum(size), 0) FROM leaving").fetchone()
    counts = db.execute(_COUNTS_OF_LEAVING).fetchall()
    db.execute("DELETE FROM deliveries WHERE seq IN (SELECT seq FROM leaving)")
    db.execute("DELETE FROM events WHERE seq IN (SELECT seq FROM leaving)")
    people.forget(db, keys)
    db.executemany("DELETE FROM owed WHERE person = ?", keys)
    return Forgotten(seqs, {(id_, State(state)): n for id_, state, n in counts}), size
