"""Open the spool of a configuration: the one place that chooses the engine."""

from typing import Any

from walker_collector.config import SpoolConfig
from walker_collector.spool.engine_protocol import StoredSpool


def open_durable(config: SpoolConfig, **options: Any) -> StoredSpool:
    """Open a spool that outlives its process; `options` are those of the engine.

    Raises SpoolError if it cannot be used.
    """
    # Imported here: a collector in memory needs neither SQLite nor file locks, and few flows have
    # a database.
    if config.url is not None:
        from walker_collector.spool.postgres import Place, open_spool

        place = Place(
            url=config.url.reveal(),
            schema=config.schema,
            lease_url=config.lease_url.reveal() if config.lease_url else None,
            max_events=config.max_events,
            max_bytes=config.max_bytes,
            sync=config.sync,
        )
        return open_spool(place, **options)
    from walker_collector.spool.sqlite import SqliteSpool

    return SqliteSpool(config, **options)
