"""Taking over what another spool holds."""

import sqlite3
from typing import Any

from attrs import frozen

from walker_collector.spool import people
from walker_collector.spool.directory import directory, register

_Rows = list[tuple[Any, ...]]


@frozen
class Left:
    """All that a spool holds; audiences and deliveries by the ids of destinations."""

    audiences: dict[int, frozenset[str]]
    events: _Rows
    deliveries: _Rows
    told: _Rows
    aliases: _Rows
    signed_in: _Rows
    owed: _Rows


def everything(db: sqlite3.Connection) -> Left:
    """Read all that a spool holds."""
    return Left(
        audiences={number: ids for ids, number in directory(db).audiences.items()},
        # Filed under the person: elsewhere the key may be somebody else's.
        events=db.execute(
            "SELECT e.audience, e.seq, e.at, coalesce(a.person, e.person), e.body "
            "FROM events e LEFT JOIN aliases a ON a.alias = e.person ORDER BY e.seq"
        ).fetchall(),
        deliveries=db.execute(
            "SELECT t.id, d.seq, d.state, d.attempts, d.changed, d.reason, d.parts, d.consent "
            "FROM deliveries d JOIN destinations t ON t.number = d.destination"
        ).fetchall(),
        told=db.execute("SELECT person, key, granted, at FROM told").fetchall(),
        aliases=db.execute("SELECT alias, person FROM aliases").fetchall(),
        signed_in=db.execute("SELECT key, person FROM signed_in").fetchall(),
        owed=db.execute("SELECT person FROM owed").fetchall(),
    )


def take_over(db: sqlite3.Connection, left: Left, after: int) -> None:
    """Add what another spool held to this one, its events numbered above `after`."""
    known = register(db, left.audiences.values())
    events = [row for row in left.events if row[0] in left.audiences]  # the others are damaged
    renumbered = {row[1]: after + at for at, row in enumerate(events, 1)}
    db.executemany(
        "INSERT INTO events (audience, seq, at, person, body) VALUES (?, ?, ?, ?, ?)",
        [
            (known.audiences[left.audiences[audience]], renumbered[seq], *rest)
            for audience, seq, *rest in events
        ],
    )
    db.executemany(
        "INSERT INTO deliveries (destination, seq, state, attempts, changed, reason, parts, "
        "consent) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (known.numbers[id_], renumbered[seq], *rest)
            for id_, seq, *rest in left.deliveries
            if id_ in known.numbers and seq in renumbered
        ],
    )
    people.unite(db, left.aliases, left.signed_in, left.told, left.owed)
