"""Positions in inputs that can be read again from any place: files of lines, partitions of topics.

A position is stored in the transaction that stores the events before it, so that a reader that ends
at any moment goes on exactly there. It belongs to a run: another run takes it over, and from then
on the earlier one stores nothing more of the input.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from walker_collector.errors import SpoolError


class Position(NamedTuple):
    """A position in an input.

    input: the name of the input, such as the path of a file. run: the run that reads it.
    offset: the offset of the next item; of a file the number of lines before it.
    checksum: of all lines before it; 0 where the input cannot change.
    """

    input: str
    run: str
    offset: int = 0
    checksum: int = 0


class PositionLost(SpoolError):
    """Another run has taken over an input, and goes on in place of this one.

    input: the name of the input.
    """

    def __init__(self, input: str) -> None:
        super().__init__(
            f"another run reads {input} with this spool, and has begun later; only that one goes on"
        )
        self.input = input


class PositionStore(Protocol):
    """The part of a durable spool that is about positions."""

    def position_of(self, input: str) -> Position | None:
        """Return the position in an input; None: no run has begun to read it."""

    def take_over_position(self, before: Position | None, position: Position) -> None:
        """Begin a run at a position, in place of `before`, which `position_of` has returned.

        Raises PositionLost if another run has gone on or begun since. Writes with a position of
        an earlier run fail from then on with PositionLost, and write nothing else either.
        """

    def keep_positions(self, positions: Sequence[Position]) -> None:
        """Write positions alone, all or none."""
