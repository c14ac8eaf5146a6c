"""The spool in PostgreSQL, where it differs from any other: against a real server."""
