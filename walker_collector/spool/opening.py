"""Open the spool of a configuration: the one place that chooses the engine."""

from typing import Any

from walker_collector.config import SpoolConfig
from walker_collector.spool.engine_protocol import StoredSpool


def open_durable(config: SpoolConfig, **options: Any) -> StoredSpool:
    """Open a spool that outlives its process; `options` are those of the engine.

    Raises SpoolError if it cannot be used.
    """
    # Imported here: a collector in memory needs neither SQLite nor file locks.
    from walker_collector.spool.sqlite import SqliteSpool

    return SqliteSpool(config, **options)
