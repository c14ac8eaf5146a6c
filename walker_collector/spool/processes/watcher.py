"""The watcher: sees commits of other processes."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from walker_collector.spool.processes.write_lock import WriteLock

_HURRIED: Final = 0.002
_PAUSE: Final = 0.01
"""Seconds between looks while others write: of a process that delivers, and of any other. A look
reads two words of shared memory."""
_LOOKS: Final = 10
"""Looks without news after which the thread sleeps until a commit wakes it."""
_LONGEST: Final = 1.0
"""Seconds of the longest sleep, in case a writer was killed before it woke anybody; and the pause
after an error."""
_JOIN: Final = 10.0
_JOIN_STEP: Final = 0.01

logger = logging.getLogger("walker_collector")


class Watcher:
    """Calls `on_change` after commits of other processes, on a thread of its own.

    What has changed is for `on_change` to find out: it may be nothing. `turn` is that of the
    threads that write; `is_hurried` tells whether to look often.
    """

    def __init__(
        self,
        lock: WriteLock,
        turn: threading.Lock,
        on_change: Callable[[], None],
        is_hurried: Callable[[], bool] = lambda: True,
    ) -> None:
        self._lock = lock
        self._write_turn = turn
        self._on_change = on_change
        self._is_hurried = is_hurried
        self._over = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="walker-watcher", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def _run(self) -> None:
        silent = 0
        while not self._over.is_set():
            try:
                silent = 0 if self._look() else silent + 1
                if silent < _LOOKS or not self._sleep():
                    self._over.wait(_HURRIED if self._is_hurried() else _PAUSE)
            except Exception:  # the spool cannot be read just now: the next look is soon
                logger.exception("spool: what other processes have written could not be read")
                self._failed = True
                self._over.wait(_LONGEST)

    def _look(self) -> bool:
        """Return whether other processes have written."""
        if not (self._lock.take_foreign() or self._failed):
            return False
        self._on_change()
        self._failed = False
        return True

    def _sleep(self) -> bool:
        """Sleep until another process writes; return False if that cannot be now, or here."""
        if not self._write_turn.acquire(blocking=False):
            return False
        try:
            commits = self._lock.nap()
        finally:
            self._write_turn.release()
        return commits is not None and self._lock.page.wait(commits, _LONGEST)

    def close(self) -> None:
        """Stop looking."""
        self._over.set()
        if self._thread is threading.current_thread():
            return
        left = _JOIN
        while self._thread.is_alive() and left > 0:  # it may be just about to sleep
            self._lock.page.wake()
            self._thread.join(_JOIN_STEP)
            left -= _JOIN_STEP
