"""The entries that this process has accepted, among those of others in one spool."""

from bisect import bisect_right
from collections.abc import Iterable
from operator import itemgetter
from typing import Final

_RUNS: Final = 100
"""Runs that are kept. Of more, the first two become one, with the entries of others between."""


class OwnEntries:
    """The numbers of these entries, as runs between those of other processes.

    Numbers within a run may be those of entries for other destinations. `inherited`: entries up to
    this number were there when the process found the spool without any other; they are its own.
    """

    def __init__(self, inherited: int | None) -> None:
        self.runs: list[tuple[int, int]] = [] if inherited is None else [(0, inherited)]
        self._is_broken = inherited is None

    def others_added(self) -> None:
        """Note that another process has accepted entries since the last of this one."""
        self._is_broken = True

    def add(self, first: int, last: int) -> None:
        """Add entries that this process has just accepted."""
        runs = self.runs
        if self._is_broken or not runs:
            runs.append((first, last))
            self._is_broken = False
            self._bound()
        else:
            runs[-1] = runs[-1][0], last

    def add_again(self, seqs: Iterable[int]) -> None:
        """Add entries that this process has queued again."""
        others = [(seq, seq) for seq in seqs if seq not in self]
        self.runs = sorted([*others, *self.runs])
        self._bound()

    def _bound(self) -> None:
        while len(self.runs) > _RUNS:
            (first, end), (start, last) = self.runs[:2]
            self.runs[:2] = [(min(first, start), max(end, last))]

    @property
    def are_all(self) -> bool:
        """Whether no other process has accepted anything."""
        return not self._is_broken and len(self.runs) == 1 and self.runs[0][0] == 0

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self.runs, seq, key=itemgetter(0))
        return at > 0 and seq <= self.runs[at - 1][1]
