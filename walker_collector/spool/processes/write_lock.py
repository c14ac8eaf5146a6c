"""The lock around writes: one process at a time, the others wait for it."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from walker_collector.spool.processes.files import (
    TRY,
    UNLOCK,
    SpoolBusy,
    flock,
    is_at,
    locks_folder,
    open_file,
    try_lock,
    unlock,
    unwritable,
)
from walker_collector.spool.processes.page import (
    COMMITS,
    NAPPER,
    WRITER,
    SharedPage,
    new_token,
)

_PAUSE: Final = 0.000_1
"""Seconds between tries. A commit takes a tenth of a millisecond; SQLite's own wait for another
process looks again after up to 100 ms. Always the same: with growing pauses, who has waited long
would look the more rarely, and those who come would go first. Whoever waits in the kernel (a
blocking `flock`) is overtaken as well, and cannot stop."""
_SOON: Final = 0.05
_LONG_PAUSE: Final = 0.001
"""Seconds between tries after so many seconds: the writer is stopped, or its disk slow."""
_SEVERAL: Final = -1
"""Stands in NAPPER for the tokens of several processes."""


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
        self.path = locks_folder(spool) / "write"
        self._spool = spool
        self.bound = bound
        self._on_killed = on_killed
        self._token = new_token()
        self._foreign = False
        self._lock_file = open_file(spool, self.path)
        try:
            # Another open file: the map keeps a copy of its descriptor, which must not be locked.
            file = open_file(spool, self.path)
            try:
                self.page = SharedPage(file)
            except OSError as error:
                raise unwritable(spool, self.path, error) from None
            finally:
                os.close(file)
        except BaseException:
            os.close(self._lock_file)
            raise
        self._last = self.page.commits
        self.since = 0.0
        """When (monotonic) the thread that asks for it next has begun to wait; 0.0: it does now."""

    def __enter__(self) -> SharedPage:
        """Have the lock inside the block; raises SpoolError where others keep it too long."""
        # In one piece, as every commit comes by here: calls are what costs.
        try:
            if flock(self._lock_file, TRY) != 0:
                self._wait()
            words = self.page.words
            killed = words[WRITER] > 0
            if words[COMMITS] != self._last or killed:
                self._foreign = True
            words[WRITER] = self._token
            if killed:
                self._on_killed()
        except BaseException:
            self.__exit__()
            raise
        return self.page

    def __exit__(self, *_: object) -> None:
        # Also where a signal handler has raised before it was known that the lock is ours: to
        # unlock what is not locked does nothing.
        try:
            words, token = self.page.words, self._token
            if words[WRITER] == token:
                self._last = words[COMMITS] = words[COMMITS] + 1
                words[WRITER] = -token
                napper = words[NAPPER]
                if napper != 0 and napper != token:
                    words[NAPPER] = 0
                    self.page.wake()
        finally:
            if flock(self._lock_file, UNLOCK) != 0 and self._lock_file >= 0:
                unlock(self._lock_file)  # it raises what is wrong

    def _wait(self) -> None:
        if self._lock_file < 0:
            raise SpoolBusy(f"spool {self._spool}: it is closed")
        began = time.monotonic()
        deadline = (self.since or began) + self.bound
        while not try_lock(self._lock_file):
            now = time.monotonic()
            if now >= deadline:
                raise SpoolBusy(
                    f"spool {self._spool}: process {self.page.pid} has been writing for "
                    f"{self.bound * 1000:,.0f} ms (collector.queueWait); see whether it is "
                    "stopped, or its disk slow"
                )
            time.sleep(_PAUSE if now - began < _SOON else _LONG_PAUSE)

    def nap(self) -> int | None:
        """Have the next commit of another process wake those that wait for one.

        Return the number of commits so far, which to wait with; None if there is something to see,
        or somebody writes. Call it as one of the threads that take turns.
        """
        if flock(self._lock_file, TRY) != 0:
            return None
        try:
            words = self.page.words
            if words[WRITER] > 0:  # its writer was killed, and nobody has written since
                with self:
                    return None
            if self._foreign or words[COMMITS] != self._last:
                return None
            # The commits of this process alone wake nobody, as long as nobody else naps.
            words[NAPPER] = self._token if words[NAPPER] in (0, self._token) else _SEVERAL
            return words[COMMITS]
        finally:
            flock(self._lock_file, UNLOCK)

    def take_foreign(self) -> bool:
        """Return, once, whether another process has written."""
        # Nothing is called between these lines, so that no other thread runs.
        commits = self.page.words[COMMITS]
        foreign = self._foreign or commits != self._last
        self._foreign, self._last = False, commits
        return foreign

    @property
    def is_replaced(self) -> bool:
        """Whether somebody has deleted the lock file: others would lock a new one."""
        return not is_at(self._lock_file, self.path)

    def close(self) -> None:
        """Close the files. In a forked child too: the parent's lock stays the parent's."""
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1
            self.page.close()


class NoLock:
    """Stands for the lock of a spool that is only read."""

    since = 0.0

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
