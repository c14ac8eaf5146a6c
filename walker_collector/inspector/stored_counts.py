"""The number of events stored for each destination."""

from attrs import define

from walker_collector.spool import State, StoredSpool


@define
class StoredCounts:
    """Number of events stored for one destination.

    retrying: waiting events that have failed. oldest_age: s since the oldest waiting or held event
    was accepted. reason: why none of the waiting ones goes out.
    """

    waiting: int = 0
    retrying: int = 0
    held: int = 0
    dead: int = 0
    oldest_age: float = 0.0
    reason: str = ""


def stored_counts(store: StoredSpool, now: int) -> dict[str, StoredCounts]:
    """Return the counts of each destination at `now` (ms). Raises SpoolError."""
    found: dict[str, StoredCounts] = {}
    for destination, counts in store.counts().items():
        item = found.setdefault(destination, StoredCounts())
        item.waiting = counts.get(State.WAITING, 0)
        item.held = counts.get(State.HELD, 0)
        item.dead = counts.get(State.DEAD, 0)
    for destination, (at, due) in store.oldest().items():
        item = found.setdefault(destination, StoredCounts())
        item.retrying = due
        item.oldest_age = max(0.0, (now - at) / 1000)
    return dict(sorted(found.items()))
