"""Queries over single events, and the events of a person.

They look through all events, and so are for a command and not for a delivery: no index over people
or ids is worth its cost to every event.
"""

import json
from array import array
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from walker_collector.spool import damage
from walker_collector.spool.base import State
from walker_collector.spool.call_marks import mark_of_person
from walker_collector.spool.rows import parts_of
from walker_collector.spool.sqlite.event_tables import EVERY_ENTRY
from walker_collector.spool.stored_delivery import StoredDelivery, json_string
from walker_collector.text import storable

_ROWS: Final = f"""
SELECT e.seq, e.person, e.at, e.body, e.shard, t.id, coalesce(d.state, 0), coalesce(d.attempts, 0),
  coalesce(d.due, 0), coalesce(d.changed, e.at), coalesce(d.reason, ''), d.parts
FROM events e {EVERY_ENTRY}
"""
_KEYS: Final = "(SELECT value FROM json_each(?))"
_WITH_TEXT: Final = f"{_ROWS} WHERE instr(e.body, ?) ORDER BY e.seq, t.id"
_OF_PEOPLE: Final = f"""
{_ROWS} WHERE e.seq IN (
  SELECT seq FROM events WHERE person IN {_KEYS} ORDER BY seq DESC LIMIT ?)
ORDER BY e.seq DESC, t.id
"""
_RETRIES: Final = f"""
{_ROWS} WHERE e.person IN {_KEYS} AND d.state = 0 AND d.due > 0 ORDER BY e.seq
"""
_COUNTS: Final = f"""
SELECT t.id, coalesce(d.state, 0), count(*) FROM events e {EVERY_ENTRY}
WHERE e.person IN {_KEYS} GROUP BY 1, 2
"""
_CALLS: Final = "SELECT destination, process, people FROM calls"
_MARK: Final = "I"

Read = Callable[[str, Sequence[Any]], list[Any]]


class StoredEvents:
    """Finds stored events by id or person; `read` returns the rows of a query."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def with_text(self, text: str) -> list[StoredDelivery]:
        """Return the deliveries of events with this string in their JSON, such as their id."""
        return self._deliveries(_WITH_TEXT, json_string(text))

    def of_people(self, keys: Collection[str], limit: int) -> list[StoredDelivery]:
        """Return the deliveries of the latest events filed under these keys, latest first."""
        return self._deliveries(_OF_PEOPLE, json.dumps(list(keys)), limit)

    def retries(self, keys: Collection[str]) -> list[StoredDelivery]:
        """Return the deliveries that wait for a retry, of events under these keys, in order."""
        return self._deliveries(_RETRIES, json.dumps(list(keys)))

    def counts(self, keys: Collection[str]) -> dict[tuple[str, State], int]:
        """Return the number of events under these keys for each destination and state."""
        rows = self._read(_COUNTS, (json.dumps(list(keys)),))
        return {(id_, _state(state)): count for id_, state, count in rows}

    def calls_with(self, keys: Collection[str]) -> dict[str, str]:
        """Return the destinations with a call under way for these people, and its process."""
        marks = {mark_of_person(key) for key in keys}
        rows = self._read(_CALLS, ())
        return {
            destination: process
            for destination, process, found in rows
            if not marks.isdisjoint(array(_MARK, found))
        }

    def _deliveries(self, sql: str, *args: Any) -> list[StoredDelivery]:
        return [_delivery(*row) for row in self._read(sql, args)]


def _delivery(
    seq: int,
    person: Any,
    at: Any,
    body: Any,
    shard: Any,
    destination: str,
    state: Any,
    attempts: Any,
    due: Any,
    changed: Any,
    reason: Any,
    parts: Any,
) -> StoredDelivery:
    return StoredDelivery(
        (seq, damage.text(person), damage.number(at), damage.body(body)),
        damage.number(shard),
        destination,
        _state(state),
        damage.number(attempts),
        damage.number(due),
        damage.number(changed),
        storable(reason),
        parts_of(parts),
    )


def _state(state: Any) -> State:
    """Return a stored state; a damaged one is mended when the spool is next opened to write."""
    return State(state) if state in (0, 1, 2) else State.WAITING
