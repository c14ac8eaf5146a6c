"""Positions in files of events, as rows: see `Position`."""

from collections.abc import Sequence
from typing import Any

from walker_collector.spool.base import Position, PositionLost
from walker_collector.spool.postgres.transactions import Transaction


def position_of(rows: Sequence[tuple[Any, ...]]) -> Position | None:
    """Return a position, given its row; None: there is none."""
    return Position(*rows[0]) if rows else None


def take_over(tx: Transaction, before: Position | None, position: Position) -> None:
    """Begin a run; raises PositionLost if the position is not the one from `before` any more."""
    if position_of(tx.rows("lock_position", (position.input,))) != before:
        raise _lost(position)
    tx.later("take_over_position", tuple(position))


def advance(tx: Transaction, position: Position) -> None:
    """Write the position of a run; raises PositionLost if another run has taken it over."""
    values = position.line, position.checksum, position.input, position.run
    if not tx.rows("advance_position", values):
        raise _lost(position)


def _lost(position: Position) -> PositionLost:
    return PositionLost(
        f"another `walker run` reads {position.input} with this spool, and has begun later; only "
        "that one goes on"
    )
