"""The watcher: sees commits of other processes."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from walker_collector.spool.processes.page import SharedPage

_BUSY: Final = 0.002
_IDLE: Final = 0.01
"""Seconds between looks, while others write and after a while of silence. A look reads one word
of shared memory."""
_CALM: Final = 1.0
"""Seconds of silence after which looks are rarer; and the longest between two looks at the disk,
in case a writer was killed between its commit and the word."""
_JOIN: Final = 10.0

logger = logging.getLogger("walker_collector")


class Watcher:
    """Calls `on_change` after commits of any process, on a thread of its own.

    What has changed is for `on_change` to find out: it may be nothing.
    """

    def __init__(self, page: SharedPage, on_change: Callable[[], None]) -> None:
        self._page = page
        self._on_change = on_change
        self._over = threading.Event()
        self._seen = page.commits
        self._looked = self._changed = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="walker-watcher", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(_BUSY if self._is_busy() else _IDLE):
            try:
                self._look()
            except Exception:  # the spool cannot be read just now: the next look is soon
                logger.exception("spool: what other processes have written could not be read")
                self._over.wait(_CALM)

    def _is_busy(self) -> bool:
        return time.monotonic() - self._changed < _CALM

    def _look(self) -> None:
        now, commits = time.monotonic(), self._page.commits
        if commits != self._seen:
            self._seen, self._changed = commits, now
        elif now - self._looked < _CALM:
            return
        self._looked = now
        self._on_change()

    def close(self) -> None:
        """Stop looking."""
        self._over.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN)
