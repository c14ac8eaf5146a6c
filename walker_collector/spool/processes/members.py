"""The living processes of a spool, each with a file that it keeps locked."""

import contextlib
import json
import os
import secrets
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from walker_collector.spool.deliverer import Member
from walker_collector.spool.processes.files import (
    is_at,
    locks_folder,
    open_file,
    try_lock,
)

_SUFFIX: Final = ".process"
_LEAVING: Final = ".leaving"
_ABOUT_BYTES: Final = 1_000_000
_SHOWN: Final = 100
_SILENT: Final = 3.0
"""Seconds without a sign after which a process counts as stopped."""
_SETTLED: Final = 1.0
"""Seconds after which a process counts where leases are shared out: a script may end before."""


class Members:
    """The processes of a spool, this one among them.

    Each has a locked file in a folder beside the spool. The kernel unlocks it however the process
    ends, and whoever sees a file that is not locked deletes it. A file appears under its name only
    when it is locked and written.
    """

    def __init__(self, spool: Path, delivers: Iterable[str]) -> None:
        self._spool = spool
        self.folder = locks_folder(spool)
        self.token = secrets.token_hex(8)
        self._path = self.folder / f"{self.token}{_SUFFIX}"
        self._known = {self.token: _about(sorted(delivers))}
        self._lock_file = self._enter()

    def _enter(self) -> int:
        fresh = self._path.with_suffix(".new")
        file = open_file(self._spool, fresh)
        try:
            try_lock(file)
            self._describe(file)
            fresh.rename(self._path)
        except BaseException:
            os.close(file)
            fresh.unlink(missing_ok=True)
            raise
        return file

    def _describe(self, file: int) -> None:
        """Write the description of this process for others; later where the disk is full."""
        with contextlib.suppress(OSError):
            os.pwrite(file, json.dumps(self._known[self.token]).encode(), 0)

    def sign(self) -> None:
        """Give a sign of life, for others to tell a stopped process by its absence.

        Somebody may have deleted the file: then it is made anew.
        """
        if not is_at(self._lock_file, self._path):
            self.abandon()
            self._lock_file = self._enter()
        elif os.fstat(self._lock_file).st_size == 0:
            self._describe(self._lock_file)
        os.utime(self._lock_file)

    @property
    def version(self) -> int:
        """Another value than before: processes may have come or gone, other than by a kill."""
        return self.folder.stat().st_mtime_ns

    def living(self) -> list[Member]:
        """Return the living processes, the one that came first first."""
        now = time.time()
        found = []
        for path in _files_in(self.folder):
            if path != self._path and _is_left(path):
                path.unlink(missing_ok=True)
            elif path.suffix == _SUFFIX and (member := self._member(path, now)) is not None:
                found.append(member)
        there = {self.token, *(member.token for member in found)}
        self._known = {token: about for token, about in self._known.items() if token in there}
        return sorted(found, key=lambda member: (member.since, member.token))

    def _member(self, path: Path, now: float) -> Member | None:
        try:
            about = self._known.get(path.stem)
            if about is None:
                about = _read(path)
            if about["pid"]:  # else it is to be read again: see `_describe`
                self._known[path.stem] = about
            return _described(path, about, now, own=path == self._path)
        except OSError:  # it has just ended
            return None

    def leave(self) -> None:
        """Take no part in sharing out leases any more, and stay a living process."""
        leaving = self._path.with_suffix(_LEAVING)
        with contextlib.suppress(FileNotFoundError):  # the folder was moved, or deleted
            self._path.rename(leaving)
            self._path = leaving

    def close(self) -> None:
        """Leave: delete the file, and unlock it by closing it."""
        if self._lock_file >= 0:
            self._path.unlink(missing_ok=True)
            self.abandon()

    def abandon(self) -> None:
        """Close this copy of the file, in a forked child: the parent stays a member."""
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1


def _read(path: Path) -> dict[str, Any]:
    """Return the description in the file of a process; a file with other content has none."""
    try:
        about = json.loads(path.read_bytes()[:_ABOUT_BYTES])
        return {
            "pid": int(about["pid"]),
            "host": str(about["host"])[:_SHOWN],
            "since": float(about["since"]),
            "delivers": [str(id_) for id_ in about["delivers"]],
        }
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return {"pid": 0, "host": "?", "since": 0.0, "delivers": []}


def _described(path: Path, about: dict[str, Any], now: float, *, own: bool = False) -> Member:
    sign = path.stat().st_mtime
    return Member(
        token=path.stem,
        pid=about["pid"],
        host=about["host"],
        since=about["since"],
        delivers=frozenset(about["delivers"]),
        settled=abs(now - about["since"]) >= _SETTLED,
        silent=not own and abs(now - sign) > _SILENT,
    )


def seen_from_outside(folder: Path) -> dict[str, Member]:
    """Return the living processes of a folder of locks by token, for a process that is none."""
    now, found = time.time(), {}
    for path in _files_in(folder):
        with contextlib.suppress(OSError):  # it has just ended
            if not _is_left(path):
                found[path.stem] = _described(path, _read(path), now)
    return found


def living_processes(spool: Path) -> set[str]:
    """Return the tokens of the living processes of a spool."""
    return {path.stem for path in _files_in(locks_folder(spool)) if not _is_left(path)}


def _files_in(folder: Path) -> list[Path]:
    """Return the files of all processes, those that leave among them."""
    return [*folder.glob(f"*{_SUFFIX}"), *folder.glob(f"*{_LEAVING}")]


def _about(delivers: list[str]) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.time(),
        "delivers": delivers,
    }


def _is_left(path: Path) -> bool:
    """Return whether the process of a file has ended."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    except PermissionError:  # of another user: nobody can tell here
        return False
    try:
        # Shared, so that two who look at once do not take each other for its owner.
        return try_lock(file, shared=True) and is_at(file, path)
    finally:
        os.close(file)
