"""Access to spools for commands: find the spool of a file, open it to read or to change it."""

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from walker_collector.config import FlowConfig, Placeholder, SpoolConfig
from walker_collector.errors import ConfigError, SpoolError
from walker_collector.flow import load_flow
from walker_collector.naming import hint
from walker_collector.spool import NothingStored, StoredSpool
from walker_collector.spool.opening import open_durable
from walker_collector.spool.processes.files import locks_path
from walker_collector.spool.sqlite.spool_file import read_beginning

_SQLITE: Final = b"SQLite format 3\0"
_HEAD: Final = 1_024
"""Bytes at the beginning of a file that tell text from a binary file."""


def spool_of(path: Path, name: str | None = None) -> SpoolConfig:
    """Return the configuration of a spool, given a flow file or the spool file itself.

    Raises SpoolError for a flow without a spool; ConfigError for a flow that cannot be loaded, or
    with an unset variable in the place of its spool. Other credentials may be absent.
    """
    if is_spool(path):
        return SpoolConfig(path=str(path))
    spool = _load(path, name).collector.spool
    if spool is None:
        raise SpoolError(
            f"{path} has no spool: its events wait in the memory of the process that runs it. "
            'Add "collector": {"spool": {"path": "spool.db"}} to keep them on disk'
        )
    if isinstance(spool.path, Placeholder) or (spool.url is not None and spool.url.is_placeholder):
        _require_place(path, name)
    return spool


def _require_place(path: Path, name: str | None) -> None:
    """Raise ConfigError for the variables that are not set in the place of a spool."""
    try:
        load_flow(path, flow=name, imports=False)
    except ConfigError as error:
        places = ("collector.spool.path", "collector.spool.url")
        found = [item for item in error.problems if item.path in places]
        if not found:
            raise
        raise ConfigError(found, str(path)) from None


def flow_of(path: Path, name: str | None = None) -> FlowConfig | None:
    """Return the flow of a flow file; None for a spool file. Credentials may be absent."""
    return None if is_spool(path) else _load(path, name)


def is_spool(path: Path) -> bool:
    """Return whether a file begins like a spool."""
    return _head(path, len(_SQLITE)) == _SQLITE


def _head(path: Path, size: int) -> bytes:
    """Return the first bytes of a file; none of a pipe, which can be read only once."""
    if not path.is_file():
        return b""
    return read_beginning(path, size)


def _load(path: Path, name: str | None) -> FlowConfig:
    try:
        return load_flow(path, flow=name, credentials=False, imports=False)
    except ConfigError:
        # A spool with a damaged beginning is read as a flow file; its problems would mislead.
        if b"\0" in _head(path, _HEAD):
            raise SpoolError(
                f"{path} is neither a flow file, which is text, nor a spool: the beginning of an "
                "SQLite file is missing or damaged. Give the flow file, or restore the spool"
            ) from None
        raise


def check_destination(
    destination: str | None, path: Path, name: str | None, spools: Iterable[StoredSpool] = ()
) -> None:
    """Raise SpoolError unless the flow or one of the spools knows the destination.

    None means all destinations, and always passes.
    """
    known = {id_ for spool in spools for id_ in spool.destinations()}
    if destination is None or destination in known:
        return
    if not is_spool(path):
        known |= _load(path, name).destinations.keys()
    if destination not in known:
        raise SpoolError(f"{path}: there is no destination {destination}{hint(destination, known)}")


@contextmanager
def reading(config: SpoolConfig) -> Iterator[StoredSpool]:
    """Open a spool to read while others write.

    Raises NothingStored if there is none yet, SpoolError if it cannot be read.
    """
    _check_there(config)
    with closing(open_durable(config, read_only=True)) as spool:
        yield spool


def fullness(config: SpoolConfig, store: StoredSpool) -> str:
    """Return the bound that leaves no room for another event, with its figures; "" if none does."""
    events, size = store.usage()
    if events >= config.max_events:
        return (
            f"full: it holds {events:,} events of at most {config.max_events:,} (spool.maxEvents)"
        )
    if events and size + size // events > config.max_bytes:  # another event like these
        return f"full: it holds {size:,} bytes of at most {config.max_bytes:,} (spool.maxBytes)"
    return ""


@contextmanager
def owning(config: SpoolConfig) -> Iterator[StoredSpool]:
    """Open a spool to change it while others write. Raises NothingStored if there is none yet."""
    _check_there(config)
    with closing(open_durable(config)) as spool:
        yield spool


def _check_there(config: SpoolConfig) -> None:
    """Raise SpoolError unless there is a spool file; a database is asked when it is opened."""
    path = Path(config.path)
    if config.url is not None or os.path.lexists(path):
        return
    locks = locks_path(path.resolve())
    if locks.exists():
        companions = [path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm")]
        rest = " and ".join(map(str, (locks, *filter(os.path.lexists, companions))))
        raise SpoolError(
            f"spool {path}: the file is gone, and processes have used it: somebody has moved or "
            "deleted it. Put it back; or, to begin anew without its events, end the processes that "
            f"use it, and delete {rest} as well"
        )
    raise NothingStored(
        f"nothing has run with this flow yet: there is no {path.absolute()} (collector.spool.path)"
    )
