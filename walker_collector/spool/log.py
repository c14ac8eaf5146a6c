"""The write-ahead log: written back into the database before it gets long.

SQLite would have whoever commits do that, and others wait for its calls of fsync meanwhile: tens
of milliseconds. Here a thread that has time does most of it while others go on writing. They
wait for the end alone, which must find the log complete: else it would never begin anew.
"""

import contextlib
import os
import sqlite3
import threading

from walker_collector.errors import SpoolError
from walker_collector.spool.schema import LONG_LOG
from walker_collector.spool.writer import Writer


class Log:
    """Writes the log back beside a writer.

    `connection` is for this alone, `file` a descriptor of the database; None where that is only
    looked at.
    """

    def __init__(self, writer: Writer, connection: sqlite3.Connection, file: int | None) -> None:
        self.connection = connection
        self.turn = threading.Lock()
        self._writer = writer
        self._file = file

    def keep_short(self) -> None:
        """Write the log back if it is long."""
        if self._writer.grown >= LONG_LOG:
            self.write_back()

    def write_back(self) -> None:
        """Write the log back, unless somebody does so already."""
        if self._file is None or self.turn.locked():
            return
        with self.turn:
            self._writer.grown = 0
            # What could not be written back now stays in the log, where it is safe.
            with contextlib.suppress(sqlite3.Error, SpoolError, OSError):
                _checkpoint(self.connection)
                os.fsync(self._file)
                self._writer.alone(_checkpoint)


def _checkpoint(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
