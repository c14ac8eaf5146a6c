"""Spool updates of one destination, and those that are not written yet."""

import threading
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from walker_collector.delivery.log_limiter import LogLimiter
from walker_collector.delivery.window import SpoolWindow
from walker_collector.errors import SpoolError
from walker_collector.spool import Entry, Spool, SpoolUpdate, UpdateKind

_ENDS: Final = (UpdateKind.ACKED, UpdateKind.DEAD)


class UnackedUpdates:
    """Writes updates to the spool, and keeps those that fail for the next write.

    The spool is written without the lock: it hands over new entries while it writes, and they
    need the lock.
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
        self.updates: list[SpoolUpdate] = []
        """Updates for the next write."""
        self.writing = threading.RLock()
        """Held while memory and spool differ; never waited for under `lock`. An erasure takes its
        counts from the spool, and so needs both to be the same."""
        self._rewritten: list[SpoolUpdate] = []
        """Kept updates that are being written."""
        self._acks = 0
        """Acknowledgements that differ in memory and spool without holding `writing`."""
        self._is_in_step = False
        self._acks_ended = threading.Condition(lock)

    def add(self, updates: Iterable[SpoolUpdate]) -> None:
        """Keep updates for the next write."""
        self.updates += updates

    def write(self, updates: Iterable[SpoolUpdate] = ()) -> None:
        """Write the kept updates, then these; if that fails, keep all of them."""
        with self.writing:
            try:
                self._write(updates)
            except SpoolError as error:
                self._log.error("destination %s: %s", self._destination, error)

    @contextmanager
    def none_kept(self) -> Iterator[None]:
        """Write the kept updates; inside the block no older update of an entry in flight is left.

        Raises SpoolError if they cannot be written; they are kept.
        """
        with self._lock:
            alone = bool(self.updates or self._rewritten)
        if not alone:  # without `writing`, so that the commits of several threads are one
            yield
            return
        with self.writing:
            self._write(())
            yield

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Write the kept updates; memory and spool are the same inside the block."""
        with self.writing:
            with self._acks_ended:
                self._is_in_step = True
                self._acks_ended.wait_for(lambda: not self._acks)
            try:
                self.write()
                yield
            finally:
                with self._lock:
                    self._is_in_step = False

    def _write(self, updates: Iterable[SpoolUpdate]) -> None:
        with self._lock:
            written = [*self.updates, *updates]
            self._rewritten, self.updates = self.updates, []
            # A release must be on disk before more entries are read from there, or it is missed. So
            # must any update of an entry that is still to be read, or it is read as it was.
            releases = any(
                update.kind is UpdateKind.RELEASED or update.entry[0] > self._window.loaded_up_to
                for update in written
            )
            if releases:
                self._window.pause_refill()
        if not written:
            return
        try:
            self._spool.settle(self._destination, written)
        except BaseException:  # SpoolError, or a signal handler raised
            with self._lock:  # in front of those added since, which may be about the same entries
                self.updates = [*written, *self.updates]
            raise
        finally:
            with self._lock:
                self._rewritten = []
            if releases:
                self.resume_refill()

    def ack(self, entries: list[Entry], settle: Callable[[], None]) -> None:
        """Acknowledge delivered entries, then `settle` them in memory: the fast twin of `write`.

        Threads do so at the same time, so that their commits are one; only while memory and spool
        must be the same does each wait for `writing`.
        """
        with self._lock:
            alone = self._is_in_step or bool(self.updates)
            self._acks += not alone
        if alone:
            with self.writing:
                self.write(SpoolUpdate(entry, UpdateKind.ACKED) for entry in entries)
                settle()
            return
        try:
            self._ack(entries)
            settle()
        finally:
            with self._lock:
                self._acks -= 1
                if self._is_in_step:
                    self._acks_ended.notify_all()

    def _ack(self, entries: list[Entry]) -> None:
        try:
            if self._spool.durable:
                self._spool.ack(self._destination, entries)
        except SpoolError as error:
            self._log.error("destination %s: %s", self._destination, error)
            with self._lock:
                self.updates += [SpoolUpdate(entry, UpdateKind.ACKED) for entry in entries]

    def resume_refill(self) -> None:
        """Allow reading from the spool again, and wake a worker if there is more to read."""
        with self._lock:
            if self._window.resume_refill():
                self._on_refill_resumed()

    def any_beyond(self, seq: int) -> bool:
        """Return whether an entry above this number is not on disk as it is in memory."""
        return any(update.entry[0] > seq for update in self.updates)

    def drop(self, seqs: Container[int]) -> dict[int, UpdateKind]:
        """Drop the updates of these entries; return the kinds of those that end one for good."""
        dropped = [update for update in self.updates if update.entry[0] in seqs]
        self.updates = [update for update in self.updates if update.entry[0] not in seqs]
        return {update.entry[0]: update.kind for update in dropped if update.kind in _ENDS}

    @property
    def count(self) -> int:
        """The number of entries that have left the queue for good, unknown to the spool."""
        kept = [*self._rewritten, *self.updates]
        return len({update.entry[0] for update in kept if update.kind in _ENDS})
