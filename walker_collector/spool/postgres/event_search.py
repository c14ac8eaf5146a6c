"""Queries of commands over single events, and the events of a person."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from walker_collector.spool.base import State
from walker_collector.spool.call_marks import marks_of_people
from walker_collector.spool.rows import parts_of
from walker_collector.spool.stored_delivery import StoredDelivery, json_string
from walker_collector.text import storable

Read = Callable[[str, Sequence[Any]], list[Any]]


class EventSearch:
    """Finds stored events by id or person; `read` returns the rows of a statement."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def with_text(self, text: str) -> list[StoredDelivery]:
        """Return the deliveries of events with this string in their JSON, such as their id."""
        return self._found("search_text", json_string(text))

    def of_people(self, keys: Collection[str], limit: int) -> list[StoredDelivery]:
        """Return the deliveries of the latest events filed under these keys, latest first."""
        return self._found("search_people", list(keys), limit)

    def retries(self, keys: Collection[str]) -> list[StoredDelivery]:
        """Return the deliveries that wait for a retry, of events under these keys, in order."""
        return self._found("search_retries", list(keys))

    def counts(self, keys: Collection[str]) -> dict[tuple[str, State], int]:
        """Return the number of events under these keys for each destination and state."""
        rows = self._read("search_counts", (list(keys),))
        return {(id_, State(state)): count for id_, state, count in rows}

    def calls_with(self, keys: Collection[str]) -> dict[str, str]:
        """Return the destinations with a call under way for these people, and its process."""
        return dict(self._read("search_calls", (marks_of_people(keys),)))

    def _found(self, name: str, *values: Any) -> list[StoredDelivery]:
        return [_delivery(row) for row in self._read(name, values)]


def _delivery(row: tuple[Any, ...]) -> StoredDelivery:
    seq, person, at, body, shard, destination, state, attempts, due, changed, reason, parts = row
    return StoredDelivery(
        (seq, person, at, body),
        shard,
        destination,
        State(state),
        attempts,
        due,
        changed,
        storable(reason),
        parts_of(parts),
    )
