"""Identities and consent as rows, written within a transaction that has locked their version."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence

from walker_collector.spool import people_log
from walker_collector.spool.base import PeopleUpdate, StalePeople
from walker_collector.spool.call_marks import mark_of_person
from walker_collector.spool.person_keys import (
    claimed,
    is_claimed,
    is_signed_in,
    owner_of,
    unclaimed,
)
from walker_collector.spool.postgres.transactions import Transaction
from walker_collector.spool.shards import shard_of


def learn(tx: Transaction, update: PeopleUpdate, shards: int) -> None:
    """Write an update about people. Raises StalePeople if it is based on an older version."""
    if update.based_on is not None and update.based_on != tx.version:
        raise StalePeople("another process has changed what is known of people")
    if update.aliases:
        tx.later("set_aliases", _columns(update.aliases.items()))
    leaving = [key for key, person in update.signed_in.items() if person is None]
    staying = [(key, person) for key, person in update.signed_in.items() if person is not None]
    if leaving:
        tx.later("delete_signed_in", (leaving,))
    if staying:
        tx.later("set_signed_in", _columns(staying))
    if update.default is not None:
        parts = update.default.flow, update.default.current
        tx.later("set_default_consent", [json.dumps(dict(part)) for part in parts])
    if update.consents:
        _set_consents(tx, update)
    log(tx, people_log.rows_of(update), update.last_stamp)
    if update.aliases and shards > 1:
        _move(tx, update.aliases, shards)


def _set_consents(tx: Transaction, update: PeopleUpdate) -> None:
    tx.later("delete_consents", (list(update.consents),))
    rows = [
        (person, key, granted, stamp)
        for person, record in update.consents.items()
        for key, (granted, stamp) in record.items()
    ]
    if rows:
        tx.later("add_consents", _columns(rows))


def log(tx: Transaction, rows: Sequence[people_log.LogRow], stamp: int = 0) -> None:
    """Write rows of the log, each of which is a version of its own."""
    first = tx.change_people(len(rows), stamp) + 1
    versions = range(first, first + len(rows))
    if rows:
        tx.later("log_people", [list(versions), *_columns(rows)])
        tx.later("trim_log", (versions[-1] - people_log.LENGTH,))


def _move(tx: Transaction, owners: Mapping[str, str], shards: int) -> None:
    """Move the events of keys to the shards of their new owners; so are calls under way."""
    claims = [claimed(key) for key in owners if not is_claimed(key)]
    persons = dict(tx.rows("owners", {"keys": keys_to_look_up(claims)}))
    moved = {key: owner_of(key, persons.get) for key in claims} | dict(owners)
    numbers = [shard_of(owner, 0, shards) for owner in moved.values()]
    tx.later("move_events", {"keys": list(moved), "shards": numbers})
    marks = [(mark_of_person(key), mark_of_person(owner)) for key, owner in moved.items()]
    tx.later("join_calls", _columns(marks))


def keys_to_look_up(people: Iterable[str]) -> list[str]:
    """Return the keys to look up in order to find the owners of these."""
    found: set[str] = set()
    for key in people:
        if key and not is_signed_in(key):
            found |= {key, unclaimed(key)}
    return sorted(found)


def erase(tx: Transaction, keys: Collection[str]) -> tuple[int, int]:
    """Delete these keys with their statements; return the versions before and after.

    A key with a later sign-in becomes that person's.
    """
    gone = list(keys)
    before = tx.version
    linked = {key for (key,) in tx.rows("linked_keys", {"keys": gone})}
    tx.later("erase_log", {"keys": gone})
    log(tx, [people_log.row_of_erasure({*gone} | linked)])
    tx.later("delete_consents", (gone,))
    tx.later("erase_aliases", {"keys": gone})
    tx.later("erase_signed_in", (gone,))
    tx.later("inherit_keys", (gone,))
    tx.later("delete_signed_in", (gone,))
    tx.later("erase_pending", (gone,))
    return before, tx.version


def _columns(rows: Iterable[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
