"""Refuse a file that is surely no spool by its first bytes, before anything is changed."""

import os
import sqlite3
from pathlib import Path
from typing import Final

from walker_collector.spool.processes.files import locks_path
from walker_collector.spool.sqlite.failure import spool_error
from walker_collector.spool.sqlite.schema import APPLICATION, not_a_spool

_HEADER: Final = 100
"""Bytes of the header of an SQLite file (https://www.sqlite.org/fileformat.html)."""
_MAGIC: Final = b"SQLite format 3\0"
_PAGES: Final = 28
_APPLICATION: Final = 68
"""Places of numbers in the header, of four bytes each."""


def refuse_foreign(path: Path, real: Path, descriptor: int) -> None:
    """Raise SpoolError for a file of another program.

    Nothing is concluded where lock files are beside the file, since it has been a spool; nor from a
    file with a log, which may have what the file lacks, or of a single page, without tables yet.
    """
    head = os.pread(descriptor, _HEADER, 0)
    log = Path(f"{real}-wal")
    if not head or locks_path(real).exists() or (log.exists() and log.stat().st_size):
        return
    if not head.startswith(_MAGIC):
        raise spool_error(path, sqlite3.DatabaseError("file is not a database"))
    pages, application = (int.from_bytes(head[at : at + 4]) for at in (_PAGES, _APPLICATION))
    if len(head) == _HEADER and pages > 1 and application != APPLICATION:
        raise not_a_spool(path)
