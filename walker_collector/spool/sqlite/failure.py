"""Errors of SQLite as SpoolErrors with a remedy."""

import sqlite3
from pathlib import Path
from typing import Final, TypeGuard

from walker_collector.errors import SpoolError

_WRITABLE: Final = "give the process a folder and file that it may write to"
_CORRUPT: Final = ("not a database", "malformed", "no such table", "no such column", "is a view")


def spool_error(path: Path, error: sqlite3.Error) -> SpoolError:
    """Return the error to raise for a spool, with the remedy."""
    text = str(error)
    hint = "see the operating system's log"
    if is_full(error):
        hint = "the disk is full or failing: make room; accepted events are safe"
    elif "readonly" in text or "unable to open" in text:
        hint = _WRITABLE
    elif is_locked(error):
        hint = "another program has it open and is writing: close that program"
    elif any(sign in text for sign in _CORRUPT):
        hint = (
            "the file is corrupt: move it away to start a new spool, and keep it for "
            "`sqlite3 FILE .recover`"
        )
    return SpoolError(f"spool {path}: {text}; {hint}")


def cannot_open(path: Path, error: OSError) -> SpoolError:
    """Return the error to raise for a file that the system does not open, or make."""
    if isinstance(error, FileNotFoundError):  # of a folder that is gone, or takes no files (/proc)
        reason = f"no file can be made in {path.resolve().parent}"
    else:
        reason = f"unable to open: {error.strerror}"
    return SpoolError(f"spool {path}: {reason}; {_WRITABLE}")


def is_locked(error: Exception) -> TypeGuard[sqlite3.Error]:
    """Return whether another program kept SQLite from writing for as long as it waits."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def is_full(error: Exception) -> bool:
    """Return whether SQLite had no room to write; a file size limit shows as an I/O error."""
    return isinstance(error, sqlite3.Error) and (
        "disk is full" in str(error) or "disk I/O error" in str(error)
    )
