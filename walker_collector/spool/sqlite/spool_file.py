"""The files of a spool: the database, and SQLite's connections to it."""

import contextlib
import os
import sqlite3
import stat
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from walker_collector.errors import SpoolError
from walker_collector.spool.sqlite.schema import blank, has_tables
from walker_collector.text import get_logger

_CHECKED_EVERY: Final = 0.02
"""Seconds between two looks at the paths of a file in use."""
_SMALLEST: Final = 512
"""Bytes of the smallest database: one page of the smallest size that SQLite knows."""
_NO_HEADER: Final = bytes(4)

logger = get_logger("walker_collector")

_Identity = tuple[int, int]

_shared: Final[dict[_Identity, tuple[int, int]]] = {}
"""A descriptor of each open database, by device and inode, and the number of its users."""
_sharing: Final = threading.Lock()


def _open_once(path: Path, identity: _Identity) -> int:
    """Open a database, unless it is open already.

    A process that closes any descriptor of a file loses the locks that SQLite has on it: so there
    is one, open before any connection and until after the last.
    """
    with _sharing:
        descriptor, users = _shared.get(identity, (-1, 0))
        if not users:
            descriptor = os.open(path, os.O_RDWR)
        _shared[identity] = (descriptor, users + 1)
        return descriptor


def _close_last(identity: _Identity) -> None:
    with _sharing:
        descriptor, users = _shared.pop(identity)
        if users > 1:
            _shared[identity] = (descriptor, users - 1)
        else:
            os.close(descriptor)


class SpoolFile:
    """Opens a database that other processes may have open as well.

    Raises SpoolError if the file cannot be used.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self.real = Path(os.path.realpath(path))  # SQLite's own files and the locks are beside it
        self._opened = ExitStack()
        self._log: int | None = None
        self._emptied = ""
        self._checked_at = 0.0
        self.descriptor = self._open()

    def _open(self) -> int | None:
        """Open the file itself, in order to synchronise it; None if it is read-only."""
        try:
            self._check_kind()
            if self.read_only:
                return None
            self._create()
            self._identity = _identity(os.stat(self.real))
            descriptor = _open_once(self.real, self._identity)
        except FileNotFoundError:
            raise SpoolError(f"spool {self.path}: no such file") from None
        except OSError as error:
            raise SpoolError(
                f"spool {self.path}: unable to open: {error.strerror}; give the process a folder "
                "and file that it may write to"
            ) from error
        self._opened.callback(_close_last, self._identity)
        self._keep_private()
        return descriptor

    def _create(self) -> None:
        """Make a new file with its owner's permissions alone, whatever the process allows.

        SQLite gives the files that it makes beside it the same ones.
        """
        with contextlib.suppress(FileExistsError):
            created = os.open(self.real, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.fchmod(created, 0o600)
            finally:
                os.close(created)

    def _keep_private(self) -> None:
        """Take the permissions of others away from files that were there before."""
        for file in (self.real, *(Path(f"{self.real}{end}") for end in ("-wal", "-shm"))):
            try:
                mode = file.lstat().st_mode
                if stat.S_ISREG(mode) and mode & 0o077:
                    file.chmod(0o600)
            except FileNotFoundError:
                continue
            except OSError as error:
                logger.warning(
                    "spool %s: others may read or write %s, and that cannot be changed: %s",
                    self.path,
                    file.name,
                    error.strerror,
                )

    def _check_kind(self) -> None:
        """Raise SpoolError for a folder, pipe or device, before anything waits for it."""
        try:
            status = self.real.stat()
        except FileNotFoundError:
            if self.read_only:
                raise
            return
        if not stat.S_ISREG(status.st_mode):
            raise SpoolError(
                f"spool {self.path}: unable to open: it is not a regular file; choose another path"
            )
        if status.st_nlink > 1:
            raise SpoolError(
                f"spool {self.path}: the file has another name (a hard link), under which SQLite "
                "would keep another log; remove one of them, or link it symbolically"
            )
        if status.st_size == 0:
            self._check_emptied()

    def _check_emptied(self) -> None:
        """Raise SpoolError if an empty file has a log, which SQLite would delete.

        A process that ended just after it had made the file leaves an empty one, too.
        """
        log = Path(f"{self.real}-wal")
        if log.exists() and log.stat().st_size:
            raise SpoolError(
                f"spool {self.path}: the file was emptied, but {log.name} was not; restore the "
                "file, or move both away to start a new spool"
            )
        logger.warning(
            "spool %s: the file is empty; if it had events, somebody has emptied it, and they are "
            "lost",
            self.path,
        )

    def connect(self) -> sqlite3.Connection:
        """Open a connection to the database, closed with the file. Raises sqlite3.Error."""
        connection = sqlite3.connect(
            f"{self.real.as_uri()}?mode={'ro' if self.read_only else 'rw'}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10,
        )
        self._opened.callback(connection.close)
        if self.read_only and not has_tables(connection):
            connection = blank()
            self._opened.callback(connection.close)
        return connection

    def check(self) -> None:
        """Raise SpoolError if the database or its log is not at its path any more, or was emptied.

        Whatever was written to it from then on would end with this process.
        """
        if self.descriptor is None:  # read-only: SQLite refuses to write
            return
        # A look costs microseconds. What was accepted since the last one is delivered nevertheless.
        now = time.monotonic()
        if now - self._checked_at >= _CHECKED_EVERY:
            self._check_paths()
            self._checked_at = now

    def is_in_place(self) -> bool:
        """Return whether the database is at its path, or was closed."""
        if self.descriptor is None:
            return True
        try:
            self._check_paths()
        except SpoolError:
            return False
        return True

    def is_at_path(self) -> bool:
        """Return whether the next process will find this database at its path."""
        try:
            found = os.stat(self.real)
        except OSError:
            return False
        return _identity(found) == self._identity and found.st_size >= _SMALLEST

    def _check_paths(self) -> None:
        try:
            found = os.stat(self.real)
        except OSError:
            raise self._lost("the file was deleted or moved") from None
        if _identity(found) != self._identity:
            raise self._lost("the file was deleted or replaced")
        if found.st_size < _SMALLEST:
            self._emptied = "the file was emptied"
        if self._log is None:
            self._log = self._open_log()
        elif os.fstat(self._log).st_nlink == 0:
            raise self._lost(f"{self.real.name}-wal was deleted")
        # SQLite itself empties its log, too, but begins it anew with a header.
        elif os.pread(self._log, len(_NO_HEADER), 0) == _NO_HEADER:
            self._emptied = f"{self.real.name}-wal was emptied"
        # For good: what SQLite writes next may fill the hole, but not with what was there.
        if self._emptied:
            raise self._lost(self._emptied)

    def _open_log(self) -> int | None:
        try:
            log = os.open(f"{self.real}-wal", os.O_RDONLY)
        except FileNotFoundError:  # made by the first write
            return None
        self._opened.callback(os.close, log)
        return log

    def _lost(self, reason: str) -> SpoolError:
        return SpoolError(
            f"spool {self.path}: {reason} while it was in use; this process can store nothing more "
            "in it: restart it"
        )

    def close(self) -> None:
        """Close everything."""
        self._opened.close()
        self.descriptor = None

    def reopen(self) -> None:
        """Open the file again after `close`; connections are to be made anew. Raises SpoolError."""
        self._log = None
        self.descriptor = self._open()


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino
