"""Open the spool of a configuration: the one place that chooses the engine."""

from typing import TYPE_CHECKING, Any

from walker_collector.config import Secret, SpoolConfig
from walker_collector.spool.stored_spool import StoredSpool

if TYPE_CHECKING:
    from walker_collector.spool.postgres import Place


def open_durable(config: SpoolConfig, **options: Any) -> StoredSpool:
    """Open a spool that outlives its process; `options` are those of the engine.

    Raises SpoolError if it cannot be used.
    """
    # Imported here: a collector in memory needs neither SQLite nor file locks, and few flows have
    # a database.
    if config.url is not None:
        from walker_collector.spool.postgres import open_spool

        return open_spool(_place(config, config.url), **options)
    from walker_collector.spool.sqlite import SqliteSpool

    return SqliteSpool(config, **options)


def check_database(config: SpoolConfig, url: Secret, *, delivers: bool, shards: int | None) -> None:
    """Raise SpoolError unless a process could use the database of a spool; nothing is made."""
    from walker_collector.spool.postgres import check_access

    check_access(_place(config, url), delivers=delivers, shards=shards)


def _place(config: SpoolConfig, url: Secret) -> "Place":
    from walker_collector.spool.postgres import Place

    return Place(
        url=url.reveal(),
        schema=config.schema,
        lease_url=config.lease_url.reveal() if config.lease_url else None,
        max_events=config.max_events,
        max_bytes=config.max_bytes,
        sync=config.sync,
    )
