"""Positions in inputs, as rows: see `Position`."""

from collections.abc import Sequence
from typing import Any

from walker_collector.offsets import Position, PositionLost
from walker_collector.spool.postgres.transactions import Transaction


def position_of(rows: Sequence[tuple[Any, ...]]) -> Position | None:
    """Return a position, given its row; None: there is none."""
    return Position(*rows[0]) if rows else None


def take_over(tx: Transaction, before: Position | None, position: Position) -> None:
    """Begin a run; raises PositionLost if the position is not the one from `before` any more."""
    if position_of(tx.rows("lock_position", (position.input,))) != before:
        raise PositionLost(position.input)
    tx.later("take_over_position", tuple(position))


def advance(tx: Transaction, positions: Sequence[Position]) -> None:
    """Write positions of runs; raises PositionLost if another run has taken one over."""
    if not positions:
        return
    columns = [list(column) for column in zip(*sorted(positions), strict=True)]
    written = {input_ for (input_,) in tx.rows("advance_positions", columns)}
    for position in positions:
        if position.input not in written:
            raise PositionLost(position.input)
