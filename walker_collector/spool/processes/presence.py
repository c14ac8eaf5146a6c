"""Whether this process opens a spool that no other has open."""

import os
from pathlib import Path

from walker_collector.spool.processes.files import lock_shared, locks_folder, open_file, try_lock


class Presence:
    """A lock that every process with the spool open shares. Made under the write lock.

    `is_first`: no other process had the spool open, so that this one checks the file.
    """

    def __init__(self, spool: Path) -> None:
        self._lock_file = open_file(spool, locks_folder(spool) / "open")
        try:
            self.is_first = try_lock(self._lock_file)
            lock_shared(self._lock_file)
        except BaseException:
            os.close(self._lock_file)
            raise

    def close(self) -> None:
        """Close the file. In a forked child too: the parent's lock stays the parent's."""
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1
