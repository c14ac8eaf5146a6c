"""Reading from a spool, on a connection of its own that writers never block."""

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from walker_collector.spool import damage
from walker_collector.spool.sqlite.failure import spool_error


class SpoolReader:
    """Runs queries, one at a time; `turn` is held by the thread that reads."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.turn = threading.Lock()
        self._connection = connection
        self._path = path

    def rows(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of a query. Raises SpoolError."""
        with self.turn:
            try:
                try:
                    return self._connection.execute(sql, args).fetchall()
                except sqlite3.OperationalError as error:
                    if "decode" not in str(error):
                        raise
                    return self._damaged_rows(sql, args)
            except sqlite3.Error as error:
                raise spool_error(self._path, error) from error

    def _damaged_rows(self, sql: str, args: Sequence[Any]) -> list[Any]:
        """Return rows with text that is no UTF-8, its bad bytes replaced.

        One such text fails the whole query. A tolerant factory for every query would cost a call
        of Python for each text of each row.
        """
        try:
            self._connection.text_factory = damage.decoded
            return self._connection.execute(sql, args).fetchall()
        finally:
            self._connection.text_factory = str
