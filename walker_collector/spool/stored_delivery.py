"""An event at one destination, as a query of a command finds it."""

import json

from attrs import frozen

from walker_collector.spool.base import Entry, State


@frozen
class StoredDelivery:
    """An event that one destination has not got yet, or will not get; times in ms since 1970.

    shard: that of its person. changed: since when it is in this state. due: the earliest time of
    the next attempt; 0: at once. parts: the state of each part of the delivery.
    """

    entry: Entry
    shard: int
    destination: str
    state: State
    attempts: int
    due: int
    changed: int
    reason: str
    parts: dict[str, str]


def json_string(text: str) -> bytes:
    """Return a text as it stands in the JSON of events."""
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")
