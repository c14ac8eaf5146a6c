"""The statements over the calls that are under way.

Every function is given the connection of the group commit, within a transaction.
"""

import json
import sqlite3
from array import array
from collections.abc import Collection, Iterable, Mapping, Set
from typing import Final

from walker_collector.spool.base import Claimed, StalePeople
from walker_collector.spool.call_marks import mark_of_person, marks_of_people
from walker_collector.spool.sqlite.event_tables import runs_of
from walker_collector.spool.sqlite.people_tables import VERSION, version_of

_CLAIM: Final = "INSERT INTO calls (process, number, destination, people) VALUES (?, ?, ?, ?)"
_MARK: Final = "I"
# An event that a command has dropped at one destination may be there still, for others.
_AT_DESTINATION: Final = """
FROM events WHERE seq BETWEEN ?1 AND ?2 AND subscribers IN (
  SELECT s.number FROM subscribers s JOIN destinations d ON d.number = s.destination
  WHERE d.id = ?3)
"""
_COUNT: Final = f"SELECT count(*) {_AT_DESTINATION}"
_PENDING: Final = f"SELECT seq {_AT_DESTINATION}"
_PENDING_THERE: Final = """
SELECT e.seq FROM events e LEFT JOIN deliveries d ON d.seq = e.seq AND d.destination = ?3
WHERE e.seq BETWEEN ?1 AND ?2 AND coalesce(d.state, 0) < 2
  AND e.subscribers IN (SELECT number FROM subscribers WHERE destination = ?3)
"""
# Repeated where a signal handler raised between the statement and what followed it.
_CLAIM_AT_ONCE: Final = f"""
INSERT OR REPLACE INTO calls (process, number, destination, people) SELECT ?4, ?5, ?3, ?6
WHERE ({VERSION}) = ?7 AND NOT EXISTS (SELECT 1 FROM pending_erasures) AND ({_COUNT}) = ?8
"""
CALLS: Final = "SELECT process, number, people FROM calls"
_OTHERS: Final = "SELECT people FROM calls WHERE destination = ? AND process <> ?"
_SET_PEOPLE: Final = "UPDATE calls SET people = ? WHERE process = ? AND number = ?"


def claim_at_once(
    db: sqlite3.Connection,
    call: tuple[str, int],
    destination: str,
    entries: Mapping[int, str],
    version: int,
) -> bool:
    """Note a call with these events by one statement, if there is nothing to tell, as mostly.

    Else nothing is noted, and `claim` has the answer. Not where other processes may deliver to the
    destination as well. Returns whether the call was noted.
    """
    runs = runs_of(entries)
    if len(runs) != 1:
        return False
    # A `bytearray`, for which the module `sqlite3` looks for no adapter.
    marks = bytearray(_marks({*entries.values()} - {""}))
    row = (*runs[0], destination, *call, marks, version, len(entries))
    return db.execute(_CLAIM_AT_ONCE, row).rowcount == 1


def claim(
    db: sqlite3.Connection,
    call: tuple[str, int],
    destination: str,
    entries: Mapping[int, str],
    version: int,
    number: int | None,
) -> Claimed:
    """Note a call with these events, given with their people.

    Raises StalePeople if more is known of people than in a version. `number`: that of the
    destination, if other processes may deliver to it as well, to other people.
    """
    if version_of(db) != version:
        raise StalePeople("another process has changed what is known of people")
    people = {*entries.values()} - {""}
    erased = {key for (key,) in db.execute("SELECT person FROM pending_erasures").fetchall()}
    busy = set() if number is None else _busy(db, call[0], destination, people)
    seqs = entries.keys()
    gone = _gone(db, seqs, destination) if number is None else _gone_there(db, seqs, number)
    # Nobody waits for a call that leaves them out: neither an erasure nor another process.
    marks = _marks(people - erased - busy if erased or busy else people)
    db.execute(_CLAIM, (*call, destination, marks.tobytes()))
    return Claimed(call[1], gone, erased & people, busy)


def _gone(db: sqlite3.Connection, seqs: Set[int], destination: str) -> set[int]:
    """Return the events that are not there any more: mostly none, which counting tells."""
    runs = [(*run, destination) for run in runs_of(seqs)]
    count = sum([count for run in runs for (count,) in db.execute(_COUNT, run).fetchall()])
    if count == len(seqs):
        return set()
    return {*seqs} - {seq for run in runs for (seq,) in db.execute(_PENDING, run).fetchall()}


def _gone_there(db: sqlite3.Connection, seqs: Set[int], number: int) -> set[int]:
    """Return the events that do not wait for a destination any more."""
    found = (db.execute(_PENDING_THERE, (*run, number)).fetchall() for run in runs_of(seqs))
    return {*seqs} - {seq for rows in found for (seq,) in rows}


def _busy(
    db: sqlite3.Connection, process: str, destination: str, people: Iterable[str]
) -> set[str]:
    """Return those of these people that another process has a call under way for."""
    rows = db.execute(_OTHERS, (destination, process)).fetchall()
    marks = {mark for (found,) in rows for mark in array(_MARK, found)}
    return {key for key in people if mark_of_person(key) in marks} if marks else set()


def join(db: sqlite3.Connection, owners: Mapping[str, str]) -> None:
    """Make calls with events of a key calls with events of its new owner as well."""
    new = {mark_of_person(key): mark_of_person(owner) for key, owner in owners.items()}
    for process, number, found in db.execute(CALLS).fetchall():
        marks = {*array(_MARK, found)}
        joined = marks | {new[mark] for mark in marks if mark in new}
        if joined != marks:
            db.execute(_SET_PEOPLE, (array(_MARK, joined).tobytes(), process, number))


def end(db: sqlite3.Connection, process: str, numbers: Iterable[int]) -> None:
    """Delete calls that are over."""
    rows = [(process, number) for number in numbers]
    db.executemany("DELETE FROM calls WHERE process = ? AND number = ?", rows)


def keep_calls_of(db: sqlite3.Connection, living: Iterable[str]) -> None:
    """Delete the calls of all other processes, which have ended."""
    marks = json.dumps(list(living))
    db.execute("DELETE FROM calls WHERE process NOT IN (SELECT value FROM json_each(?))", (marks,))


def calls_of(
    rows: Iterable[tuple[str, int, bytes]], people: Collection[str] | None
) -> set[tuple[str, int]]:
    """Return the calls with events of these people (None: of anybody), given all rows."""
    if people is None:
        return {(process, number) for process, number, _ in rows}
    marks = {*_marks(people)}
    return {
        (process, number)
        for process, number, found in rows
        if not marks.isdisjoint(array(_MARK, found))
    }


def _marks(people: Iterable[str]) -> "array[int]":
    return array(_MARK, marks_of_people(people))
