"""The leases of a spool file: locked files.

A file has the token of the process that holds the lease, if it is locked, and then how deliveries
go, or went when the last holder gave it up.
"""

import contextlib
import os
import time
from collections.abc import Collection, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

from attrs import frozen

from walker_collector.spool.base import Lease
from walker_collector.spool.deliverer import DestinationHealth
from walker_collector.spool.processes.files import is_at, open_file, try_lock, unlock
from walker_collector.spool.processes.lease_health import TOKEN_BYTES, LeaseHealth, read_health

_NOBODY: Final = b"-" * TOKEN_BYTES
"""Stands for the token in the file of a lease that was given up."""
_LOOK: Final = 0.2
"""Seconds to wait for processes that look at a free lease just now."""
_PAUSE: Final = 0.001


class Leases:
    """The leases that this process holds, each a locked file in a folder beside the spool.

    The file says who holds it. It stays there when a lease ends, as who waits for it has it open.
    """

    def __init__(self, spool: Path, folder: Path, token: str) -> None:
        self._spool = spool
        self._folder = folder
        self._token = token
        self._files: dict[Lease, int] = {}
        self._paths: dict[Lease, Path] = {}
        self._health = LeaseHealth()

    @property
    def held(self) -> frozenset[Lease]:
        """The leases of this process."""
        return frozenset(self._files)

    def holds(self, lease: Lease) -> bool:
        """Return whether this process holds a lease, by the file that others would have to lock."""
        file = self._files.get(lease)
        return file is not None and is_at(file, self._path(lease))

    def acquire(self, lease: Lease) -> bool:
        """Take a lease unless another process has it; return whether it is held now."""
        if lease in self._files:
            return True
        file = open_file(self._spool, self._path(lease))
        try:
            if not _lock(file) or not is_at(file, self._path(lease)):
                os.close(file)
                return False
            self._health.note_left(lease.destination, read_health(self._path(lease)))
            os.ftruncate(file, 0)  # else the token there is that of a process that was killed
            self._sign(file, lease)
        except BaseException:
            os.close(file)
            raise
        self._files[lease] = file
        return True

    def release(self, lease: Lease) -> None:
        """Give a lease up."""
        file = self._files.pop(lease, None)
        if file is not None:
            with contextlib.suppress(OSError):  # what is left there is of no living process
                os.pwrite(file, _NOBODY, 0)
            os.close(file)

    def holders(self, leases: Iterable[Lease]) -> dict[Lease, str]:
        """Return the tokens of the processes that hold leases, of those that are held."""
        return {lease: token for lease in leases if (token := self._holder(lease))}

    def are_held(self, leases: Collection[Lease]) -> bool:
        """Return whether some process holds each of these leases."""
        return len(self.holders(leases)) == len(leases)

    def _holder(self, lease: Lease) -> str:
        if not self.holds(lease):
            return _holder_at(self._path(lease))
        self._sign(self._files[lease], lease)
        return self._token

    def health(self, leases: Iterable[Lease]) -> dict[Lease, DestinationHealth]:
        """Return how deliveries under leases go, or went last, of those that was told of."""
        found = ((lease, read_health(self._path(lease))) for lease in leases)
        return {lease: health for lease, health in found if health is not None}

    def publish_health(self, destination: str, health: DestinationHealth) -> None:
        """Write how deliveries to a destination go into the files of its leases."""
        self._health.note_own(destination, health)
        for lease, file in self._files.items():
            if lease.destination == destination:
                self._write(file, lease)

    def _sign(self, file: int, lease: Lease) -> None:
        """Write the holder of a lease into its file, or later where the disk is full.

        Deliveries make room.
        """
        if os.fstat(file).st_size == 0:
            self._write(file, lease)

    def _write(self, file: int, lease: Lease) -> None:
        text = self._token.encode() + self._health.text(lease.destination)
        with contextlib.suppress(OSError):
            os.pwrite(file, text, 0)
            os.ftruncate(file, len(text))

    def _path(self, lease: Lease) -> Path:
        path = self._paths.get(lease)  # asked for before each batch
        if path is None:
            name = f"{_name(lease.destination)}.{lease.shard}.lease"
            path = self._paths[lease] = self._folder / name
        return path

    def close(self) -> None:
        """Give all leases up."""
        for lease in list(self._files):
            self.release(lease)

    def abandon(self) -> None:
        """Close the copies of the files, in a forked child: the leases stay the parent's."""
        while self._files:
            os.close(self._files.popitem()[1])


def _name(destination: str) -> str:
    """Return an id as a part of file names, which cannot hold all that an id may."""
    return sha256(destination.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _lock(file: int) -> bool:
    """Lock a lease file unless a process holds the lease; wait for those that only look at it.

    They share the lock for a moment, which is a long one where their process is kept waiting.
    """
    deadline = time.monotonic() + _LOOK
    while not try_lock(file):
        if not try_lock(file, shared=True):
            return False
        unlock(file)
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE)
    return True


def _holder_at(path: Path) -> str:
    """Return the token of the process that has a lease file locked, "" if none has."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return ""
    try:
        if try_lock(file, shared=True):
            return ""  # what is written there is of a process that was killed
        token = os.pread(file, TOKEN_BYTES, 0)
        return "" if token == _NOBODY else token.decode("ascii", "replace")
    finally:
        os.close(file)


@frozen
class SeenLease:
    """A lease as seen from outside: the token of its holder, "" if nobody holds it.

    `health`: how deliveries go, or went when the last holder gave up the lease, or was killed.
    """

    shard: int
    token: str
    health: DestinationHealth | None


def seen_from_outside(folder: Path, destination: str) -> list[SeenLease]:
    """Return each lease of a destination that there ever was."""
    paths = folder.glob(f"{_name(destination)}.*.lease")
    found = [SeenLease(_shard_of(path), _holder_at(path), read_health(path)) for path in paths]
    return sorted(found, key=lambda seen: seen.shard)


def _shard_of(path: Path) -> int:
    shard = path.name.split(".")[1]
    return int(shard) if shard.isdecimal() else -1
