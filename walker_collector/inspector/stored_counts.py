"""The number of events stored for each destination."""

from collections.abc import Iterable, Sequence
from typing import Final

from attrs import define

from walker_collector.spool import Member, State, StoredSpool
from walker_collector.spool.outbox_figures import outbox_figures

NOBODY_TAKES: Final = "no process delivers now, and only such a one accepts them"


@define
class StoredCounts:
    """Number of events stored for one destination.

    retrying: waiting events that have failed. oldest_age: s since the oldest waiting event was
    accepted; 0: none waits. reason: why none of the waiting ones goes out.
    """

    waiting: int = 0
    retrying: int = 0
    held: int = 0
    dead: int = 0
    oldest_age: float = 0.0
    reason: str = ""


@define
class OutboxCounts:
    """Number of events that wait in the outbox, to be accepted.

    oldest_age: s since the first of them was pushed. reason: why none of them is accepted.
    """

    waiting: int = 0
    oldest_age: float = 0.0
    reason: str = ""


def outbox_counts(
    store: StoredSpool, found: Iterable[tuple[Member, Sequence[str]]], now: int
) -> OutboxCounts | None:
    """Return the counts of the outbox at `now` (ms); None: the spool has none.

    `found`: the processes with the destinations that each delivers to: such a one accepts the
    events. Raises SpoolError.
    """
    figures = outbox_figures(store, now)
    if figures is None:
        return None
    is_taken = not figures[0] or any(ids and not member.silent for member, ids in found)
    return OutboxCounts(*figures, "" if is_taken else NOBODY_TAKES)


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
