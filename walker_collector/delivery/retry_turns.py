"""Turns between retries and new events, for destinations that get one event per call."""

from collections.abc import Iterable

from attrs import Factory, define

from walker_collector.spool import Entry


@define
class RetryTurns:
    """Gives retries every other turn, and at most `limit` threads at a time.

    Otherwise a few people with events that are slow to fail would occupy all threads.
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
