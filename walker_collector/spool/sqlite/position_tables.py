"""The statements over positions in inputs: `positions`, by the name of the input.

A position belongs to a run. Another run of the input takes it over: from then on, writes of the
earlier one fail, with all that is in their transaction. So nothing is accepted twice.

Every function is given the connection of the group commit, within a transaction.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from walker_collector.offsets import Position, PositionLost

POSITION: Final = 'SELECT input, run, "offset", checksum FROM positions WHERE input = ?'
_TAKE_OVER: Final = (
    'INSERT OR REPLACE INTO positions (input, run, "offset", checksum) VALUES (?, ?, ?, ?)'
)
_ADVANCE: Final = 'UPDATE positions SET "offset" = ?, checksum = ? WHERE input = ? AND run = ?'


def position_of(rows: Sequence[tuple[Any, ...]]) -> Position | None:
    """Return a position, given the rows of POSITION; None: there is none, or it is damaged."""
    for input_, run, offset, checksum in rows:
        if isinstance(run, str) and isinstance(offset, int) and isinstance(checksum, int):
            return Position(input_, run, offset, checksum)
    return None


def take_over(db: sqlite3.Connection, before: Position | None, position: Position) -> None:
    """Begin a run; raises PositionLost if the position is not the one from `before` any more."""
    if position_of(db.execute(POSITION, (position.input,)).fetchall()) != before:
        raise PositionLost(position.input)
    db.execute(_TAKE_OVER, position)


def advance(db: sqlite3.Connection, positions: Iterable[Position]) -> None:
    """Write positions of runs; raises PositionLost if another run has taken one over."""
    for input_, run, offset, checksum in positions:
        if db.execute(_ADVANCE, (offset, checksum, input_, run)).rowcount == 0:
            raise PositionLost(input_)
