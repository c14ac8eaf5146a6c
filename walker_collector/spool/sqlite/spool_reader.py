"""Reading from a spool, on a connection of its own that writers never block."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from walker_collector.errors import SpoolError
from walker_collector.spool import damage
from walker_collector.spool.sqlite.failure import spool_error

Fetch = Callable[[sqlite3.Cursor], list[Any]]
"""Takes the rows that are wanted from a cursor."""


def fetch_all(cursor: sqlite3.Cursor) -> list[Any]:
    """Return all rows of a query."""
    return cursor.fetchall()


class SpoolReader:
    """Runs queries, one at a time; `turn` is held by the thread that reads.

    `lost` says what has happened to the file, if no other is to be read in its place.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.turn = threading.Lock()
        self.connection = connection
        self.lost = ""
        self._path = path

    def rows(self, sql: str, args: Sequence[Any] = (), fetch: Fetch = fetch_all) -> list[Any]:
        """Return the rows of a query that `fetch` takes from its cursor. Raises SpoolError."""
        with self.turn:
            if self.lost:
                raise SpoolError(self.lost)
            try:
                try:
                    return self._fetched(sql, args, fetch)
                except sqlite3.OperationalError as error:
                    if "decode" not in str(error):
                        raise
                    return self._damaged_rows(sql, args, fetch)
            except sqlite3.Error as error:
                raise spool_error(self._path, error) from error

    def _fetched(self, sql: str, args: Sequence[Any], fetch: Fetch) -> list[Any]:
        cursor = self.connection.execute(sql, args)
        try:
            return fetch(cursor)
        finally:
            cursor.close()  # else a query that was not read to its end would go on

    def _damaged_rows(self, sql: str, args: Sequence[Any], fetch: Fetch) -> list[Any]:
        """Return rows with text that is no UTF-8, its bad bytes replaced.

        One such text fails the whole query. A tolerant factory for every query would cost a call
        of Python for each text of each row.
        """
        try:
            self.connection.text_factory = damage.decoded
            return self._fetched(sql, args, fetch)
        finally:
            self.connection.text_factory = str
