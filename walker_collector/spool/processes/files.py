"""The lock files of a spool, and `flock`, which the kernel gives up with the process.

A lock belongs to the open file, not to the process: closing another descriptor of the same file
keeps it, unlike a record lock of POSIX. A forked child has a copy of the open file, and the lock
lives as long as that: so the child closes it at once. A program that is started does not get it,
as Python's descriptors are closed on exec.
"""

import contextlib
import ctypes
import errno
import importlib
import os
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final

from walker_collector.errors import SpoolError


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


_FCNTL: Final = _module("fcntl")  # None on Windows


class Loss(Enum):
    """The files that somebody has deleted or replaced while this process had them open.

    SPOOL: the database. Nobody else has the events in memory, so this process delivers them.
    LOCKS: lock files alone. Other processes make new ones, so leases of this one mean nothing.
    """

    NONE = auto()
    SPOOL = auto()
    LOCKS = auto()


class SpoolBusy(SpoolError):
    """Another process writes for longer than one may wait, or the spool is closed."""


def locks_path(spool: Path) -> Path:
    """Return the path of the folder of a spool's lock files."""
    return spool.with_name(f"{spool.name}.locks")


def locks_folder(spool: Path) -> Path:
    """Return the folder of a spool's lock files, made if it is missing. Raises SpoolError."""
    require_locks(spool)
    folder = locks_path(spool)
    try:
        folder.mkdir(mode=0o700)
        folder.chmod(0o700)  # whatever the umask
        _give_to_owner(spool, folder)
    except FileExistsError:
        if not folder.is_dir() or folder.is_symlink():
            raise unwritable(spool, folder, NotADirectoryError("it is no folder")) from None
    except OSError as error:
        raise unwritable(spool, folder, error) from None
    return folder


def open_file(spool: Path, path: Path) -> int:
    """Open a lock file, which only its owner may read. Raises SpoolError."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise unwritable(spool, path, error) from None
    try:
        about = os.fstat(file)
        if about.st_nlink > 1:
            raise SpoolError(
                f"spool {spool}: its lock file {path.name} has another name (a hard link), by "
                "which others may write to it; remove that"
            )
        if about.st_uid == os.geteuid():
            os.fchmod(file, 0o600)  # whatever the umask
            _give_to_owner(spool, file)
    except BaseException:
        os.close(file)
        raise
    return file


def _give_to_owner(spool: Path, file: int | Path) -> None:
    """Give a file that root has made to the owner of the spool: other processes need it later.

    SQLite does so with its own files.
    """
    if os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):  # a container's root may own nothing of the host
        owner = spool.stat()
        os.chown(file, owner.st_uid, owner.st_gid)


def unwritable(spool: Path, path: Path, error: OSError) -> SpoolError:
    """Return the error of a process that cannot write a lock file."""
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "make room" if is_full else "give the process a folder that it may write to"
    place = path.relative_to(spool.parent)
    return SpoolError(
        f"spool {spool}: cannot write {place} beside it: {error.strerror or error}; {remedy}"
    )


def lock_shared(file: int) -> None:
    """Lock an open file as one of several, once nobody has it to himself."""
    _FCNTL.flock(file, _FCNTL.LOCK_SH)


def _without_release() -> Callable[[int, int], int] | None:
    """Return `flock` of the C library, called with the interpreter kept.

    `fcntl.flock` lets other threads in, and a busy one may keep the interpreter for milliseconds:
    for a call that never waits, and that every commit makes twice.
    """
    try:
        function = ctypes.PyDLL(None).flock
    except (OSError, AttributeError, TypeError):
        return None
    # Without `argtypes`, which cost more than the call: both are plain integers.
    found: Callable[[int, int], int] = function
    return found


def _with_release(file: int, operation: int) -> int:
    try:
        _FCNTL.flock(file, operation)
    except BlockingIOError:
        return -1
    return 0


flock: Final = _without_release() or _with_release
"""`flock` of files on a local disk, for operations that never wait; returns 0 where it is done."""
TRY: Final = 6
"""The operation that locks, unless it would have to wait: LOCK_EX | LOCK_NB."""
UNLOCK: Final = 8
"""The operation that unlocks: LOCK_UN."""


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
    except OSError:  # it was deleted, or its folder moved, or closed to this process
        return False
