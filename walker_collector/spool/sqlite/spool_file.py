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
from walker_collector.spool.base import LeaseLost
from walker_collector.spool.processes.files import Loss
from walker_collector.spool.processes.presence import Presence
from walker_collector.spool.processes.write_lock import WriteLock
from walker_collector.spool.sqlite.failure import cannot_open, is_locked
from walker_collector.spool.sqlite.foreign import refuse_foreign
from walker_collector.spool.sqlite.schema import blank, has_tables
from walker_collector.text import get_logger

_CHECKED_EVERY: Final = 0.02
"""Seconds between two looks at the paths of a file in use."""
_PROBES: Final = 100
_PROBE_PAUSE: Final = 0.01
"""Seconds between looks whether a database is in use."""
_SMALLEST: Final = 512
"""Bytes of the smallest database: one page of the smallest size that SQLite knows."""
_NO_HEADER: Final = bytes(4)
_REPLACED: Final = "the file was deleted or replaced"

logger = get_logger("walker_collector")

_Identity = tuple[int, int]

_shared: Final[dict[_Identity, tuple[int, int]]] = {}
"""A descriptor of each open database, by device and inode, and the number of its users."""
_sharing: Final = threading.Lock()


def _open_once(path: Path, *, create: bool) -> tuple[int, _Identity]:
    """Open a database, unless it is open already; return the descriptor, and which file it is.

    A process that closes any descriptor of a file loses the locks that SQLite has on it: so there
    is one, open before any connection and until after the last. A new file has its owner's
    permissions alone, whatever the process allows, and SQLite's files beside it have the same.
    """
    with _sharing:
        descriptor = -1
        if create:
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
                os.fchmod(descriptor, 0o600)
        identity = _identity(os.stat(path))
        found, users = _shared.get(identity, (descriptor, 0))
        if found < 0:
            found = os.open(path, os.O_RDONLY if not create else os.O_RDWR)
        _shared[identity] = (found, users + 1)
        return found, identity


def read_beginning(path: Path, size: int) -> bytes:
    """Return the first bytes of a file, which may be a database that this process has open."""
    with _sharing:
        shared, _ = _shared.get(_identity(os.stat(path)), (-1, 0))
        if shared >= 0:
            return os.pread(shared, size, 0)
        with path.open("rb") as file:
            return file.read(size)


def _close_last(identity: _Identity) -> None:
    with _sharing:
        descriptor, users = _shared.pop(identity)
        if users > 1:
            _shared[identity] = (descriptor, users - 1)
        else:
            os.close(descriptor)


class SpoolFile:
    """Opens a database that other processes may have open as well.

    Raises SpoolError if the file cannot be used. `locks`: looked after together with the database.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self.real = Path(os.path.realpath(path))  # SQLite's own files and the locks are beside it
        self._opened = ExitStack()
        self.locks: list[WriteLock | Presence] = []
        self._log: int | None = None
        self._index: _Identity | None = None
        self._emptied = self._emptied_at_close = ""
        self._is_lost = False
        """Whether it was not in its place any more after a fork: then it is not open."""
        self._checked_at = 0.0
        self.descriptor = self._open()

    def _open(self) -> int | None:
        """Open the file itself, in order to synchronise it; None if it is read-only."""
        try:
            self._check_kind()
            descriptor, self._identity = _open_once(self.real, create=not self.read_only)
        except OSError as error:
            if self.read_only and isinstance(error, FileNotFoundError):
                raise SpoolError(f"spool {self.path}: no such file") from None
            raise cannot_open(self.path, error) from error
        self._opened.callback(_close_last, self._identity)
        if self.read_only:
            return None
        try:
            refuse_foreign(self.path, self.real, descriptor)
        except SpoolError:
            self._opened.close()
            raise
        self._keep_private()
        return descriptor

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
        """Raise SpoolError if an empty file has a log, which SQLite would delete."""
        log = Path(f"{self.real}-wal")
        if log.exists() and log.stat().st_size:
            raise SpoolError(
                f"spool {self.path}: the file was emptied, but {log.name} was not; restore the "
                "file, or move both away to start a new spool"
            )

    def connect(self) -> sqlite3.Connection:
        """Open a connection to the database, closed with the file. Raises sqlite3.Error."""
        if self._is_lost:
            connection = blank()
            self._opened.callback(connection.close)
            return connection
        connection = sqlite3.connect(
            self._uri("ro" if self.read_only else "rw"),
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

    def check_companions(self) -> None:
        """Raise SpoolError if SQLite's own files were deleted while other processes use them.

        SQLite would make new ones, and two logs of one database destroy it. Called by one process
        at a time, before it reads anything.
        """
        for _ in range(_PROBES):
            missing = self._missing_companions()
            if not missing or not self._is_in_use():
                return
            # A process that is just opening it, to read or after a fork, has not made them yet.
            time.sleep(_PROBE_PAUSE)
        raise SpoolError(
            f"spool {self.path}: {self.real.name}{missing[0]} was deleted while other processes "
            "use it; end them first"
        )

    def _missing_companions(self) -> list[str]:
        if os.stat(self.real).st_size == 0:
            return []  # it is new
        return [end for end in ("-wal", "-shm") if not os.path.exists(f"{self.real}{end}")]

    def _is_in_use(self) -> bool:
        """Return whether SQLite has the database open elsewhere."""
        with contextlib.closing(sqlite3.connect(self._uri("rw"), uri=True, timeout=0)) as probe:
            try:
                probe.execute("PRAGMA locking_mode = EXCLUSIVE")
                probe.execute("SELECT 1 FROM sqlite_master").fetchone()
            except sqlite3.DatabaseError as error:  # any other is told by whoever reads it next
                return is_locked(error)
        return False

    def _uri(self, mode: str) -> str:
        return f"{self.real.as_uri()}?mode={mode}"

    def check(self) -> None:
        """Raise SpoolError if a file of the spool is not at its path any more, or was emptied.

        Whatever was written to it from then on would end with this process. Raises LeaseLost if
        only lock files are lost: other processes make new ones, and write and deliver as well.
        """
        if not self._is_written:  # SQLite refuses to write
            return
        # A look costs microseconds. What was accepted since the last one is delivered nevertheless.
        now = time.monotonic()
        if now - self._checked_at >= _CHECKED_EVERY:
            if self.loss is Loss.LOCKS:  # first: only then may others be at work
                raise LeaseLost(self._lost_text(self._lost_locks))
            if fault := self._fault_of_paths():
                raise SpoolError(self._lost_text(fault))
            self._checked_at = now

    def is_in_place(self) -> bool:
        """Return whether the database is at its path, or was closed."""
        return not (self._is_written and self._fault_of_paths())

    @property
    def _is_written(self) -> bool:
        return self.descriptor is not None or self._is_lost

    @property
    def lost(self) -> str:
        """The text of the error for a file that was not there when it was opened again, or ""."""
        return self._lost_text(_REPLACED) if self._is_lost else ""

    @property
    def trouble(self) -> str:
        """The text of the error that `check` raises, looked for anew; "" if there is none.

        Asked by any thread, also while the file is being closed.
        """
        if not self._is_written:
            return ""
        with contextlib.suppress(OSError):  # it was closed just now
            loss = self.loss is Loss.LOCKS
            if fault := self._lost_locks if loss else self._fault_of_paths():
                return self._lost_text(fault)
        return ""

    @property
    def loss(self) -> Loss:
        """The files that were deleted or replaced while they were in use."""
        if self._is_lost or not self.is_at_path():
            return Loss.SPOOL
        if any(lock.is_replaced for lock in self.locks):
            return Loss.LOCKS
        return Loss.NONE

    @property
    def is_empty(self) -> bool:
        """Whether the file has no content at all, as a new one."""
        return self.real.stat().st_size == 0

    def is_at_path(self) -> bool:
        """Return whether the next process will find this database at its path."""
        try:
            found = os.stat(self.real)
        except OSError:
            return False
        return _identity(found) == self._identity and found.st_size >= _SMALLEST

    def _fault_of_paths(self) -> str:
        """Return the fault of the database or its log; "" if they are in their places."""
        try:
            found = os.stat(self.real)
        except OSError:
            return "the file was deleted or moved"
        if self._is_lost or _identity(found) != self._identity:
            return _REPLACED
        if found.st_size < _SMALLEST:
            self._emptied = "the file was emptied"
        self.note_companions()
        if self._log is None:
            pass  # it is made by the first write
        elif os.fstat(self._log).st_nlink == 0:
            return f"{self.real.name}-wal was deleted"
        # SQLite itself empties its log, too, but begins it anew with a header.
        elif os.pread(self._log, len(_NO_HEADER), 0) == _NO_HEADER:
            self._emptied = f"{self.real.name}-wal was emptied"
        self._check_index()
        # For good: what SQLite writes next may fill the hole, but not with what was there.
        return self._emptied

    def _check_index(self) -> None:
        """Note if the index of the log was deleted: other processes would make one of their own.

        It is not opened: SQLite would lose its locks on it when it is closed.
        """
        if self._index is not None and self._index != self._identity_of_index():
            self._emptied = f"{self.real.name}-shm was deleted"

    def _identity_of_index(self) -> _Identity | None:
        try:
            return _identity(os.stat(f"{self.real}-shm"))
        except FileNotFoundError:
            return None

    def note_companions(self) -> None:
        """Keep in mind which files SQLite uses, once it has made them."""
        if self.descriptor is None:
            return
        if self._index is None:
            self._index = self._identity_of_index()
        if self._log is None:
            with contextlib.suppress(FileNotFoundError):
                self._log = os.open(f"{self.real}-wal", os.O_RDONLY)
                self._opened.callback(os.close, self._log)

    @property
    def _lost_locks(self) -> str:
        return f"a file in {self.real.name}.locks was deleted"

    def _lost_text(self, reason: str) -> str:
        return (
            f"spool {self.path}: {reason} while it was in use; this process can store nothing more "
            "in it: restart it"
        )

    def close(self) -> None:
        """Close everything."""
        self.descriptor = None  # first: nobody looks at what is being closed
        self._emptied_at_close = self._emptied  # a look that goes on may take the close for a loss
        self._opened.close()

    def reopen(self) -> None:
        """Open the file again after `close`; connections are to be made anew. Raises SpoolError.

        One that is not in its place is lost: no other file is taken for it, and none is made.
        """
        self._log = self._index = None
        self._emptied = self._emptied_at_close
        self._is_lost = self._is_lost or not (self.read_only or self.is_at_path())
        if not self._is_lost:
            self.descriptor = self._open()


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino
