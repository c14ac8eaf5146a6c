"""The lock of a spool: one process at a time, named in the lock file."""

import contextlib
import importlib
import json
import os
import socket
import sys
import time
from io import FileIO
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

from walker_collector.errors import SpoolError
from walker_collector.text import storable


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


_FCNTL: Final = _module("fcntl")  # None on Windows


def _locks(spool: Path) -> Any:
    """Return the module `fcntl`; raises SpoolError where the system has none."""
    if _FCNTL is None:
        raise SpoolError(
            f"spool {spool}: needs the file locks of POSIX (fcntl), which this system does not "
            "have; leave collector.spool out, and events wait in memory"
        )
    return _FCNTL


_GLANCE: Final = 0.1
"""How long (s) to wait for a lock: a process that only asks for it holds it for a moment."""
_NAME_BYTES: Final = 1_000
_INHERITED: list[object] = []
"""Open things that a forked child must neither use nor close; kept so that nothing closes them."""


def keep_inherited(*things: object) -> None:
    """Keep the parent's open things alive, unused, in a forked child."""
    _INHERITED.extend(things)


class SpoolLock:
    """Holds `PATH.lock` for this process, writes its name into the file, and locks the database.

    Raises SpoolError with the name of another holder, or the reason why a file cannot be locked.
    The locks end with the process, however that ends.
    """

    def __init__(self, spool: Path) -> None:
        self.path = spool.with_name(spool.name + ".lock")
        self._spool = spool
        self._lock_file: FileIO | None = self._acquire()
        self._database: FileIO | None = None
        self._identity: _Identity | None = None

    def _acquire(self) -> FileIO:
        deadline = time.monotonic() + _GLANCE
        while True:
            file = _open(self.path, self._spool)
            if not _try_lock(file, self._spool):
                file.close()
                if time.monotonic() < deadline:
                    time.sleep(_GLANCE / 20)
                    continue
                raise _in_use(self._spool, holder(self.path))
            if _is_at(file, self.path):
                _write_name(file)
                return file
            file.close()  # its last holder deleted it just before it was locked

    def cover(self, database: Path) -> None:
        """Lock the database itself, too. Raises SpoolError if another process holds it.

        It may be reached by another path (a hard link), or its lock file may have been removed:
        then the lock file alone would let two processes in.
        """
        status = database.stat()
        identity = (status.st_dev, status.st_ino)
        # To open it and close it again would drop the locks that SQLite holds for this process.
        if identity in _DATABASES:
            raise _in_use(self._spool, f"process {os.getpid()}, under another name")
        _DATABASES[identity] = self
        self._identity = identity
        # Elsewhere a lock by flock() may exclude those of SQLite, which are of another kind.
        if sys.platform == "linux":
            self._database = FileIO(os.open(database, os.O_RDWR), "r+")
            if not _try_lock(self._database, self._spool):
                raise _in_use(self._spool, "another process, under another name or without a lock")

    def release(self) -> None:
        """Give the locks up."""
        for file in (self._database, self._lock_file):
            if file is not None:
                file.close()
        self._database = self._lock_file = None
        if self._identity is not None:
            _DATABASES.pop(self._identity, None)
            self._identity = None

    def remove(self) -> None:
        """Give the locks up and delete the lock file."""
        self.path.unlink(missing_ok=True)
        self.release()

    def abandon(self) -> None:
        """Leave the locks to the parent process, in a forked child.

        The child's copies are closed, or the locks would outlive the parent.
        """
        self.release()


_Identity = tuple[int, int]
_DATABASES: Final = WeakValueDictionary[_Identity, SpoolLock]()
"""The locks of this process by the device and inode of their database; without those of spools
that were never closed, but are gone."""


def _open(path: Path, spool: Path) -> FileIO:
    _locks(spool)  # before a file is made that could not be locked
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return FileIO(os.open(path, flags, 0o600), "r+")
    except OSError as error:
        raise SpoolError(
            f"spool {spool}: cannot write its lock file: {error.strerror or error}; "
            "give the process a folder that it may write to"
        ) from None


def _try_lock(file: FileIO, spool: Path) -> bool:
    """Lock a file, and return whether that worked. Raises SpoolError if it cannot be locked."""
    fcntl = _locks(spool)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        file.close()
        raise SpoolError(
            f"spool {spool}: cannot be locked: {error.strerror}; put it on a local disk"
        ) from None
    return True


def _in_use(spool: Path, by: str) -> SpoolError:
    return SpoolError(
        f"spool {spool}: in use by {by}; stop that process, or give this one a spool of its own. "
        "`walker spool status` and `walker dead list` may read it while that process runs."
    )


def _write_name(file: FileIO) -> None:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    name = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    # A full disk must not keep a spool from being drained; only the name is missing.
    with contextlib.suppress(OSError):
        os.fchmod(file.fileno(), 0o600)
        file.truncate(0)
        file.write(json.dumps(name).encode())


def _is_at(file: FileIO, path: Path) -> bool:
    """Return whether an open file is still the one at its path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def holder(path: Path) -> str:
    """Return the name of the process that holds a lock file, for an error message."""
    try:
        with FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "r") as file:
            name = json.loads(file.read(_NAME_BYTES) or b"")
        pid, host, since = int(name["pid"]), str(name["host"]), str(name["since"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return "another process"
    return f"process {pid} on {storable(host)} since {storable(since)}"


def lock_is_free(spool: Path) -> bool:
    """Return whether no living process holds the lock file of a spool.

    A file that cannot be locked counts as free: whoever opens the spool then learns why.
    """
    path = spool.with_name(spool.name + ".lock")
    if not os.path.lexists(path):
        return True
    try:
        with _open(path, spool) as file:
            return _try_lock(file, spool)
    except SpoolError:
        return True
