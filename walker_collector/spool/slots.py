"""Which file a process spools to: its own, or in a forked worker the first free one beside it.

A forked worker cannot share its parent's spool. It takes `spool.1.db`, `spool.2.db`, ...: the
first that no living process holds, so that a restarted worker resumes what its predecessor left.
"""

from pathlib import Path
from typing import Final

import attrs

from walker_collector.config import SpoolConfig
from walker_collector.errors import SpoolError
from walker_collector.spool.lock import lock_is_free
from walker_collector.spool.sqlite import SqliteSpool

SLOTS: Final = 256


def slot_path(path: str, slot: int) -> str:
    """Return the file of a slot; slot 0 is the configured file itself."""
    if slot == 0:
        return path
    base = Path(path)
    return str(base.with_name(f"{base.stem}.{slot}{base.suffix}"))


def open_free_slot(config: SpoolConfig) -> SqliteSpool:
    """Open the first slot that no process holds; raises SpoolError where none is free."""
    for slot in range(SLOTS):
        candidate = attrs.evolve(config, path=slot_path(config.path, slot))
        if not lock_is_free(Path(candidate.path)):
            continue
        try:
            return SqliteSpool(candidate)
        except SpoolError:
            # Taken in between by another worker, or unusable; the last slot's error is shown.
            if slot == SLOTS - 1:
                raise
    raise SpoolError(f"spool {config.path}: {SLOTS} worker slots are all in use")


def left_behind(config: SpoolConfig) -> list[Path]:
    """Return the slots of workers that are gone, with whatever waits in them."""
    paths = (Path(slot_path(config.path, slot)) for slot in range(1, SLOTS))
    return [path for path in paths if path.exists() and lock_is_free(path)]
