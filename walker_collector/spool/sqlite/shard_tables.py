"""The statements over shards, for spools with more than one.

An event is stored with the shard of its person, which is found within the transaction: what the
caller knows of people may be old. A merge of people moves their events in its own transaction.

Every function is given the connection of the group commit, within a transaction.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Final

from walker_collector.spool.base import Entry
from walker_collector.spool.person_keys import claimed, is_claimed, owner_of
from walker_collector.spool.shards import shard_of
from walker_collector.spool.sqlite import claim_tables

_OWNER: Final = "SELECT person FROM aliases WHERE alias = ?"
_MOVE: Final = "UPDATE events SET shard = ? WHERE person = ?"
_PLACE: Final = "UPDATE events SET shard = ? WHERE seq = ?"
_LOST: Final = "typeof(shard) <> 'integer' OR shard < 0 OR shard >= ?"


def only(sql: str, shards: Collection[int] | None) -> str:
    """Return a query over the events of these shards; None: of all."""
    if shards is None:
        return sql
    return sql.replace("/* shards */", f"AND e.shard IN ({', '.join(map(str, shards))})")


def shard_in(db: sqlite3.Connection, shards: int) -> Callable[[Entry], int]:
    """Return the function that tells the shard of an event's person, as the tables know them."""

    def shard(entry: Entry) -> int:
        person = entry[1]
        return shard_of(_owner(db, person) if person else "", entry[0], shards)

    return shard


def _owner(db: sqlite3.Connection, key: str) -> str:
    return owner_of(key, partial(_person_of, db))


def _person_of(db: sqlite3.Connection, alias: str) -> str | None:
    row = db.execute(_OWNER, (alias,)).fetchone()
    return row[0] if row else None


def move(db: sqlite3.Connection, owners: Mapping[str, str], shards: int) -> None:
    """Move the events of keys to the shards of their new owners; so are calls under way."""
    claims = {key: _owner(db, key) for key in map(claimed, owners) if not is_claimed(key[1:])}
    moved = {**claims, **owners}
    db.executemany(_MOVE, [(shard_of(owner, 0, shards), key) for key, owner in moved.items()])
    claim_tables.join(db, moved)


def place(db: sqlite3.Connection, shards: int, *, everything: bool) -> int:
    """Give events a shard that have none, or all of them; return their number."""
    which, args = ("1", ()) if everything else (_LOST, (shards,))
    shard = shard_in(db, shards)
    rows = db.execute(f"SELECT seq, person, 0, x'' FROM events WHERE {which}", args).fetchall()
    found = [row for row in rows if isinstance(row[1], str)]
    nobody = [(seq, "", 0, b"") for seq, person, _, _ in rows if not isinstance(person, str)]
    db.executemany(_PLACE, _placed(shard, [*found, *nobody]))
    return len(rows)


def _placed(shard: Callable[[Entry], int], entries: Iterable[Entry]) -> list[tuple[int, int]]:
    return [(shard(entry), entry[0]) for entry in entries]
