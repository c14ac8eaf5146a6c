"""Sharing of live figures and samples with viewers in other processes."""

import threading
import time
from importlib import import_module
from typing import Final

from walker_collector.delivery.workers import DestinationWorkers
from walker_collector.errors import SpoolError
from walker_collector.moments import now_ms
from walker_collector.spool import DurableSpool

_PUBLISHER: Final = "walker_collector.inspector.publisher"
_INTERVAL: Final = 1.0
_AFTER_ERROR: Final = 10.0
"""Seconds from one question for viewers to the next."""
_JOIN: Final = 5.0


class Sharing:
    """Asks for viewers once a second, and publishes on a thread while there are any."""

    def __init__(self, spool: DurableSpool, workers: DestinationWorkers) -> None:
        self._spool = spool
        self._workers = workers
        self._table = spool.sample_table
        self._until = 0
        self._next = 0.0
        self._has_cleared = False
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def look(self) -> None:
        """Begin to publish if there is a viewer. Called several times a second, and asks seldom."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _INTERVAL
        try:
            self._until = self._table.watched_until()
            self._clear_leftovers()
        except SpoolError:  # whoever needs the spool for more has it in the log
            self._next = now + _AFTER_ERROR
            return
        is_publishing = self._thread is not None and self._thread.is_alive()
        if self.is_watched() and not is_publishing and not self._over.is_set():
            self._thread = threading.Thread(
                target=self._publish, name="walker-publisher", daemon=True
            )
            self._thread.start()

    def _clear_leftovers(self) -> None:
        """Delete samples of earlier processes, which were killed together with their viewer."""
        if not self._has_cleared and not self.is_watched() and self._table.newest():
            self._table.clear()
        self._has_cleared = True

    def is_watched(self) -> bool:
        """Return whether there is a viewer, as far as this process knows."""
        return now_ms() < self._until

    def _publish(self) -> None:
        # By its name, as it stands above this layer; and a process that nobody watches need not
        # import it.
        publisher = import_module(_PUBLISHER)
        publisher.publish_while_watched(self._spool, self._workers, self.is_watched, self._over)

    def close(self) -> None:
        """Publish nothing more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(_JOIN)
