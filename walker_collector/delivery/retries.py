"""Entries that wait for a retry, until they are due and after."""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from attrs import Factory, define

from walker_collector.spool import Entry


@define(eq=False)
class Retries:
    """Retries by the time they are due.

    Those that are due are not mixed with new entries, as retries that are slow to fail must not
    keep the others waiting. Their people stay busy.
    """

    later: list[tuple[int, int, Entry]] = Factory(list)
    """A heap of time due (ms), number, and entry."""
    due: deque[Entry] = Factory(deque)
    """Retries that may be taken."""

    def __len__(self) -> int:
        return len(self.later) + len(self.due)

    def __iter__(self) -> Iterator[Entry]:
        yield from (entry for _, _, entry in self.later)
        yield from self.due

    @property
    def next_due(self) -> int | None:
        """The time of the next retry (ms), or None."""
        return self.later[0][0] if self.later else None

    def add(self, due: int, entry: Entry) -> None:
        """Try a taken entry again at `due` (ms); its person stays busy until then."""
        heapq.heappush(self.later, (due, entry[0], entry))

    def wake(self, now: int, is_overtaken: Callable[[Entry], bool]) -> list[Entry]:
        """Make retries due at `now` (ms); return those removed, which `is_overtaken`."""
        overtaken: list[Entry] = []
        while self.later and self.later[0][0] <= now:
            entry = heapq.heappop(self.later)[2]
            (overtaken if is_overtaken(entry) else self.due).append(entry)
        return overtaken

    def remove(self, wanted: Callable[[Entry], bool]) -> list[Entry]:
        """Remove and return the entries for which `wanted` is true."""
        removed = [entry for entry in self if wanted(entry)]
        self.later = [item for item in self.later if not wanted(item[2])]
        heapq.heapify(self.later)
        self.due = deque(entry for entry in self.due if not wanted(entry))
        return removed


@define
class RetryTurns:
    """Gives retries every other turn, and at most `limit` threads at a time.

    For destinations that get one event per call: otherwise a few people with events that are slow
    to fail would occupy all threads.
    """

    limit: int
    _in_flight: set[int] = Factory(set)
    _was_retry: bool = False

    def next(self, any_ready: bool, any_due: bool) -> bool:
        """Return whether a retry is next, given whether events are ready and retries due."""
        return any_due and len(self._in_flight) < self.limit and not (any_ready and self._was_retry)

    def taken(self, entries: Iterable[Entry]) -> None:
        """Note that these retries were taken."""
        self._was_retry = True
        self._in_flight.update(entry[0] for entry in entries)

    def taken_ready(self) -> None:
        """Note that ready events were taken."""
        self._was_retry = False

    def settled(self, entry: Entry) -> None:
        """Note that the outcome of an entry is settled."""
        self._in_flight.discard(entry[0])
