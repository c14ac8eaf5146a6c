"""Appending whole lines to a file that others append to as well, with rotation by size."""

import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class Appender:
    """One file, written by whole lines: each block is a single write to an O_APPEND descriptor.

    So lines of several processes never mix. A file renamed from outside is noticed and a new
    one begun. With `max_bytes`, writers agree by a lock (`PATH.lock`) on who rotates.
    Methods raise OSError as the system reports it.
    """

    def __init__(self, path: str, *, max_bytes: int | None, keep: int, fsync: bool) -> None:
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._keep = keep
        self._fsync = fsync
        self._descriptor: int | None = None

    def open(self) -> int:
        """Open the file unless it is open; return its size in bytes."""
        if self._descriptor is not None and not self._is_current(self._descriptor):
            self.close()
        if self._descriptor is None:
            self._descriptor = os.open(self._path, _FLAGS, 0o600)
            if self._fsync:
                self._sync_folder()
        return os.fstat(self._descriptor).st_size

    def append(self, lines: Sequence[bytes]) -> int:
        """Append lines (each with its newline); return how many of them were wholly written."""
        if not lines:
            return 0
        if self._max_bytes is None:
            self.open()
            return self._write(lines, alone=False)
        with self._locked():
            return self._append_rotating(lines, self._max_bytes)

    def close(self) -> None:
        """Close the file; a later call of another method opens it again."""
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
            chunk = lines[done : done + max(count, 1)]
            written = self._write(chunk, alone=True)
            done += written
            if written < len(chunk):
                break
        return done

    def _write(self, lines: Sequence[bytes], *, alone: bool) -> int:
        """Write what the disk takes; `alone`: nobody else writes meanwhile, so that the part of a
        line can be taken back. Otherwise the next write ends it.
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
    def _locked(self) -> Iterator[None]:
        lock = self._path.with_name(f"{self._path.name}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _fitting(lines: Sequence[bytes], room: int) -> int:
    """Return how many lines, from the first on, have at most `room` bytes together."""
    return sum(end <= room for end in accumulate(map(len, lines)))


def _ends_torn(descriptor: int) -> bool:
    """Tell whether a regular file ends within a line: a writer was cut off, or the disk full."""
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or about.st_size == 0:
        return False
    return os.pread(descriptor, 1, about.st_size - 1) != b"\n"
