"""Appends whole lines to a file shared with other processes, with rotation by size."""

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


_DATABASES = (b"SQLite format 3\0", b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
"""The beginnings of SQLite's files: of a database, and of its write-ahead log."""
_MAGIC_BYTES = 16
_BESIDE = ("-wal", "-shm", "-journal", ".lock")
"""The ends of the names of the files beside an SQLite database, or a spool."""
_LOCKS = ".locks"
"""The end of the name of the folder with a spool's lock files, beside it."""


class Appender:
    """A file that grows by whole lines; several processes may append to it.

    Each block of lines is a single write to an O_APPEND descriptor, so lines of several processes
    never mix. Threads take turns, and processes take a lock on the file: a write of another that is
    under way looks like a torn line. After a rename from outside (logrotate) the next write starts
    a new file. With `max_bytes`, writers take a lock (`PATH.lock`) instead, so that only one of
    them rotates. Methods raise OSError.
    """

    def __init__(self, path: str, *, max_bytes: int | None, keep: int, fsync: bool) -> None:
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._keep = keep
        self._fsync = fsync
        self._descriptor: int | None = None
        self._writing = threading.RLock()

    def open(self) -> int:
        """Open the file if it is not open, and return its size in bytes."""
        with self._writing:
            return os.fstat(self._opened()).st_size

    def _opened(self) -> int:
        if self._descriptor is not None and not self._is_current(self._descriptor):
            self.close()
        if self._descriptor is None:
            path = os.path.realpath(self._path)
            if _is_of_database(path) or _is_lock_file(path):
                raise _database()
            self._descriptor = os.open(self._path, _FLAGS, 0o600)
            if os.pread(self._descriptor, _MAGIC_BYTES, 0).startswith(_DATABASES):
                self.close()
                raise _database()
            if self._fsync:
                self._sync_folder()
        return self._descriptor

    def append(self, lines: Sequence[bytes]) -> int:
        """Append lines (with their newlines), and return the number written completely."""
        if not lines:
            return 0
        with self._writing:
            if self._max_bytes is None:
                with _locked(self._opened()):
                    return self._write(lines, alone=False)
            with self._alone():
                return self._append_rotating(lines, self._max_bytes)

    def close(self) -> None:
        """Close the file; the next call of another method opens it again."""
        with self._writing:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _append_rotating(self, lines: Sequence[bytes], max_bytes: int) -> int:
        done = 0
        while done < len(lines):
            size = self.open()
            count = _fitting(lines[done:], max_bytes - size)
            if count == 0 and size > 0:
                self._rotate()
                continue
            # A line beyond max_bytes gets a file of its own.
            chunk = lines[done : done + max(count, 1)]
            written = self._write(chunk, alone=True)
            done += written
            if written < len(chunk):
                break
        return done

    def _write(self, lines: Sequence[bytes], *, alone: bool) -> int:
        """Write lines, as many as fit on the disk; return the number written completely.

        `alone` means that nobody else is writing: then the rest of a torn line is cut off.
        Otherwise a cut could destroy lines of other programs, so the next write ends the torn line
        instead.
        """
        assert self._descriptor is not None
        lead = b"\n" if _ends_torn(self._descriptor) else b""
        taken = os.write(self._descriptor, lead + b"".join(lines))
        ends = [e for e in accumulate(map(len, lines), initial=len(lead)) if e <= taken]
        torn = taken - ends[-1] if ends else taken
        if torn and alone:
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - torn)
        if self._fsync:
            os.fsync(self._descriptor)
        return max(0, len(ends) - 1)

    def _is_current(self, descriptor: int) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(descriptor))

    def _rotate(self) -> None:
        self.close()
        for number in range(self._keep - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = self._path.with_name(f"{self._path.name}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """Hold the lock on a file; without one where its file system has none, as for a pipe's."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with suppress(OSError):
            # Not by a close alone: a forked child may hold the same open file.
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def _database() -> OSError:
    return OSError(errno.EINVAL, "it belongs to an SQLite database, such as a spool")


def _is_of_database(path: str) -> bool:
    """Return whether a path is that of a database in use, or of a file beside one.

    Nothing is opened: a process that closes a file again loses SQLite's locks on it.
    """
    end = next((end for end in _BESIDE if path.endswith(end)), "")
    base = path.removesuffix(end)
    others = {"", "-wal", "-shm"} - {end}
    return all(os.path.exists(base + other) for other in others)


def _is_lock_file(path: str) -> bool:
    """Return whether a path is in the folder with the lock files of a spool."""
    folder = os.path.dirname(path)
    return folder.endswith(_LOCKS) and os.path.exists(folder.removesuffix(_LOCKS))


def _fitting(lines: Sequence[bytes], room: int) -> int:
    """Return how many of the first lines fit into `room` bytes together."""
    return sum(end <= room for end in accumulate(map(len, lines)))


def _ends_torn(descriptor: int) -> bool:
    """Return whether a regular file ends within a line, after a crash or on a full disk."""
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or about.st_size == 0:
        return False
    return os.pread(descriptor, 1, about.st_size - 1) != b"\n"
