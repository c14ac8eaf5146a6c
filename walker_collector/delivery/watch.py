"""The watch over deliveries: watchers see each outcome, while somebody looks."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from walker_collector.delivery.destination import Destination
from walker_collector.delivery.task import Task
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import Entry


class Watcher(Protocol):
    """Sees outcomes as they come, on the threads that deliver or accept.

    It must be quick, and is never waited for. An exception of its own is of no effect.
    """

    def dispatched(
        self,
        destination: Destination,
        consents: ConsentStore,
        tasks: Sequence[Task],
        seconds: float,
    ) -> None:
        """See the tasks of a batch, with their outcomes, after calls that took some seconds."""

    def held(
        self, destination: Destination, consents: ConsentStore, entries: Sequence[Entry]
    ) -> None:
        """See new entries that are held for consent."""

    def died(self, destination: Destination, entry: Entry, reason: str) -> None:
        """See an entry that has become a dead letter, as its attempts are used up."""

    def left_out(self, destination: Destination, id_: str, name: str, status: str) -> None:
        """See an event that the destination does not take: "ignored" or "dropped"."""


class Watch:
    """The watchers of a collector's deliveries, mostly none; it hands outcomes on to them.

    Whoever has something to see asks `watchers` first, which costs next to nothing. Nothing is
    raised: outcomes stand, whatever watchers do. `counts` returns those of the sources at work
    beside it (`Figures`).
    """

    def __init__(self) -> None:
        self.watchers: tuple[Watcher, ...] = ()
        self.counts: Callable[[], Mapping[tuple[str, ...], float]] = dict
        self._lock = threading.Lock()

    def add(self, watcher: Watcher) -> None:
        """Have a watcher see outcomes from now on."""
        with self._lock:
            self.watchers = (*self.watchers, watcher)

    def remove(self, watcher: Watcher) -> None:
        """Have a watcher see nothing more."""
        with self._lock:
            self.watchers = tuple(item for item in self.watchers if item is not watcher)

    def dispatched(
        self,
        destination: Destination,
        consents: ConsentStore,
        tasks: Sequence[Task],
        seconds: float,
    ) -> None:
        for watcher in self.watchers:
            with suppress(Exception):
                watcher.dispatched(destination, consents, tasks, seconds)

    def held(
        self, destination: Destination, consents: ConsentStore, entries: Sequence[Entry]
    ) -> None:
        for watcher in self.watchers:
            with suppress(Exception):
                watcher.held(destination, consents, entries)

    def died(self, destination: Destination, entry: Entry, reason: str) -> None:
        for watcher in self.watchers:
            with suppress(Exception):
                watcher.died(destination, entry, reason)

    def left_out(self, destination: Destination, id_: str, name: str, status: str) -> None:
        for watcher in self.watchers:
            with suppress(Exception):
                watcher.left_out(destination, id_, name, status)
