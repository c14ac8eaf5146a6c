"""The lock of a spool: one process at a time, named in the lock file."""

import importlib
import json
import os
import socket
import sys
import time
from io import FileIO
from pathlib import Path
from typing import Any, Final

from walker_collector.errors import SpoolError


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
_INHERITED: list[object] = []
"""Open things that a forked child must neither use nor close; kept so that nothing closes them."""


def keep_inherited(*things: object) -> None:
    """Keep the parent's open things alive, unused, in a forked child."""
    _INHERITED.extend(things)


class SpoolLock:
    """Holds `PATH.lock` for this process, and writes its name into the file.

    Raises SpoolError with the name of another holder, or the reason why the file cannot be
    written. The lock ends with the process, however that ends.
    """

    def __init__(self, spool: Path) -> None:
        self.path = spool.with_name(spool.name + ".lock")
        self._lock_file: FileIO | None = self._acquire(spool)

    def _acquire(self, spool: Path) -> FileIO:
        fcntl = _locks(spool)
        deadline = time.monotonic() + _GLANCE
        while True:
            file = self._open(spool)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                if time.monotonic() < deadline:
                    time.sleep(_GLANCE / 20)
                    continue
                raise SpoolError(
                    f"spool {spool}: in use by {holder(self.path)}; stop that process, or give "
                    "this one a spool of its own. `walker spool status` and `walker dead list` may "
                    "read it while that process runs."
                ) from None
            if _is_at(file, self.path):
                self._write(file)
                return file
            file.close()  # its last holder deleted it just before it was locked

    def _open(self, spool: Path) -> FileIO:
        try:
            return FileIO(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+")
        except OSError as error:
            raise SpoolError(
                f"spool {spool}: cannot write its lock file: {error.strerror or error}; "
                "give the process a folder that it may write to"
            ) from None

    def _write(self, file: FileIO) -> None:
        about = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join(
                Path(arg).name if i == 0 else arg for i, arg in enumerate(sys.argv[:2])
            ),
            "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        try:
            file.truncate(0)
            file.write(json.dumps(about).encode())
        except OSError:
            # A full disk must not keep a spool from being drained; only the name is missing.
            return

    def release(self) -> None:
        """Give the lock up."""
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def remove(self) -> None:
        """Give the lock up and delete its file."""
        self.path.unlink(missing_ok=True)
        self.release()

    def abandon(self) -> None:
        """Leave the lock to the parent process, in a forked child.

        The child's copy is closed, or the lock would outlive the parent.
        """
        self.release()


def _is_at(file: FileIO, path: Path) -> bool:
    """Return whether an open file is still the one at its path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def holder(path: Path) -> str:
    """Return the name of the process that holds a lock file, for an error message."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return (
            f"process {about['pid']} ({about['command']}) on {about['host']} since {about['since']}"
        )
    except (OSError, ValueError, KeyError):
        return "another process"


def lock_is_free(spool: Path) -> bool:
    """Return whether no living process holds a spool."""
    path = spool.with_name(spool.name + ".lock")
    if not path.exists():
        return True
    fcntl = _locks(spool)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
