"""The lock files beside a spool, and `flock`, which the kernel gives up with the process.

A lock belongs to the open file, not to the process: closing another descriptor of the same file
keeps it, unlike a record lock of POSIX. A forked child has a copy of the open file, and the lock
lives as long as that: so the child closes it at once. A program that is started does not get it,
as Python's descriptors are closed on exec.
"""

import importlib
import os
from pathlib import Path
from typing import Any, Final

from walker_collector.errors import SpoolError


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


_FCNTL: Final = _module("fcntl")  # None on Windows


def beside(spool: Path, suffix: str) -> Path:
    """Return the path of a file or folder that goes with a spool."""
    return spool.with_name(f"{spool.name}.{suffix}")


def open_file(spool: Path, path: Path) -> int:
    """Open a lock file, which only its owner may read. Raises SpoolError."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SpoolError(
            f"spool {spool}: cannot write {path.name} beside it: {error.strerror or error}; "
            "give the process a folder that it may write to"
        ) from None


def try_lock(file: int, *, shared: bool = False) -> bool:
    """Lock an open file unless that would have to wait; return whether it is locked."""
    try:
        _FCNTL.flock(file, (_FCNTL.LOCK_SH if shared else _FCNTL.LOCK_EX) | _FCNTL.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(file: int) -> None:
    """Unlock an open file, in every process that has a copy of it."""
    _FCNTL.flock(file, _FCNTL.LOCK_UN)


def require_locks(spool: Path) -> None:
    """Raise SpoolError where the system has no file locks."""
    if _FCNTL is None:
        raise SpoolError(
            f"spool {spool}: needs the file locks of POSIX (fcntl), which this system does not "
            "have; leave collector.spool out, and events wait in memory"
        )


def is_at(file: int, path: Path) -> bool:
    """Return whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
