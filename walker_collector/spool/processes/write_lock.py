"""The lock around writes: one process at a time, the others wait for it."""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from walker_collector.errors import SpoolError
from walker_collector.spool.processes.files import (
    beside,
    is_at,
    open_file,
    require_locks,
    try_lock,
    unlock,
)
from walker_collector.spool.processes.page import SharedPage

_FIRST_PAUSE: Final = 0.000_05
_LONGEST_PAUSE: Final = 0.001
"""Seconds between tries. A commit takes a tenth of a millisecond; SQLite's own wait for another
process looks again after up to 100 ms."""


class WriteLock:
    """Lets one process write at a time. Not for several threads of a process at once: they take
    turns before they ask for it.

    `bound` is how long (s) to wait for other processes. The lock goes with the process, however
    it ends. `page` has the figures that the processes share. `on_killed` is called, with the lock
    held, where the writer before was killed while it wrote.
    """

    def __init__(
        self, spool: Path, bound: float, on_killed: Callable[[], None] = lambda: None
    ) -> None:
        require_locks(spool)
        self.path = beside(spool, "write")
        self._spool = spool
        self._bound = bound
        self._on_killed = on_killed
        self._token = 1 + secrets.randbits(62)
        self._file = open_file(spool, self.path)
        try:
            # Another open file: the map keeps a copy of its descriptor, which must not be locked.
            file = open_file(spool, self.path)
            try:
                self.page = SharedPage(file)
            finally:
                os.close(file)
        except BaseException:
            os.close(self._file)
            raise

    @contextmanager
    def held(self) -> Iterator[SharedPage]:
        """Have the lock inside the block; raises SpoolError where others keep it too long."""
        try:
            if not try_lock(self._file):
                self._wait()
            killed = self.page.writer != 0
            self.page.begin(self._token, os.getpid())
            if killed:
                self._on_killed()
            yield self.page
        finally:
            # Also where a signal handler has raised before it was known that the lock is ours:
            # to unlock what is not locked does nothing.
            if self.page.writer == self._token:
                self.page.end()
            unlock(self._file)

    def _wait(self) -> None:
        deadline = time.monotonic() + self._bound
        pause = _FIRST_PAUSE
        while not try_lock(self._file):
            if time.monotonic() >= deadline:
                raise SpoolError(
                    f"spool {self._spool}: process {self.page.pid} has been writing for "
                    f"{self._bound * 1000:,.0f} ms (collector.queueWait); see whether it is "
                    "stopped, or its disk slow"
                )
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    @property
    def is_replaced(self) -> bool:
        """Whether somebody has deleted the lock file: others would lock a new one."""
        return not is_at(self._file, self.path)

    def close(self) -> None:
        """Close the files. In a forked child too: the parent's lock stays the parent's."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            self.page.close()
