"""Space on disk: the write-ahead log, free pages, and copies of deleted rows.

SQLite writes a log back into the database on the thread that commits, and every other thread
waits for its fsync: tens of milliseconds. So a thread that has time does most of it here, while
others go on writing. They wait for the end alone, which must find the log complete: else it would
never begin anew.
"""

import contextlib
import os
import sqlite3
import threading
from pathlib import Path
from typing import Final

from walker_collector.errors import SpoolError
from walker_collector.spool.sqlite.group_commit import GroupCommit, try_scrub
from walker_collector.spool.sqlite.schema import LONG_LOG, PAGE

_FEW: Final = 2_000
"""Events. With fewer left, a file that was large gives its free pages back."""
_FREE: Final = range(500, 2_000)
"""Pages that may be free: later events use them again."""
_CHECKED_EVERY: Final = 1_000_000
"""Bytes that may change before the free pages are counted again; 2,000 pages are eight times that.
"""
_VACUUM_PAGES: Final = 200
_VACUUM_STEPS: Final = 500
"""Steps of that many pages, half a millisecond each: writers get in between, and deliveries wait
for no more than all of them."""
COMPACTED_IN_MEMORY: Final = 64 * 1024 * 1024
"""Bytes of a database up to which a copy of it is made in memory."""


class Checkpointer:
    """Keeps the files of a spool short, beside the thread that commits.

    `connection` is for this alone, `descriptor` one of the database, None if it is read-only.
    `turn` is held while the files are being shortened.
    """

    def __init__(
        self, commits: GroupCommit, connection: sqlite3.Connection, descriptor: int | None
    ) -> None:
        self.connection = connection
        self.turn = threading.Lock()
        self._commits = commits
        self.descriptor = descriptor
        self._had_many = True
        self._checked_at = 0

    def maintain(self) -> None:
        """Give free pages back to the file system if few events are left; keep the log short.

        Called after deletions, which are committed whatever happens here: a failure is left to the
        next call.
        """
        may_shrink, is_long = self._may_shrink(), self._commits.grown >= LONG_LOG
        if not (may_shrink or is_long):
            return
        with contextlib.suppress(SpoolError):
            if may_shrink and self._commits.alone(_free_pages) >= _FREE.stop:
                self._shrink()
            if is_long:
                self.write_back()

    def _may_shrink(self) -> bool:
        """Return whether free pages are worth counting, which costs a query after each batch."""
        commits = self._commits
        if commits.page.events >= _FEW:
            self._had_many = True
            return False
        if not self._had_many and abs(commits.grown - self._checked_at) < _CHECKED_EVERY:
            return False
        self._had_many = False
        self._checked_at = commits.grown
        return True

    def _shrink(self) -> None:
        steps = _VACUUM_STEPS
        while steps and self._commits.alone(_vacuum) >= _FREE.start:
            steps -= 1
        self.write_back()

    def write_back(self) -> None:
        """Write the log back into the database, unless another thread does so already."""
        if self.descriptor is None or self.turn.locked():
            return
        with self.turn:
            self._commits.grown = 0
            # A part that cannot be written back now stays in the log, where it is safe.
            with contextlib.suppress(sqlite3.Error, SpoolError, OSError):
                _checkpoint(self.connection)
                os.fsync(self.descriptor)
                self._commits.alone(_checkpoint)

    def scrub(self) -> bool:
        """Empty the log, so that no copy of deleted rows is left in it; return whether it is empty.

        Does not wait for its readers, as every writer would have to wait as well. Raises
        SpoolError.
        """
        with self.turn:
            emptied: bool = self._commits.alone(try_scrub)
        return emptied

    def compact(self, folder: Path) -> None:
        """Write the database anew, with the stored rows alone.

        SQLite overwrites deleted rows, but may leave a copy where it has moved rows before. Takes
        as much room again while it is at work: of a small database in memory, of a large one in a
        nameless file in `folder`. Raises SpoolError.
        """
        with self.turn:
            self._commits.alone(lambda db: _compact(db, folder))


def _checkpoint(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _free_pages(db: sqlite3.Connection) -> int:
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    return int(free)


def _vacuum(db: sqlite3.Connection) -> int:
    """Give some free pages back to the file system. Return the number that is left."""
    # execute() would take one step, which frees one page; executescript() runs to the end.
    db.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
    return _free_pages(db)


def _compact(db: sqlite3.Connection, folder: Path) -> None:
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    if pages * PAGE > COMPACTED_IN_MEMORY:
        # Without this the copy would be on the disk of /var/tmp.
        name = str(folder).replace("'", "''")
        db.execute(f"PRAGMA temp_store_directory = '{name}'")
        if db.execute("PRAGMA temp_store_directory").fetchall():  # not in every build of SQLite
            db.execute("PRAGMA temp_store = FILE")
    db.execute("VACUUM")
    try_scrub(db)
