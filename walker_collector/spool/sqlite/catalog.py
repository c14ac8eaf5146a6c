"""The catalog of a spool: numbers for destinations, and for the sets of them that events are for.

Rows hold these numbers instead of names. A set of destinations is called the subscribers of an
event: those that have not acknowledged it yet.
"""

import sqlite3
from collections.abc import Iterable

from attrs import frozen

from walker_collector.spool.sqlite.group_commit import GroupCommit


@frozen
class Catalog:
    """The numbers of destinations by id, and of subscriber sets by the ids of their members."""

    numbers: dict[str, int]
    subscribers: dict[frozenset[str], int]


def read_catalog(db: sqlite3.Connection) -> Catalog:
    """Read the catalog of a spool."""
    members: dict[int, set[str]] = {}
    for number, id_ in db.execute(
        "SELECT s.number, d.id FROM subscribers s JOIN destinations d ON d.number = s.destination"
    ):
        members.setdefault(number, set()).add(id_)
    return Catalog(
        dict(db.execute("SELECT id, number FROM destinations").fetchall()),
        {frozenset(ids): number for number, ids in members.items()},
    )


def register(db: sqlite3.Connection, sets: Iterable[frozenset[str]]) -> Catalog:
    """Give numbers to new subscriber sets and destinations. Return the catalog with all of them."""
    known = read_catalog(db)
    for ids in sets:
        if ids in known.subscribers:
            continue
        db.executemany(
            "INSERT OR IGNORE INTO destinations (id) VALUES (?)", [(id_,) for id_ in ids]
        )
        db.executemany(
            "INSERT INTO subscribers SELECT ?, number FROM destinations WHERE id = ?",
            [(max(known.subscribers.values(), default=0) + 1, id_) for id_ in ids],
        )
        known = read_catalog(db)
    return known


class CachedCatalog:
    """The catalog in memory. Numbers are only ever added, so an older copy is not wrong."""

    def __init__(self, commits: GroupCommit) -> None:
        self._commits = commits
        self.current: Catalog = commits.alone(read_catalog)

    def ensure(self, subscribers: frozenset[str]) -> None:
        """Register a set of destinations unless it has a number."""
        if subscribers not in self.current.subscribers:
            self._commits.run(lambda db: register(db, [subscribers]), self.update)

    def ensure_each(self, destinations: Iterable[str]) -> None:
        """Register every destination as a set of its own, unless it has a number."""
        for destination in destinations:
            self.ensure(frozenset((destination,)))

    def update(self, newer: Catalog) -> None:
        """Keep a larger catalog. Called only by the thread that commits."""
        if len(newer.subscribers) > len(self.current.subscribers):
            self.current = newer
