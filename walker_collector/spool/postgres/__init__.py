"""The spool in a PostgreSQL database, for processes on any number of machines."""

from walker_collector.spool.postgres.spool_place import Place

__all__ = ["Place"]
