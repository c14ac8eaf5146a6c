"""Taking over what another spool holds."""

import sqlite3
from typing import Any

from attrs import frozen

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
    owed: _Rows


def everything(db: sqlite3.Connection) -> Left:
    """Read all that a spool holds."""
    return Left(
        audiences={number: ids for ids, number in directory(db).audiences.items()},
        events=db.execute(
            "SELECT audience, seq, at, person, body FROM events ORDER BY seq"
        ).fetchall(),
        deliveries=db.execute(
            "SELECT t.id, d.seq, d.state, d.attempts, d.changed, d.reason, d.parts, d.consent "
            "FROM deliveries d JOIN destinations t ON t.number = d.destination"
        ).fetchall(),
        told=db.execute("SELECT person, key, granted, at FROM told").fetchall(),
        aliases=db.execute("SELECT alias, person FROM aliases").fetchall(),
        owed=db.execute("SELECT person FROM owed").fetchall(),
    )


def take_over(db: sqlite3.Connection, left: Left, after: int) -> None:
    """Add what another spool held to this one, its events numbered above `after`."""
    known = register(db, left.audiences.values())
    renumbered = {row[1]: after + at for at, row in enumerate(left.events, 1)}
    db.executemany(
        "INSERT INTO events (audience, seq, at, person, body) VALUES (?, ?, ?, ?, ?)",
        [
            (known.audiences[left.audiences[audience]], renumbered[seq], *rest)
            for audience, seq, *rest in left.events
        ],
    )
    db.executemany(
        "INSERT INTO deliveries (destination, seq, state, attempts, changed, reason, parts, "
        "consent) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(known.numbers[id_], renumbered[seq], *rest) for id_, seq, *rest in left.deliveries],
    )
    db.executemany("INSERT OR IGNORE INTO owed VALUES (?)", left.owed)
    _take_over_told(db, left.told, left.aliases)


def _take_over_told(db: sqlite3.Connection, told: _Rows, aliases: _Rows) -> None:
    """Merge what people said and who they are; what was said last holds."""
    db.executemany("INSERT OR IGNORE INTO aliases VALUES (?, ?)", aliases)
    for alias, _ in aliases:
        told += db.execute(
            "SELECT person, key, granted, at FROM told WHERE person = ?", (alias,)
        ).fetchall()
        db.execute("DELETE FROM told WHERE person = ?", (alias,))
    db.executemany(
        "INSERT INTO told VALUES (?, ?, ?, ?) ON CONFLICT (person, key) "
        "DO UPDATE SET granted = excluded.granted, at = excluded.at WHERE excluded.at > told.at",
        [(_owner(db, person), *said) for person, *said in told],
    )


def _owner(db: sqlite3.Connection, person: str) -> str:
    """Return the person that a key leads to."""
    while row := db.execute("SELECT person FROM aliases WHERE alias = ?", (person,)).fetchone():
        (person,) = row
    return person
