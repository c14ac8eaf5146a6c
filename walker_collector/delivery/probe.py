"""The probe: one event, chosen to tell whether a destination works again."""

from collections.abc import Callable
from itertools import islice
from typing import Final

from walker_collector.delivery.keyed_queue import KeyedQueue
from walker_collector.spool import Entry

_SCAN: Final = 1_000
"""Entries that are searched for a probe."""

IsNew = Callable[[int, str], bool]
"""Says, for an event's number and person, whether its outcome would say something new."""


def has_probe(queue: KeyedQueue, is_new: IsNew) -> bool:
    """Return whether an entry is ready that `is_new`."""
    return any(
        not queue.people.waits(person) and is_new(entry[0], person)
        for entry in islice(queue.ready, _SCAN)
        for person in (queue.canonical(entry[1]) or f"event {entry[0]}",)
    )


def take_probe(queue: KeyedQueue, is_new: IsNew, random: Callable[[], float]) -> list[Entry]:
    """Take one entry that `is_new`, or else the next one.

    It is chosen at random among the first entries of all people, since the entries at the head
    of the queue may all belong to a few people with failing events.
    """
    scanned: list[Entry] = []
    firsts: dict[str, Entry] = {}
    try:
        while queue.ready and len(scanned) < _SCAN:
            entry = queue.ready[0]
            person = queue.canonical(entry[1])
            queue.ready.popleft()
            if queue.people.waits(person):
                queue.people.park(person, entry)
                continue
            scanned.append(entry)
            firsts.setdefault(person or f"event {entry[0]}", entry)
    finally:  # also if the spool cannot be read
        queue.ready.extendleft(reversed(scanned))
    new = [entry for person, entry in firsts.items() if is_new(entry[0], person)]
    if not new:
        return queue.take(1, None)
    chosen = new[min(int(random() * len(new)), len(new) - 1)]
    queue.ready.remove(chosen)
    queue.people.take(queue.canonical(chosen[1]), chosen)
    return [chosen]
