"""The updates of one destination that the spool does not have yet."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from walker_collector.delivery.log_limiter import LogLimiter
from walker_collector.delivery.window import SpoolWindow
from walker_collector.errors import SpoolError
from walker_collector.spool import Change, Entry, Spool, State


class UnackedUpdates:
    """Writes updates to the spool; those it cannot take now go with the next write.

    The spool is written without the lock: it hands over new entries while it is writing, so waiting
    for it under the lock would be a deadlock.
    """

    def __init__(
        self,
        spool: Spool,
        destination: str,
        lock: threading.RLock,
        window: SpoolWindow,
        on_refill_resumed: Callable[[], None],
        log: LogLimiter,
    ) -> None:
        self._spool = spool
        self._destination = destination
        self._lock = lock
        self._window = window
        self._on_refill_resumed = on_refill_resumed
        self._log = log
        self._updates: list[Change] = []
        self.writing = threading.RLock()
        """Held while memory is ahead of the spool, or it of memory; never waited for under `lock`.
        An erasure counts what it removes by the spool, when both say the same."""

    def __bool__(self) -> bool:
        return bool(self._updates)

    def add(self, updates: Iterable[Change]) -> None:
        """Keep updates for the next write."""
        self._updates += updates

    def write(self, updates: Iterable[Change] = ()) -> None:
        """Write these updates, and before them all that are kept."""
        with self.writing:
            self._write(updates)

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Write the updates that are kept; memory and spool say the same meanwhile."""
        with self.writing:
            self._write(())
            yield

    def _write(self, updates: Iterable[Change]) -> None:
        with self._lock:
            changes = [*self._updates, *updates]
            self._updates = []
            # A release must be on disk before more is read from there, or it would be passed over.
            releases = any(change.released for change in changes)
            if releases:
                self._window.pause_refill()
        if not changes:
            return
        try:
            self._spool.settle(self._destination, changes)
        except BaseException as error:
            with self._lock:
                self._updates = [*changes, *self._updates]
            if not isinstance(error, SpoolError):
                raise  # a signal handler raised
            self._log.error("destination %s: %s", self._destination, error)
        finally:
            if releases:
                self.resume_refill()

    def ack(self, entries: list[Entry]) -> None:
        """Write that entries were delivered, as most are."""
        if self._updates:
            self.write(Change(entry, None) for entry in entries)
            return
        try:
            self._spool.finish(self._destination, entries)
        except SpoolError as error:
            self._log.error("destination %s: %s", self._destination, error)
            with self._lock:
                self._updates += [Change(entry, None) for entry in entries]

    def resume_refill(self) -> None:
        """Allow reading from the spool again; have a worker look, where there is more."""
        with self._lock:
            if self._window.resume_refill():
                self._on_refill_resumed()

    def releases_beyond(self, seq: int) -> bool:
        """Tell whether an entry above this number is still held on disk, but not in memory."""
        return any(change.released and change.entry[0] > seq for change in self._updates)

    @property
    def count(self) -> int:
        """How many entries have left the queue for good, unknown to the spool."""
        gone = (None, State.DEAD)
        return len({change.entry[0] for change in self._updates if change.state in gone})
