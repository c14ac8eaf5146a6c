"""The spool in a PostgreSQL database, for processes on any number of machines.

Its driver is an extra of this package: see `open_spool`.
"""

from typing import TYPE_CHECKING, Any

from walker_collector.errors import SpoolError
from walker_collector.spool.postgres.spool_place import Place

if TYPE_CHECKING:
    from walker_collector.spool.postgres.postgres_spool import PostgresSpool

__all__ = ["Place", "check_access", "open_spool"]


def open_spool(place: Place, **options: Any) -> "PostgresSpool":
    """Open the spool at a place; `options` are those of PostgresSpool. Raises SpoolError."""
    _require_driver()
    from walker_collector.spool.postgres.postgres_spool import PostgresSpool

    return PostgresSpool(place, **options)


def check_access(place: Place, *, delivers: bool, shards: int | None = None) -> None:
    """Raise SpoolError unless a process could use the spool at a place; nothing is made."""
    _require_driver()
    from walker_collector.spool.postgres import access

    access.check_access(place, delivers=delivers, shards=shards)


def _require_driver() -> None:
    try:
        import psycopg  # noqa: F401  # only looked for: few flows have a spool in PostgreSQL
    except ImportError as error:
        raise SpoolError(
            f'spool.url needs psycopg ({error}): pip install "walker-collector[postgres]"'
        ) from error
