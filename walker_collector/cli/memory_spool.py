"""A spool for one run, in shared memory: for several processes of a flow without a spool.

Its files are on the file system of shared memory, so that nothing of a flow in memory gets on disk.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
import click

from walker_collector.config import FlowConfig, SpoolConfig

_MEMORY: Final = Path("/dev/shm")  # the folder that the run makes in it is its own
_SHARDS: Final = 4
"""Shards for each worker."""
_NO_MEMORY: Final = (
    "--workers without a spool needs a file, as this system has no /dev/shm: give one, or add "
    '"collector": {"spool": {"path": "spool.db"}} to the flow'
)


@contextmanager
def in_shared_memory(flow: FlowConfig, workers: int) -> Iterator[FlowConfig]:
    """Yield the flow with a spool that ends with the block; raises UsageError without room for it.

    It takes as many events as memory would (`queueMax`), and half of the room that there is.
    """
    if not os.access(_MEMORY, os.W_OK):
        raise click.UsageError(_NO_MEMORY)
    with tempfile.TemporaryDirectory(
        prefix="walker-", dir=_MEMORY, ignore_cleanup_errors=True
    ) as folder:
        spool = SpoolConfig(
            path=str(Path(folder) / "spool.db"),
            max_events=flow.collector.queue_max,
            max_bytes=shutil.disk_usage(folder).free // 2,
        )
        shards = _SHARDS * workers
        yield attrs.evolve(flow, collector=attrs.evolve(flow.collector, spool=spool, shards=shards))


def remove(spool: SpoolConfig) -> None:
    """Remove such a spool, where the run that made it cannot any more."""
    shutil.rmtree(Path(spool.path).parent, ignore_errors=True)
