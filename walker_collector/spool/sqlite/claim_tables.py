"""The statements over the calls that are under way.

Every function is given the connection of the group commit, within a transaction.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable
from typing import Final
from zlib import crc32

from walker_collector.spool.base import Claimed, StalePeople
from walker_collector.spool.sqlite.event_tables import runs_of
from walker_collector.spool.sqlite.people_tables import version_of

_CLAIM: Final = "INSERT INTO calls (process, number, destination, people) VALUES (?, ?, ?, ?)"
_PENDING: Final = "SELECT seq FROM events WHERE seq BETWEEN ? AND ?"
CALLS: Final = "SELECT process, number, people FROM calls"


def claim(
    db: sqlite3.Connection,
    call: tuple[str, int],
    destination: str,
    seqs: Collection[int],
    people: Collection[str],
    version: int,
) -> Claimed:
    """Note a call. Raises StalePeople if more is known of people than in a version."""
    if version_of(db) != version:
        raise StalePeople("another process has changed what is known of people")
    erased = {key for (key,) in db.execute("SELECT person FROM pending_erasures").fetchall()}
    found = {seq for run in runs_of(seqs) for (seq,) in db.execute(_PENDING, run).fetchall()}
    # An erasure does not wait for a call that leaves its people out.
    marks = json.dumps([_mark(key) for key in people if key not in erased])
    db.execute(_CLAIM, (*call, destination, marks))
    return Claimed(call[1], set(seqs) - found, erased.intersection(people))


def end(db: sqlite3.Connection, process: str, numbers: Iterable[int]) -> None:
    """Delete calls that are over."""
    rows = [(process, number) for number in numbers]
    db.executemany("DELETE FROM calls WHERE process = ? AND number = ?", rows)


def keep_calls_of(db: sqlite3.Connection, living: Iterable[str]) -> None:
    """Delete the calls of all other processes, which have ended."""
    marks = json.dumps(list(living))
    db.execute("DELETE FROM calls WHERE process NOT IN (SELECT value FROM json_each(?))", (marks,))


def calls_of(
    rows: Iterable[tuple[str, int, str]], people: Collection[str] | None
) -> set[tuple[str, int]]:
    """Return the calls with events of these people (None: of anybody), given all rows."""
    if people is None:
        return {(process, number) for process, number, _ in rows}
    marks = {_mark(key) for key in people}
    return {
        (process, number)
        for process, number, found in rows
        if not marks.isdisjoint(json.loads(found))
    }


def _mark(key: str) -> int:
    """Return a short stand-in for a person's key, which leaves no trace of it on disk.

    Two people may share one: then a statement of one waits for a call of the other, too.
    """
    return crc32(key.encode("utf-8", "surrogatepass"))
