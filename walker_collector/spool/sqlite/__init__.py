"""The durable spool in an SQLite file."""

from walker_collector.spool.sqlite.schema import VERSION
from walker_collector.spool.sqlite.sqlite_spool import SqliteSpool

__all__ = ["VERSION", "SqliteSpool"]
