"""Whether this process opens a spool that no other has open."""

import os
from pathlib import Path

from walker_collector.spool.processes.files import (
    is_at,
    lock_shared,
    locks_folder,
    open_file,
    try_lock,
)


class Presence:
    """A lock that every process with the spool open shares. Made under the write lock.

    `is_first`: no other process had the spool open, so that this one checks the file.
    """

    def __init__(self, spool: Path) -> None:
        self._path = locks_folder(spool) / "open"
        self._lock_file = open_file(spool, self._path)
        try:
            self.is_first = try_lock(self._lock_file)
            lock_shared(self._lock_file)
        except BaseException:
            os.close(self._lock_file)
            raise

    @property
    def is_replaced(self) -> bool:
        """Whether somebody has deleted the lock file: others would lock a new one."""
        return not is_at(self._lock_file, self._path)

    def close(self) -> None:
        """Close the file. In a forked child too: the parent's lock stays the parent's."""
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1
