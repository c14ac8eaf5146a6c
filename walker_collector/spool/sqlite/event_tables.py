"""The statements over events and their deliveries.

Many events take few statements: rows are inserted many at a time, and deleted by runs of
consecutive numbers.

Every function is given the connection of the group commit, within a transaction.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from walker_collector.moments import now_ms
from walker_collector.spool.base import (
    DeadLetter,
    Entry,
    Erased,
    SpoolUpdate,
    State,
    StoredEntry,
    UpdateKind,
)
from walker_collector.spool.letters import entry_of, requeued
from walker_collector.spool.repeats import OutcomeAt
from walker_collector.spool.rows import STATES_AFTER, delivery_row, parts_column
from walker_collector.spool.sqlite import people_tables, recent_tables
from walker_collector.spool.sqlite.catalog import Catalog, read_catalog, register
from walker_collector.spool.sqlite.inserts import insert_rows

Runs = list[tuple[int, int]]
"""Numbers as runs of consecutive ones, each by its first and last."""


class Deleted(NamedTuple):
    """The number of deleted events, their bytes, and the catalog after that.

    letters: the number of deleted dead letters.
    """

    events: int
    size: int
    catalog: Catalog
    letters: int = 0


_INSERT: Final = "INSERT INTO events (seq, person, at, body, subscribers) VALUES"
_INSERT_SHARDED: Final = "INSERT INTO events (seq, person, at, body, subscribers, shard) VALUES"
_SET_ASIDE: Final = "INSERT INTO deliveries (seq, destination, state) VALUES (?, ?, ?)"

_DELETE: Final = "DELETE FROM events WHERE seq BETWEEN ? AND ? AND subscribers = ?"
_SUBSCRIBERS: Final = "SELECT DISTINCT subscribers FROM events WHERE seq BETWEEN ? AND ?"
_UNSUBSCRIBE: Final = (
    "UPDATE events SET subscribers = ?4 WHERE seq BETWEEN ?1 AND ?2 AND subscribers = ?3"
)
_DELETE_DELIVERIES: Final = "DELETE FROM deliveries WHERE seq BETWEEN ? AND ? AND destination = ?"
_ADD: Final = """
INSERT INTO deliveries
  (state, attempts, due, changed, reason, parts, consent, error, seq, destination)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 WHERE EXISTS (
  SELECT 1 FROM events e JOIN subscribers s ON s.number = e.subscribers
  WHERE e.seq = ?9 AND s.destination = ?10)
ON CONFLICT (seq, destination) DO UPDATE SET
"""
_NOTE_PARTS: Final = f"{_ADD} parts = excluded.parts"
_KEEP: Final = f"""{_ADD}
  state = excluded.state, attempts = excluded.attempts, due = excluded.due,
  changed = excluded.changed, reason = excluded.reason, parts = excluded.parts,
  consent = excluded.consent, error = excluded.error
"""
_RELEASE: Final = (
    "UPDATE deliveries SET state = 0, due = 0 WHERE seq = ? AND destination = ? AND state = 1"
)
_REQUEUE: Final = (
    "UPDATE deliveries SET state = 0, attempts = 0, due = 0, reason = NULL, error = NULL, "
    "parts = ? "
    "WHERE seq = ? AND destination = ? AND state = 2"
)
_IS_DEAD: Final = "SELECT 1 FROM deliveries WHERE seq = ? AND destination = ? AND state = 2"

_ENTRY: Final = (
    "SELECT e.seq, e.person, e.at, e.body, d.attempts, d.due, d.reason, d.parts, d.consent"
)
# SQLite needs to see `state > 0` in order to use the index over entries that are set aside.
HELD: Final = f"""
{_ENTRY} FROM deliveries d JOIN events e ON e.seq = d.seq
WHERE d.destination = ? AND d.state > 0 AND d.state = 1 /* shards */ ORDER BY d.seq
"""
WAITING: Final = f"""
{_ENTRY} FROM events e LEFT JOIN deliveries d ON d.seq = e.seq AND d.destination = ?1
WHERE e.seq > ?2 AND e.subscribers IN (SELECT number FROM subscribers WHERE destination = ?1)
  AND e.seq <= ?4 AND coalesce(d.state, 0) = 0 /* shards */
ORDER BY e.seq LIMIT ?3
"""
PENDING: Final = WAITING.replace("d.consent", "d.consent, d.state").replace(
    "coalesce(d.state, 0) = 0", "coalesce(d.state, 0) IN (0, 1)"
)
OF_PERSON: Final = f"""
{_ENTRY}, d.state FROM events e LEFT JOIN deliveries d ON d.seq = e.seq AND d.destination = ?1
WHERE e.person IN (SELECT ?2 UNION ALL SELECT alias FROM aliases WHERE person = ?2)
  AND e.seq <= ?3 AND e.subscribers IN (SELECT number FROM subscribers WHERE destination = ?1)
  AND coalesce(d.state, 0) IN (0, 1)
ORDER BY e.seq
"""
HAS_WAITING: Final = """
SELECT 1 FROM events e LEFT JOIN deliveries d ON d.seq = e.seq AND d.destination = ?1
WHERE e.seq BETWEEN ?2 AND ?3
  AND e.subscribers IN (SELECT number FROM subscribers WHERE destination = ?1)
  AND coalesce(d.state, 0) = 0
LIMIT 1
"""
FATES: Final = """
SELECT e.seq, coalesce(d.state, 0), coalesce(d.attempts, 0), coalesce(d.reason, '')
FROM events e LEFT JOIN deliveries d ON d.seq = e.seq AND d.destination = ?1
WHERE e.subscribers IN (SELECT number FROM subscribers WHERE destination = ?1) AND e.seq IN ({})
"""
DEAD: Final = """
SELECT d.seq, t.id, coalesce(d.reason, ''), d.attempts, e.at, coalesce(d.changed, 0),
  e.person, e.body, d.consent, d.parts, d.error
FROM deliveries d JOIN destinations t ON t.number = d.destination JOIN events e ON e.seq = d.seq
WHERE d.state > 0 AND d.state = 2 AND (?1 IS NULL OR t.id = ?1)
ORDER BY d.changed, d.seq LIMIT ?2
"""
NUMBER: Final = "SELECT number FROM destinations WHERE id = ?"
NEWEST: Final = "SELECT coalesce(max(seq), 0) FROM events"
SIZE: Final = "SELECT coalesce(max(seq), 0), count(*), coalesce(sum(length(body)), 0) FROM events"
COUNTS: Final = """
WITH accepted AS (
    SELECT subscribers, count(*) AS n FROM events WHERE seq <= ?1 GROUP BY subscribers),
  aside AS (
    SELECT destination, state, count(*) AS n FROM deliveries WHERE state > 0 AND seq <= ?1
    GROUP BY 1, 2),
  parts AS (
    SELECT s.destination, 0 AS state, n FROM accepted JOIN subscribers s ON s.number = subscribers
    UNION ALL SELECT destination, 0, -n FROM aside
    UNION ALL SELECT destination, state, n FROM aside)
SELECT t.id, state, sum(n) FROM parts JOIN destinations t ON t.number = parts.destination
GROUP BY 1, 2 HAVING sum(n) > 0
"""
EVERY_ENTRY: Final = """
JOIN subscribers s ON s.number = e.subscribers JOIN destinations t ON t.number = s.destination
LEFT JOIN deliveries d ON d.seq = e.seq AND d.destination = s.destination
"""
OLDEST: Final = f"""
SELECT t.id, min(e.at), sum(coalesce(d.due > 0, 0)) FROM events e {EVERY_ENTRY}
WHERE coalesce(d.state, 0) = 0 GROUP BY 1
"""
SCHEDULE_ERASURE: Final = "INSERT OR IGNORE INTO pending_erasures VALUES (?, ?)"
CANCEL_ERASURE: Final = "DELETE FROM pending_erasures WHERE erasure = ?"
ADOPT_ERASURE: Final = "UPDATE pending_erasures SET erasure = ? WHERE erasure = ?"
ERASURES: Final = "SELECT DISTINCT erasure FROM pending_erasures"
ERASED_BY: Final = "SELECT person FROM pending_erasures WHERE erasure = ?"
_KEYS: Final = 500
_LEAVING: Final = "INSERT INTO leaving SELECT seq, length(body) FROM events WHERE person IN"
_COUNTS_OF_LEAVING: Final = f"""
SELECT t.id, coalesce(d.state, 0) AS now, count(*) FROM leaving JOIN events e USING (seq)
{EVERY_ENTRY} GROUP BY 1, 2
"""


_LEAVING_FOR: Final = (
    f"SELECT e.seq, e.body, t.id FROM leaving JOIN events e USING (seq) {EVERY_ENTRY}"
)


def runs_of(numbers: Iterable[int]) -> Runs:
    """Return numbers as runs."""
    seqs = sorted({*numbers})
    if not seqs:
        return []
    if seqs[-1] - seqs[0] == len(seqs) - 1:  # mostly
        return [(seqs[0], seqs[-1])]
    breaks = [(a, b) for a, b in pairwise(seqs) if b != a + 1]
    firsts = [seqs[0], *(b for _, b in breaks)]
    lasts = [*(a for a, _ in breaks), seqs[-1]]
    return list(zip(firsts, lasts, strict=True))


def fetch_up_to(limit_bytes: int, cursor: sqlite3.Cursor) -> list[Any]:
    """Return rows of WAITING, up to the one with which their JSON has so many bytes."""
    rows: list[Any] = []
    size = 0
    for row in cursor:
        rows.append(row)
        size += len(row[3]) if isinstance(row[3], bytes | str) else 0  # else the row is damaged
        if size >= limit_bytes:
            break
    return rows


def insert(
    db: sqlite3.Connection,
    known: Catalog,
    entries: Sequence[Entry],
    states: Mapping[str, State],
    shard: Callable[[Entry], int] | None = None,
) -> None:
    """Insert events that share their first states; `shard` tells the shard of each."""
    subscribers = known.subscribers[frozenset(states)]
    # A `bytearray`, as the module `sqlite3` looks for an adapter of each value that is `bytes`.
    rows = [(seq, person, at, bytearray(body), subscribers) for seq, person, at, body in entries]
    if shard is None:
        insert_rows(db, _INSERT, rows)
    else:
        shards = map(shard, entries)
        insert_rows(db, _INSERT_SHARDED, [(*row, n) for row, n in zip(rows, shards, strict=True)])
    for id_, state in states.items():
        if state is not State.WAITING:
            number = known.numbers[id_]
            db.executemany(_SET_ASIDE, [(entry[0], number, int(state)) for entry in entries])


def has(db: sqlite3.Connection, seq: int, body: bytes) -> bool:
    """Return whether this event is stored under a number."""
    sql = "SELECT 1 FROM events WHERE seq = ? AND body = ?"
    return db.execute(sql, (seq, body)).fetchone() is not None


def settle(
    db: sqlite3.Connection, known: Catalog, destination: str, updates: Sequence[SpoolUpdate]
) -> Deleted:
    """Write updates of entries at a destination."""
    kinds: dict[UpdateKind, list[SpoolUpdate]] = {kind: [] for kind in UpdateKind}
    for update in updates:
        kinds[update.kind].append(update)
    deleted = ack(db, known, destination, [item.entry for item in kinds[UpdateKind.ACKED]])
    number = known.numbers[destination]
    progressed = kinds[UpdateKind.PROGRESSED]
    db.executemany(_NOTE_PARTS, [delivery_row(item, State.WAITING, number) for item in progressed])
    for kind, state in STATES_AFTER.items():
        db.executemany(_KEEP, [delivery_row(item, state, number) for item in kinds[kind]])
    db.executemany(_RELEASE, [(item.entry[0], number) for item in kinds[UpdateKind.RELEASED]])
    return deleted


def ack(
    db: sqlite3.Connection, known: Catalog, destination: str, entries: Sequence[Entry]
) -> Deleted:
    """Acknowledge events for a destination; delete those without other subscribers."""
    if not entries:
        return Deleted(0, 0, known)
    runs = runs_of([entry[0] for entry in entries])
    # First those of this destination alone, which are most: deleting takes no room, so that a full
    # disk empties, and nothing has to be read.
    alone = known.subscribers[frozenset((destination,))]
    count = db.executemany(_DELETE, [(*run, alone) for run in runs]).rowcount
    number = known.numbers[destination]
    db.executemany(_DELETE_DELIVERIES, [(*run, number) for run in runs])
    if count == len(entries):
        return Deleted(count, sum([len(entry[3]) for entry in entries]), known)
    known = _unsubscribe(db, destination, runs)
    sizes = {entry[0]: len(entry[3]) for entry in entries}
    left = _numbers_in(db, runs) if count else sizes.keys()
    return Deleted(count, sum(size for seq, size in sizes.items() if seq not in left), known)


def _unsubscribe(db: sqlite3.Connection, destination: str, runs: Runs) -> Catalog:
    """Remove a destination from the subscribers of events that other destinations still need."""
    known = read_catalog(db)  # the transaction itself may have added sets
    members = {number: ids for ids, number in known.subscribers.items()}
    for run in runs:
        for (subscribers,) in db.execute(_SUBSCRIBERS, run).fetchall():
            if destination not in members.get(subscribers, ()):  # acknowledged before, or damaged
                continue
            left = members[subscribers] - {destination}
            if left not in known.subscribers:
                known = register(db, [left])
            db.execute(_UNSUBSCRIBE, (*run, subscribers, known.subscribers[left]))
    return known


def _numbers_in(db: sqlite3.Connection, runs: Runs) -> set[int]:
    """Return the numbers of the events that there are in these runs."""
    query = "SELECT seq FROM events WHERE seq BETWEEN ? AND ?"
    return {seq for run in runs for (seq,) in db.execute(query, run).fetchall()}


def requeue(
    db: sqlite3.Connection,
    known: Catalog,
    letters: Sequence[DeadLetter],
    without: Collection[str] = (),
) -> list[StoredEntry]:
    """Make dead letters wait again; return those that were still dead."""
    found = []
    for letter in letters:
        entry = requeued(letter, without)
        row = (parts_column(entry.delivery), letter.seq, known.numbers[letter.destination])
        if db.execute(_REQUEUE, row).rowcount:
            found.append(entry)
    if found:
        people_tables.log_moved(db)
    return found


def delete_dead(db: sqlite3.Connection, known: Catalog, letters: Sequence[DeadLetter]) -> Deleted:
    """Acknowledge dead letters for their destinations."""
    dead: dict[str, dict[int, Entry]] = {}
    for letter in letters:
        if db.execute(_IS_DEAD, (letter.seq, known.numbers[letter.destination])).fetchone():
            dead.setdefault(letter.destination, {})[letter.seq] = entry_of(letter)
    total = Deleted(0, 0, known, sum(map(len, dead.values())))
    for id_, entries in dead.items():
        deleted = ack(db, total.catalog, id_, list(entries.values()))
        events, size = total.events + deleted.events, total.size + deleted.size
        total = Deleted(events, size, deleted.catalog, total.letters)
    return total


def erase(db: sqlite3.Connection, wanted: Iterable[str]) -> tuple[Erased, int]:
    """Delete everything of these keys. Return the deleted events, and their bytes."""
    keys = [(key,) for key in {*wanted}]
    db.execute("CREATE TEMP TABLE IF NOT EXISTS leaving (seq INTEGER PRIMARY KEY, size)")
    db.execute("DELETE FROM leaving")
    for at in range(0, len(keys), _KEYS):  # without an index by person, each scans all events
        some = [key for (key,) in keys[at : at + _KEYS]]
        marks = ", ".join("?" * len(some))
        db.execute(f"{_LEAVING} ({marks})", some)
    _note_erased(db)
    seqs = {row[0] for row in db.execute("SELECT seq FROM leaving")}
    (size,) = db.execute("SELECT coalesce(sum(size), 0) FROM leaving").fetchone()
    counts = db.execute(_COUNTS_OF_LEAVING).fetchall()
    db.execute("DELETE FROM deliveries WHERE seq IN (SELECT seq FROM leaving)")
    db.execute("DELETE FROM events WHERE seq IN (SELECT seq FROM leaving)")
    versions = people_tables.erase(db, keys)
    db.executemany("DELETE FROM pending_erasures WHERE person = ?", keys)
    return Erased(seqs, {(id_, State(state)): n for id_, state, n in counts}, versions), size


def _note_erased(db: sqlite3.Connection) -> None:
    """Note that destinations which have not acknowledged the leaving events do not get them."""
    now = now_ms()
    rows = db.execute(_LEAVING_FOR)
    outcomes = (OutcomeAt(seq, body, id_, "erased", now) for seq, body, id_ in rows)
    recent_tables.note_outcomes(db, outcomes)
