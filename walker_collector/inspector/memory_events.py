"""The events in the queues of a collector in memory, as a spool on disk tells them."""

import os
import socket
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from typing import Final

from walker_collector.delivery.worker import DestinationWorker
from walker_collector.delivery.workers import DestinationWorkers
from walker_collector.spool import (
    FRESH,
    DeadLetter,
    Deliverer,
    DeliveryState,
    Entry,
    Member,
    State,
    StoredDelivery,
)
from walker_collector.spool.repeats import RecentEvent
from walker_collector.spool.stored_delivery import json_string

_STARTED: Final = time.time()
"""About the start of the process (s since 1970)."""


class MemoryStore:
    """The store of a collector without a spool, all in one process, for `Tracer`."""

    def __init__(self, workers: DestinationWorkers, letters: Iterable[DeadLetter]) -> None:
        self._workers = workers
        self._events = MemoryEvents(workers, letters)

    @property
    def observer(self) -> "MemoryStore":
        """The deliverers: this process is."""
        return self

    def stored_events(self) -> "MemoryEvents":
        """Return the queries over events and people."""
        return self._events

    def counts(self) -> dict[str, dict[State, int]]:
        """Return the number of events for each destination and state."""
        found: dict[str, dict[State, int]] = {}
        for (id_, state), count in self._events.counts(None).items():
            found.setdefault(id_, {})[state] = count
        return found

    def recent_event(self, id_: str, now: int) -> RecentEvent | None:
        """Return None: outcomes are not remembered in memory."""
        return None

    def deliverers(self, destination: str) -> dict[int, Deliverer]:
        """Return this process, with the health of its deliveries."""
        return {0: Deliverer(_member(self._workers), self._workers[destination].health())}

    def deliveries(self, destinations: Iterable[str]) -> list[tuple[Member, list[str]]]:
        """Return this process alone."""
        return [(_member(self._workers), list(self._workers))]


class MemoryEvents:
    """Finds events of a collector without a spool; `letters` are its dead letters."""

    def __init__(self, workers: DestinationWorkers, letters: Iterable[DeadLetter]) -> None:
        self._workers = workers
        self._letters = list(letters)

    def all(self) -> list[StoredDelivery]:
        """Return the deliveries of all events, the oldest first."""
        found = chain.from_iterable(map(_deliveries, self._workers.values()))
        return sorted(chain(found, map(_of_letter, self._letters)), key=lambda item: item.entry[0])

    def with_text(self, text: str) -> list[StoredDelivery]:
        """Return the deliveries of events with this string in their JSON."""
        return [item for item in self.all() if json_string(text) in item.entry[3]]

    def of_people(self, keys: Collection[str], limit: int) -> list[StoredDelivery]:
        """Return the deliveries of the latest events filed under these keys, latest first."""
        found = [item for item in self.all() if item.entry[1] in keys]
        latest = dict.fromkeys(item.entry[0] for item in reversed(found))
        wanted = set(list(latest)[:limit])
        return [item for item in reversed(found) if item.entry[0] in wanted]

    def retries(self, keys: Collection[str]) -> list[StoredDelivery]:
        """Return the deliveries that wait for a retry, of events under these keys, in order."""
        found = (item for item in self.all() if item.entry[1] in keys)
        return [item for item in found if item.state is State.WAITING and item.due]

    def counts(self, keys: Collection[str] | None) -> dict[tuple[str, State], int]:
        """Return the number of events under these keys (None: any), by destination and state."""
        found = (item for item in self.all() if keys is None or item.entry[1] in keys)
        return Counter((item.destination, item.state) for item in found)

    def calls_with(self, keys: Collection[str]) -> dict[str, str]:
        """Return the destinations with a call under way for these people."""
        return {
            id_: str(os.getpid())
            for id_, worker in self._workers.items()
            if any(item[1] in keys for item in list(worker.pending.state.in_flight.values()))
        }


def _deliveries(worker: DestinationWorker) -> Iterator[StoredDelivery]:
    state = worker.pending.state
    with state.lock:
        waiting = [*state.queue, *state.in_flight.values()]
        held = list(state.held.entries.values())
        attempts = dict(state.attempts)
    for entry in waiting:
        yield _delivery(worker.id, entry, State.WAITING, attempts.get(entry[0], FRESH))
    for entry in held:
        yield _delivery(worker.id, entry, State.HELD)


def _delivery(
    destination: str, entry: Entry, state: State, tried: DeliveryState = FRESH
) -> StoredDelivery:
    return StoredDelivery(
        entry=entry,
        shard=0,
        destination=destination,
        state=state,
        attempts=tried.count,
        due=tried.due,
        changed=entry[2],
        reason=tried.reason,
        parts=dict(tried.parts),
    )


def _of_letter(letter: DeadLetter) -> StoredDelivery:
    return StoredDelivery(
        entry=(letter.seq, letter.person, letter.accepted_at, letter.body),
        shard=0,
        destination=letter.destination,
        state=State.DEAD,
        attempts=letter.attempts,
        due=0,
        changed=letter.died_at,
        reason=letter.reason,
        parts=dict(letter.parts),
    )


def _member(workers: DestinationWorkers) -> Member:
    return Member(
        token="",
        pid=os.getpid(),
        host=socket.gethostname(),
        since=_STARTED,
        delivers=frozenset(workers),
        settled=True,
        silent=False,
    )
