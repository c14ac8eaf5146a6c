"""Entries that this process has committed, in memory until they are next in line.

Other processes commit in between. What they have added is read from the spool, up to the first
entry that is kept here; then these are taken, and need not be read.
"""

from collections import deque
from collections.abc import Callable, Container
from typing import Final

from attrs import define

from walker_collector.spool import Entry, StoredEntry

_WORTH_KEEPING: Final = 100
"""Entries after those of others that are kept. Fewer are read, along with those of others."""


@define(eq=False)
class KeptRun:
    """Entries in one state, from number `first` to `last`.

    `follows`: whether nobody has added any between the run before, or what was read, and this one.
    """

    entries: list[Entry]
    held: bool
    first: int
    last: int
    follows: bool


class KeptRuns:
    """The runs that are kept, in order: at most `limit` entries, and `limit_bytes` of their JSON.

    `is_complete`: nobody has added any after the last of them; if there is none, after what was
    read.
    """

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._runs: deque[KeptRun] = deque()
        self.count = self._bytes = 0
        self.is_complete = False

    @property
    def next(self) -> KeptRun | None:
        """The run that is next in line."""
        return self._runs[0] if self._runs else None

    @property
    def last(self) -> int:
        """The number of the last entry; 0: none is kept."""
        return self._runs[-1].last if self._runs else 0

    def keep(self, entries: list[Entry], *, held: bool) -> None:
        """Keep the next entries of this process; or let them be read like those of others.

        That is where there is no room, or where they are few, and are read along with others.
        """
        follows, count = self.is_complete, len(entries)
        size = sum([len(entry[3]) for entry in entries])
        fits = self.count + count <= self._limit and self._bytes + size <= self._limit_bytes
        self.is_complete = fits and (follows or count >= _WORTH_KEEPING)
        if not self.is_complete:
            return
        self.count += count
        self._bytes += size
        last = self._runs[-1] if self._runs else None
        if follows and last is not None and last.held == held:
            last.entries += entries
            last.last = entries[-1][0]
        else:
            run = KeptRun([*entries], held, entries[0][0], entries[-1][0], follows)
            self._runs.append(run)

    def take(self, limit: int, is_owned: Callable[[Entry], bool]) -> tuple[list[StoredEntry], int]:
        """Take the next entries, at most so many; return the owned ones, and the last number."""
        run = self._runs[0]
        taken, left = run.entries[:limit], run.entries[limit:]
        held = run.held
        owned = [StoredEntry(entry, held=held) for entry in taken if is_owned(entry)]
        # After the questions, which may fail.
        self.count -= len(taken)
        self._bytes -= sum([len(entry[3]) for entry in taken])
        if left:
            run.entries, run.first, run.follows = left, left[0][0], True
            return owned, taken[-1][0]
        self._runs.popleft()
        return owned, run.last

    def drop(self, seqs: Container[int]) -> None:
        """Drop the entries with these numbers: the spool has them no more."""
        for run in self._runs:
            run.entries = [entry for entry in run.entries if entry[0] not in seqs]
        self.count = sum([len(run.entries) for run in self._runs])
        self._bytes = sum([len(entry[3]) for run in self._runs for entry in run.entries])

    def clear(self) -> None:
        """Drop all: everything is read from the spool."""
        self._runs.clear()
        self.count = self._bytes = 0
        self.is_complete = False
