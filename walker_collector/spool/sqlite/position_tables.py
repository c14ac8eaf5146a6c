"""The statements over positions in files of events: `positions`, by the path of the file.

A position belongs to a run. Another run of the file takes it over: from then on, writes of the
earlier one fail, with all that is in their transaction. So no line is accepted twice.

Every function is given the connection of the group commit, within a transaction.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from walker_collector.spool.base import Position, PositionLost

POSITION: Final = "SELECT input, run, line, checksum FROM positions WHERE input = ?"
_TAKE_OVER: Final = (
    "INSERT OR REPLACE INTO positions (input, run, line, checksum) VALUES (?, ?, ?, ?)"
)
_ADVANCE: Final = "UPDATE positions SET line = ?, checksum = ? WHERE input = ? AND run = ?"


def position_of(rows: Sequence[tuple[Any, ...]]) -> Position | None:
    """Return a position, given the rows of POSITION; None: there is none, or it is damaged."""
    for input_, run, line, checksum in rows:
        if isinstance(run, str) and isinstance(line, int) and isinstance(checksum, int):
            return Position(input_, run, line, checksum)
    return None


def take_over(db: sqlite3.Connection, before: Position | None, position: Position) -> None:
    """Begin a run; raises PositionLost if the position is not the one from `before` any more."""
    if position_of(db.execute(POSITION, (position.input,)).fetchall()) != before:
        raise _lost(position)
    db.execute(_TAKE_OVER, position)


def advance(db: sqlite3.Connection, position: Position) -> None:
    """Write the position of a run; raises PositionLost if another run has taken it over."""
    values = position.line, position.checksum, position.input, position.run
    if db.execute(_ADVANCE, values).rowcount == 0:
        raise _lost(position)


def _lost(position: Position) -> PositionLost:
    return PositionLost(
        f"another `walker run` reads {position.input} with this spool, and has begun later; only "
        "that one goes on"
    )
