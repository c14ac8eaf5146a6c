"""The people of events in the outbox, which nobody has accepted yet."""

from collections.abc import Iterable
from typing import Any

from walker_collector.errors import EventError
from walker_collector.events import decode
from walker_collector.people.identity import identifiers
from walker_collector.people.merges import KnownPeople
from walker_collector.spool import OutboxRow
from walker_collector.spool.person_keys import is_signed_in


def object_in(body: bytes) -> dict[str, Any]:
    """Return the object that a row has; an empty one of a row that has none."""
    try:
        found = decode(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def rows_of_people(
    rows: Iterable[OutboxRow], people: set[str], consents: KnownPeople
) -> tuple[list[int], set[str]]:
    """Return the numbers of the rows with events of these people, and keys that only rows name.

    An event is of the person of its strongest identifier. A device or session that it names, and
    that nobody is known by, is that person's as well.
    """
    named = {row.number: keys for row in rows if (keys := _keys_in(row.body))}
    strangers = {number: keys for number, keys in named.items() if not is_signed_in(keys[0])}
    of_others = (keys for keys in named.values() if is_signed_in(keys[0]) and keys[0] not in people)
    taken = people.union(*of_others)
    found = {number for number, keys in named.items() if _person(keys, consents) in people}
    while True:
        linked = {key for number in found for key in named[number]} - taken
        linked = {key for key in linked if consents.canonical(key) == key}
        more = {number for number, keys in strangers.items() if not linked.isdisjoint(keys)} - found
        if not more:
            return sorted(found), linked
        found |= more


def _person(keys: list[str], consents: KnownPeople) -> str:
    """Return the person of these keys, as far as it is known without the outbox."""
    if is_signed_in(keys[0]):
        return keys[0]
    parts = (key.partition(":") for key in keys)
    return consents.person_of({kind: name for kind, _, name in parts})


def _keys_in(body: bytes) -> list[str]:
    """Return the keys that an event or command names; none of one that is refused."""
    user = object_in(body).get("user")
    try:
        return identifiers(user) if isinstance(user, dict) else []
    except EventError:
        return []
