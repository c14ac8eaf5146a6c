"""Inserts of many rows by few statements.

A call of SQLite releases the interpreter, for each row of an `executemany` as well, and a busy
thread may keep it for milliseconds then.
"""

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

_BLOCKS: Final = (50, 10)
"""Rows of one statement, the most first. Of rows that are left, each is a statement."""


def insert_rows(db: sqlite3.Connection, insert: str, rows: Sequence[Sequence[Any]]) -> int:
    """Insert rows of the same length, by a statement up to its VALUES; return how many it was."""
    inserted = at = 0
    for size in _BLOCKS:
        while len(rows) - at >= size:
            values = list(chain.from_iterable(rows[at : at + size]))
            inserted += db.execute(_statement(insert, len(rows[0]), size), values).rowcount
            at += size
    if at < len(rows):
        inserted += db.executemany(_statement(insert, len(rows[0]), 1), rows[at:]).rowcount
    return inserted


@lru_cache
def _statement(insert: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{insert} {', '.join([row] * rows)}"
