"""The statements over identities and consent, and the merge of those of two spools.

Every function is given the connection of the group commit, within a transaction.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from walker_collector.spool.base import ConsentRecord, PeopleUpdate, later_of

LINK: Final = (
    "SELECT (SELECT person FROM aliases WHERE alias = ?1),"
    " (SELECT person FROM signed_in WHERE key = ?1)"
)
CONSENT: Final = "SELECT key, granted, stamp FROM consents WHERE person = ?"
_OWNED: Final = "INSERT OR REPLACE INTO aliases VALUES (?, ?)"
# An id is a person itself, never an alias. Mostly no person without an id has aliases, so that the
# index answers at once.
_INDIRECT: Final = """
SELECT 1 FROM aliases WHERE alias >= 'id:' AND alias < 'id;'
UNION ALL
SELECT 1 FROM aliases a JOIN aliases b ON b.alias = a.person
WHERE a.person < 'id:' OR a.person >= 'id;' LIMIT 1
"""


def learn(db: sqlite3.Connection, update: PeopleUpdate) -> None:
    """Write an update about people."""
    db.executemany(_OWNED, update.aliases.items())
    for key, person in update.signed_in.items():
        if person is None:
            db.execute("DELETE FROM signed_in WHERE key = ?", (key,))
        else:
            db.execute("INSERT OR REPLACE INTO signed_in VALUES (?, ?)", (key, person))
    for person, consent in update.consents.items():
        db.execute("DELETE FROM consents WHERE person = ?", (person,))
        rows = [(person, key, granted, stamp) for key, (granted, stamp) in consent.items()]
        db.executemany("INSERT INTO consents VALUES (?, ?, ?, ?)", rows)


def erase(db: sqlite3.Connection, keys: Sequence[tuple[str]]) -> None:
    """Delete these keys with their statements. A key with a later sign-in becomes that person's."""
    db.executemany("DELETE FROM consents WHERE person = ?", keys)
    db.executemany("DELETE FROM aliases WHERE person = ?1 OR alias = ?1", keys)
    db.executemany("DELETE FROM signed_in WHERE person = ?", keys)
    inherited = "SELECT key, person FROM signed_in WHERE key = ?"
    db.executemany(f"INSERT OR REPLACE INTO aliases {inherited}", keys)
    db.executemany("DELETE FROM signed_in WHERE key = ?", keys)


def straighten(db: sqlite3.Connection) -> None:
    """Make every alias lead to its person directly; a circle would never end."""
    if db.execute(_INDIRECT).fetchone() is None:
        return
    aliases = dict(db.execute("SELECT alias, person FROM aliases").fetchall())
    people = resolved(aliases)
    db.execute("DELETE FROM aliases")
    owned = [(key, person) for key, person in people.items() if key != person]
    db.executemany(_OWNED, owned)
    for key, person in owned:
        _move_consent(db, key, person)


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
    return key.startswith("id:") or key not in aliases


def _strength(key: str) -> tuple[bool, str]:
    return key.startswith("session:"), key


def _move_consent(db: sqlite3.Connection, key: str, person: str) -> None:
    """Make the statements filed under a key a person's."""
    moved = _consent_of(db, key)
    if moved:
        merged = later_of(_consent_of(db, person), moved)
        learn(db, PeopleUpdate(consents={person: merged, key: {}}))


def _consent_of(db: sqlite3.Connection, person: str) -> ConsentRecord:
    rows = db.execute(CONSENT, (person,))
    return {key: (bool(granted), stamp) for key, granted, stamp in rows}


# --- another spool's ------------------------------------------------------------------------


def merge_people(
    db: sqlite3.Connection,
    aliases: Iterable[tuple[str, str]],
    signed_in: Iterable[tuple[str, str]],
    consents: Iterable[tuple[str, str, bool, int]],
    pending_erasures: Sequence[tuple[str]],
) -> None:
    """Add the identities and statements of another spool: people are joined root to root.

    A key that belongs to one signed-in person here and to another there stays as it is here.
    """
    for key, person in aliases:
        _merge(db, _owner(db, key), _owner(db, person))
    db.executemany(
        "INSERT OR IGNORE INTO signed_in SELECT ?1, ?2"
        " WHERE EXISTS (SELECT 1 FROM aliases WHERE alias = ?1 AND person <> ?2)",
        signed_in,
    )
    for person, key, granted, stamp in consents:
        owner = _owner(db, person)
        merged = later_of(_consent_of(db, owner), {key: (bool(granted), stamp)})
        learn(db, PeopleUpdate(consents={owner: merged}))
    # A pending erasure counts here only if the key's owner here is to be erased as well.
    theirs = [(key,) for (key,) in pending_erasures if (_owner(db, key),) in pending_erasures]
    db.executemany("INSERT OR IGNORE INTO pending_erasures VALUES (?)", theirs)


def _owner(db: sqlite3.Connection, key: str) -> str:
    row = db.execute("SELECT person FROM aliases WHERE alias = ?", (key,)).fetchone()
    return key if row is None else str(row[0])


def _merge(db: sqlite3.Connection, one: str, other: str) -> None:
    """Make two people one, unless both have an id."""
    weaker, person = sorted((one, other), key=_weakness, reverse=True)
    if one == other or weaker.startswith("id:"):
        return
    db.execute("UPDATE aliases SET person = ? WHERE person = ?", (person, weaker))
    db.execute(_OWNED, (weaker, person))
    _move_consent(db, weaker, person)


def _weakness(key: str) -> int:
    return next(at for at, kind in enumerate(("id:", "device:", "")) if key.startswith(kind))
