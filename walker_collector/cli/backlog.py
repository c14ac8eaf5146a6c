"""What is stored for each destination, over the spools of all processes."""

from collections.abc import Iterable

from attrs import define

from walker_collector.spool import Change, State
from walker_collector.spool.sqlite import SqliteSpool

_PAGE = 10_000


@define
class Backlog:
    """Stored events of one destination; `due` are the waiting ones that wait for a retry.

    oldest_age: s since the oldest waiting or held one was accepted.
    """

    waiting: int = 0
    due: int = 0
    held: int = 0
    dead: int = 0
    oldest_age: float = 0.0


def backlog(spools: Iterable[SqliteSpool], now: int) -> dict[str, Backlog]:
    """Return what is stored by destination at `now` (ms); SpoolError where it cannot be read."""
    found: dict[str, Backlog] = {}
    for spool in spools:
        for destination, counts in spool.counts().items():
            item = found.setdefault(destination, Backlog())
            item.waiting += counts.get(State.WAITING, 0)
            item.held += counts.get(State.HELD, 0)
            item.dead += counts.get(State.DEAD, 0)
        for destination, (at, due) in spool.oldest().items():
            item = found.setdefault(destination, Backlog())
            item.due += due
            item.oldest_age = max(item.oldest_age, (now - at) / 1000)
    return dict(sorted(found.items()))


def clear(spool: SqliteSpool, destination: str) -> None:
    """Remove all that is kept for a destination."""
    spool.bury(spool.dead(destination))
    spool.settle(destination, [Change(item.entry, None) for item in spool.held(destination)])
    while waiting := spool.load(destination, 0, _PAGE):
        spool.settle(destination, [Change(item.entry, None) for item in waiting])
