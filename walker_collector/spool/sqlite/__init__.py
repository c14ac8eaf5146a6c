"""The durable spool in an SQLite file."""

from walker_collector.spool.sqlite.engine import SqliteSpool
from walker_collector.spool.sqlite.schema import VERSION

__all__ = ["VERSION", "SqliteSpool"]
