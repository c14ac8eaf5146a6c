"""The turns of retries and fresh events, where each event is a call of its own."""

from collections.abc import Iterable

from attrs import Factory, define

from walker_collector.spool import Entry


@define
class RetryTurns:
    """Gives retries every other turn, and at most `limit` threads at a time.

    A few people whose events are slow to fail would otherwise take all threads.
    """

    limit: int
    _under_way: set[int] = Factory(set)
    _was_retry: bool = False

    def next(self, any_ready: bool, any_due: bool) -> bool:
        """Return whether a retry is next, where events are ready, or retries due, or not."""
        return any_due and len(self._under_way) < self.limit and not (any_ready and self._was_retry)

    def taken(self, entries: Iterable[Entry]) -> None:
        """Note retries that were taken."""
        self._was_retry = True
        self._under_way.update(entry[0] for entry in entries)

    def taken_ready(self) -> None:
        """Note that ready events were taken."""
        self._was_retry = False

    def settled(self, entry: Entry) -> None:
        """Note that the outcome of an entry is settled."""
        self._under_way.discard(entry[0])
