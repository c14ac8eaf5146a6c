"""The spool file of a process: the configured one, or a slot beside it.

Two processes cannot share a file. A forked worker, or a process with `shared`, takes the first of
`spool.db`, `spool.1.db`, `spool.2.db`, ... that no living process holds, so that a restarted one
goes on with the events of its predecessor.
"""

import os
from pathlib import Path
from typing import Final

import attrs

from walker_collector.config import SpoolConfig
from walker_collector.errors import SpoolError
from walker_collector.spool.sqlite import SqliteSpool
from walker_collector.spool.sqlite.lock import lock_is_free
from walker_collector.text import get_logger

SLOTS: Final = 256

logger = get_logger("walker_collector")


def slot_path(path: str, slot: int) -> str:
    """Return the file of a slot; slot 0 is the configured file itself."""
    if slot == 0:
        return path
    base = Path(os.path.realpath(path))  # those of a link are found by whoever opens its target
    return str(base.with_name(f"{base.stem}.{slot}{base.suffix}"))


def open_own(config: SpoolConfig) -> SqliteSpool:
    """Open the configured spool, or one beside it if it is shared.

    The process with the configured file adopts the slots of ended processes. Raises SpoolError if
    another process holds the file and it is not shared.
    """
    spool = open_free_slot(config) if config.shared else SqliteSpool(config)
    if spool.path == Path(config.path):
        for path in left_behind(config):
            try:
                spool.adopt(path)
            except SpoolError as error:  # taken by a process that starts now, or unusable
                logger.warning("the events in %s stay there: %s", path, error)
    return spool


def open_free_slot(config: SpoolConfig) -> SqliteSpool:
    """Open the first slot that no process holds. Raises SpoolError if there is none."""
    for slot in range(SLOTS):
        candidate = attrs.evolve(config, path=slot_path(config.path, slot))
        if not lock_is_free(Path(candidate.path)):
            continue
        try:
            return SqliteSpool(candidate)
        except SpoolError:
            # Taken in between by another worker, or unusable. The last slot's error is raised.
            if slot == SLOTS - 1:
                raise
    raise SpoolError(f"spool {config.path}: {SLOTS} worker slots are all in use")


def left_behind(config: SpoolConfig) -> list[Path]:
    """Return the slots of ended workers."""
    return [path for path in _beside(config) if lock_is_free(path)]


def living(config: SpoolConfig) -> list[Path]:
    """Return the slots of living workers."""
    return [path for path in _beside(config) if not lock_is_free(path)]


def _beside(config: SpoolConfig) -> list[Path]:
    paths = (Path(slot_path(config.path, slot)) for slot in range(1, SLOTS))
    return [path for path in paths if path.exists()]
