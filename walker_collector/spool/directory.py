"""Which destinations a spool knows, and which sets of them, by the numbers that rows use."""

import sqlite3
from collections.abc import Iterable

from attrs import frozen


@frozen
class Directory:
    """The numbers of destinations by id, and of audiences by the ids of their destinations."""

    numbers: dict[str, int]
    audiences: dict[frozenset[str], int]


def directory(db: sqlite3.Connection) -> Directory:
    """Read the directory of a spool."""
    members: dict[int, set[str]] = {}
    for audience, id_ in db.execute(
        "SELECT a.audience, t.id FROM audiences a JOIN destinations t ON t.number = a.destination"
    ):
        members.setdefault(audience, set()).add(id_)
    return Directory(
        dict(db.execute("SELECT id, number FROM destinations").fetchall()),
        {frozenset(ids): audience for audience, ids in members.items()},
    )


def register(db: sqlite3.Connection, audiences: Iterable[frozenset[str]]) -> Directory:
    """Give numbers to these audiences and their destinations, where they have none; return the
    directory that has them.
    """
    known = directory(db)
    for ids in audiences:
        if ids in known.audiences:
            continue
        db.executemany(
            "INSERT OR IGNORE INTO destinations (id) VALUES (?)", [(id_,) for id_ in ids]
        )
        db.executemany(
            "INSERT INTO audiences SELECT ?, number FROM destinations WHERE id = ?",
            [(max(known.audiences.values(), default=0) + 1, id_) for id_ in ids],
        )
        known = directory(db)
    return known
