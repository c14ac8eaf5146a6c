"""The statements over identities and consent.

Every function is given the connection of the group commit, within a transaction.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

from walker_collector.spool import people_log
from walker_collector.spool.base import (
    ConsentRecord,
    NewEvent,
    PeopleUpdate,
    StalePeople,
    later_of,
)
from walker_collector.spool.person_keys import is_signed_in, unclaimed

LINK: Final = (
    "SELECT (SELECT person FROM aliases WHERE alias = ?1),"
    " (SELECT person FROM signed_in WHERE key = ?1)"
)
DEFAULT: Final = "SELECT flow, current FROM default_consent"
_SET_DEFAULT: Final = "INSERT OR REPLACE INTO default_consent VALUES (1, ?, ?)"
CONSENT: Final = "SELECT key, granted, stamp FROM consents WHERE person = ?"
HAS_CLAIMED: Final = """
SELECT 1 FROM aliases WHERE alias >= '~' UNION ALL SELECT 1 FROM consents WHERE person >= '~'
LIMIT 1
"""
KNOWN_OF: Final = """
WITH wanted (key) AS MATERIALIZED (SELECT value FROM json_each(?))
SELECT 'owner', alias, person, 0, 0 FROM aliases WHERE alias IN (SELECT key FROM wanted)
UNION ALL
SELECT 'signed_in', key, person, 0, 0 FROM signed_in WHERE key IN (SELECT key FROM wanted)
UNION ALL
SELECT 'alias', person, alias, 0, 0 FROM aliases WHERE person IN (SELECT key FROM wanted)
UNION ALL
SELECT 'consent', person, key, granted, stamp FROM consents
WHERE person IN (SELECT key FROM wanted)
UNION ALL
SELECT 'claimed', '', '', 0, 0 WHERE EXISTS (SELECT 1 FROM aliases WHERE alias >= '~')
OR EXISTS (SELECT 1 FROM consents WHERE person >= '~')
"""
LAST_STAMP: Final = "SELECT coalesce(max(stamp), 0) FROM consents"
_ALIASES: Final = "SELECT alias FROM aliases WHERE person = ?"
_SIGNED_IN: Final = "SELECT key FROM signed_in WHERE person = ?"
_OWNED: Final = "INSERT OR REPLACE INTO aliases VALUES (?, ?)"
# An id is a person itself, never an alias. Mostly no person without an id has aliases, so that the
# index answers at once.
_INDIRECT: Final = """
SELECT 1 FROM aliases WHERE alias >= 'id:' AND alias < 'id;' OR alias >= '~id:' AND alias < '~id;'
UNION ALL
SELECT 1 FROM aliases a JOIN aliases b ON b.alias = a.person
WHERE a.person < 'id:' OR a.person >= 'id;' AND a.person < '~id:' OR a.person >= '~id;' LIMIT 1
"""
VERSION: Final = "SELECT coalesce(max(version), 0) FROM people_log"
_LOG: Final = "INSERT INTO people_log (kind, key, owner) VALUES (?, ?, ?)"
_TRIM: Final = f"DELETE FROM people_log WHERE version <= ({VERSION}) - {people_log.LENGTH}"
_ERASURES: Final = (
    f"SELECT key FROM people_log WHERE kind = {people_log.ERASED} ORDER BY version DESC LIMIT ?"
)
SINCE: Final = "SELECT version, kind, key, owner FROM people_log WHERE version > ? ORDER BY version"


def version_of(db: sqlite3.Connection) -> int:
    """Return the version of identities and consent."""
    ((version,),) = db.execute(VERSION).fetchall()
    return int(version)


def log_moved(db: sqlite3.Connection) -> None:
    """Note that events wait again, or are gone, which other processes have read otherwise."""
    db.execute(_LOG, people_log.MOVED)


def check_not_overtaken(
    db: sqlite3.Connection, events: Sequence[NewEvent], erasures: int, written: int
) -> None:
    """Raise Overtaken if the person of an event may have been erased since they were found.

    `written`: how many erasures of this transaction are not among the counted ones yet.
    """

    def last_erased(count: int) -> list[str]:
        return [text for (text,) in db.execute(_ERASURES, (count,)).fetchall()]

    people_log.check_not_erased(events, erasures + written, last_erased)


def learn(db: sqlite3.Connection, update: PeopleUpdate) -> None:
    """Write an update about people. Raises StalePeople if it is based on an older version."""
    if update.based_on is not None and update.based_on != version_of(db):
        raise StalePeople("another process has changed what is known of people")
    _learn(db, update)
    db.executemany(_LOG, people_log.rows_of(update))
    db.execute(_TRIM)


def _learn(db: sqlite3.Connection, update: PeopleUpdate) -> None:
    db.executemany(_OWNED, update.aliases.items())
    for key, person in update.signed_in.items():
        if person is None:
            db.execute("DELETE FROM signed_in WHERE key = ?", (key,))
        else:
            db.execute("INSERT OR REPLACE INTO signed_in VALUES (?, ?)", (key, person))
    if update.default is not None:
        columns = update.default.flow, update.default.current
        db.execute(_SET_DEFAULT, [json.dumps(dict(column)) for column in columns])
    for person, consent in update.consents.items():
        db.execute("DELETE FROM consents WHERE person = ?", (person,))
        rows = [(person, key, granted, stamp) for key, (granted, stamp) in consent.items()]
        db.executemany("INSERT INTO consents VALUES (?, ?, ?, ?)", rows)


def erase(db: sqlite3.Connection, keys: Sequence[tuple[str]]) -> tuple[int, int]:
    """Delete these keys with their statements; return the versions before and after.

    A key with a later sign-in becomes that person's.
    """
    before = version_of(db)
    db.executemany("DELETE FROM people_log WHERE key = ?1 OR owner = ?1", keys)
    db.execute(_LOG, people_log.row_of_erasure({key for (key,) in keys} | _linked(db, keys)))
    db.executemany("DELETE FROM consents WHERE person = ?", keys)
    db.executemany("DELETE FROM aliases WHERE person = ?1 OR alias = ?1", keys)
    db.executemany("DELETE FROM signed_in WHERE person = ?", keys)
    inherited = "SELECT key, person FROM signed_in WHERE key = ?"
    db.executemany(f"INSERT OR REPLACE INTO aliases {inherited}", keys)
    db.executemany("DELETE FROM signed_in WHERE key = ?", keys)
    return before, version_of(db)


def _linked(db: sqlite3.Connection, keys: Sequence[tuple[str]]) -> set[str]:
    """Return the keys that lead to these people, as their own or by a sign-in."""
    linked: set[str] = set()
    for key in keys:
        linked.update(alias for (alias,) in db.execute(_ALIASES, key))
        linked.update(other for (other,) in db.execute(_SIGNED_IN, key))
    return linked


def straighten(db: sqlite3.Connection) -> bool:
    """Make every alias lead to its person directly; a circle would never end.

    Returns whether any did not.
    """
    if db.execute(_INDIRECT).fetchone() is None:
        return False
    aliases = dict(db.execute("SELECT alias, person FROM aliases").fetchall())
    people = resolved(aliases)
    db.execute("DELETE FROM aliases")
    owned = [(key, person) for key, person in people.items() if key != person]
    db.executemany(_OWNED, owned)
    for key, person in owned:
        _move_consent(db, key, person)
    return True


def resolved(aliases: Mapping[str, str]) -> dict[str, str]:
    """Return the person that each key leads to; of a circle, its strongest key."""
    people: dict[str, str] = {}
    for start in aliases:
        path: dict[str, None] = {}
        key = start
        while not (key in people or key in path or _is_person(key, aliases)):
            path[key] = None
            key = aliases[key]
        if key in path:
            around = list(path)
            key = min(around[around.index(key) :], key=_strength)
        person = people.get(key, key)
        people.update(dict.fromkeys((*path, key), person))
    return people


def _is_person(key: str, aliases: Mapping[str, str]) -> bool:
    return is_signed_in(key) or key not in aliases


def _strength(key: str) -> tuple[bool, str]:
    return unclaimed(key).startswith("session:"), key


def _move_consent(db: sqlite3.Connection, key: str, person: str) -> None:
    """Make the statements filed under a key a person's."""
    moved = _consent_of(db, key)
    if moved:
        merged = later_of(_consent_of(db, person), moved)
        _learn(db, PeopleUpdate(consents={person: merged, key: {}}))


def _consent_of(db: sqlite3.Connection, person: str) -> ConsentRecord:
    rows = db.execute(CONSENT, (person,))
    return {key: (bool(granted), stamp) for key, granted, stamp in rows}
