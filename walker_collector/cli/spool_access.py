"""Which spool a command is about: the flow's, or a spool file itself."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

import attrs

from walker_collector.config import FlowConfig, Placeholder, SpoolConfig
from walker_collector.errors import ConfigError, SpoolError
from walker_collector.flowfile import load_flow
from walker_collector.naming import hint
from walker_collector.spool.slots import SLOTS, left_behind, slot_path
from walker_collector.spool.sqlite import SqliteSpool

_SQLITE: Final = b"SQLite format 3\0"
_BEGINNING: Final = 1_024


def spool_of(path: Path, name: str | None = None) -> SpoolConfig:
    """Return the spool of a flow file, or of the spool file itself.

    Raises SpoolError where the flow has none, ConfigError where the flow cannot be loaded.
    Credentials are not needed, but a path that names an unset variable leads nowhere.
    """
    if is_spool(path):
        return SpoolConfig(path=str(path))
    spool = _flow(path, name).collector.spool
    if spool is None:
        raise SpoolError(
            f"{path} has no spool: what waits is kept in the memory of the process that runs it. "
            'Add "collector": {"spool": {"path": "spool.db"}} to keep it on disk'
        )
    if isinstance(spool.path, Placeholder):
        raise SpoolError(f"{path}: collector.spool.path names a variable that is not set")
    return spool


def is_spool(path: Path) -> bool:
    """Whether a file is a spool, going by how it begins."""
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _flow(path: Path, name: str | None) -> FlowConfig:
    try:
        return load_flow(path, flow=name, credentials=False)
    except ConfigError:
        if b"\0" in path.read_bytes()[:_BEGINNING]:  # no text has that
            raise SpoolError(
                f"{path} is neither a flow file, which is text, nor a spool: the beginning of an "
                "SQLite file is missing or damaged. Give the flow file, or restore the spool"
            ) from None
        raise


def check_destination(
    destination: str | None, path: Path, name: str | None, spools: Iterable[SqliteSpool] = ()
) -> None:
    """Raise SpoolError for a destination (None: all of them) that neither the flow file has nor
    anything was ever kept for in the spools.
    """
    known = {id_ for spool in spools for id_ in spool.destinations()}
    if destination is None or destination in known:
        return
    if not is_spool(path):
        known |= _flow(path, name).destinations.keys()
    if destination not in known:
        raise SpoolError(f"{path}: there is no destination {destination}{hint(destination, known)}")


@contextmanager
def reading(config: SpoolConfig) -> Iterator[list[SqliteSpool]]:
    """Open a spool, and those of worker processes beside it, to look into while others write.

    Raises SpoolError where one cannot be read.
    """
    paths = [Path(slot_path(config.path, slot)) for slot in range(SLOTS)]
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                closing(SqliteSpool(attrs.evolve(config, path=str(path)), read_only=True))
            )
            for at, path in enumerate(paths)
            if at == 0 or path.exists()
        ]


@contextmanager
def owning(config: SpoolConfig) -> Iterator[SqliteSpool]:
    """Open a spool to change it, with what gone worker processes left beside it.

    Raises SpoolError where there is none, or another process holds it.
    """
    if not Path(config.path).exists():
        raise SpoolError(f"spool {config.path}: no such file")
    with closing(SqliteSpool(config)) as spool:
        for path in left_behind(config):
            spool.adopt(path)
        yield spool
