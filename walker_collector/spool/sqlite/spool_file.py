"""The files of a spool: the database, its lock, and SQLite's connections to it."""

import os
import sqlite3
import stat
from contextlib import ExitStack
from pathlib import Path

from walker_collector.errors import SpoolError
from walker_collector.spool.sqlite.lock import SpoolLock, keep_inherited
from walker_collector.spool.sqlite.schema import blank


class SpoolFile:
    """Holds a database of its own, or opens one read-only that another process may hold.

    Raises SpoolError if the file cannot be used.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self.real = Path(os.path.realpath(path))  # SQLite's own files and the lock are beside it
        self._opened = ExitStack()
        self._lock = None if read_only else SpoolLock(self.real)
        try:
            self.descriptor = self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> int | None:
        """Open the file itself, in order to synchronise it; None if it is read-only.

        A process that closes any descriptor of a file loses all its locks on it: this one is
        open before any connection, and until after the last.
        """
        try:
            self._check_kind()
            if self.read_only:
                return None
            descriptor = os.open(self.real, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            raise SpoolError(f"spool {self.path}: no such file") from None
        except OSError as error:
            raise SpoolError(
                f"spool {self.path}: unable to open: {error.strerror}; give the process a folder "
                "and file that it may write to"
            ) from error
        self._opened.callback(os.close, descriptor)
        return descriptor

    def _check_kind(self) -> None:
        """Raise SpoolError for a folder, pipe or device, before anything waits for it."""
        try:
            mode = self.real.stat().st_mode
        except FileNotFoundError:
            if self.read_only:
                raise
            return
        if not stat.S_ISREG(mode):
            raise SpoolError(
                f"spool {self.path}: unable to open: it is not a regular file; choose another path"
            )

    def connect(self) -> sqlite3.Connection:
        """Open a connection to the database, closed with the file. Raises sqlite3.Error."""
        if self.read_only and self.real.stat().st_size == 0:
            connection = blank()
        else:
            connection = sqlite3.connect(
                f"{self.real.as_uri()}?mode={'ro' if self.read_only else 'rw'}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=10,
            )
        self._opened.callback(connection.close)
        return connection

    def size(self) -> int:
        """Return the size of the database (bytes)."""
        return self.real.stat().st_size

    def close(self) -> None:
        """Close everything, and release the lock."""
        self._opened.close()
        if self._lock is not None:
            self._lock.release()

    def remove(self) -> None:
        """Close and delete the file. The lock goes last: whoever waits for it finds a new one."""
        self._opened.close()
        self.real.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.remove()

    def abandon(self) -> None:
        """Leave the parent's file alone in a forked child: nothing is used, nothing closed."""
        keep_inherited(self._opened)
        if self._lock is not None:
            self._lock.abandon()
