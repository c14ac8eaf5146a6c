"""The erasures under way, each with a file that its process keeps locked."""

import os
import secrets
import threading
from pathlib import Path
from typing import Final

from walker_collector.spool.processes.files import is_at, locks_folder, open_file, try_lock

_SUFFIX: Final = ".erasure"


class ErasureLocks:
    """The erasures of this process.

    The kernel unlocks a file however the process ends. Whoever finds the file of an erasure
    unlocked, or finds none, knows that nobody is at work on it any more.
    """

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._files: dict[str, int] = {}
        self._changing = threading.Lock()

    def begin(self) -> str:
        """Return the name of a new erasure, with its file locked."""
        name = secrets.token_hex(8)
        with self._changing:
            file = open_file(self._spool, self._path(name))
            try_lock(file)
            self._files[name] = file
        return name

    def end(self, name: str) -> None:
        """Delete the file of an erasure, and unlock it by closing it."""
        with self._changing:
            file = self._files.pop(name, None)
            if file is not None:
                self._path(name).unlink(missing_ok=True)
                os.close(file)

    def is_under_way(self, name: str) -> bool:
        """Return whether a process is at work on an erasure; delete the file of one that ended."""
        if name in self._files:
            return True
        if not name.isalnum():  # of a damaged row
            return False
        path = self._path(name)
        try:
            file = os.open(path, os.O_RDWR)
        except OSError:
            return False
        try:
            # Shared, so that two who look at once do not take each other for its owner.
            if not try_lock(file, shared=True):
                return True
            if is_at(file, path):
                path.unlink(missing_ok=True)
            return False
        finally:
            os.close(file)

    def _path(self, name: str) -> Path:
        return locks_folder(self._spool) / f"{name}{_SUFFIX}"

    def close(self) -> None:
        """End all erasures of this process."""
        for name in list(self._files):
            self.end(name)

    def pause(self) -> None:
        """Let no file be opened, before a fork."""
        self._changing.acquire()

    def resume(self) -> None:
        """Let files be opened again, in the parent."""
        self._changing.release()

    def abandon(self) -> None:
        """Close copies of files in a forked child: the erasures stay the parent's."""
        while self._files:
            os.close(self._files.popitem()[1])
