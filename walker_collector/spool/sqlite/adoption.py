"""Taking over the contents of another spool."""

import sqlite3
from typing import Any

from attrs import frozen

from walker_collector.spool.sqlite import people_tables
from walker_collector.spool.sqlite.catalog import read_catalog, register

_Rows = list[tuple[Any, ...]]


@frozen
class Contents:
    """All rows of a spool, without its own numbers for destinations."""

    subscribers: dict[int, frozenset[str]]
    events: _Rows
    deliveries: _Rows
    consents: _Rows
    aliases: _Rows
    signed_in: _Rows
    pending_erasures: _Rows


def contents(db: sqlite3.Connection) -> Contents:
    """Read all rows of a spool."""
    return Contents(
        subscribers={number: ids for ids, number in read_catalog(db).subscribers.items()},
        # Filed under the person, not the key: in the other spool the key may be somebody else's.
        events=db.execute(
            "SELECT e.subscribers, e.seq, e.at, coalesce(a.person, e.person), e.body "
            "FROM events e LEFT JOIN aliases a ON a.alias = e.person ORDER BY e.seq"
        ).fetchall(),
        deliveries=db.execute(
            "SELECT t.id, d.seq, d.state, d.attempts, d.changed, d.reason, d.parts, d.consent "
            "FROM deliveries d JOIN destinations t ON t.number = d.destination"
        ).fetchall(),
        consents=db.execute("SELECT person, key, granted, stamp FROM consents").fetchall(),
        aliases=db.execute("SELECT alias, person FROM aliases").fetchall(),
        signed_in=db.execute("SELECT key, person FROM signed_in").fetchall(),
        pending_erasures=db.execute("SELECT person FROM pending_erasures").fetchall(),
    )


def take_over(db: sqlite3.Connection, left: Contents, after: int) -> None:
    """Add the contents of another spool to this one, its events numbered above `after`.

    They come behind the events of this spool: the numbers of two spools have no common order, and
    a key is delivered by one process at a time.
    """
    known = register(db, left.subscribers.values())
    # An event whose subscribers are not in the catalog is damaged, and for nobody.
    events = [row for row in left.events if row[0] in left.subscribers]
    renumbered = {row[1]: after + at for at, row in enumerate(events, 1)}
    db.executemany(
        "INSERT INTO events (subscribers, seq, at, person, body) VALUES (?, ?, ?, ?, ?)",
        [
            (known.subscribers[left.subscribers[number]], renumbered[seq], *rest)
            for number, seq, *rest in events
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
    people_tables.merge_people(
        db, left.aliases, left.signed_in, left.consents, left.pending_erasures
    )
