"""Figures that all processes of a spool share in memory, so that one of them sees at once, without
asking SQLite, whether another has written.
"""

import mmap
import os
from typing import Final

_FIELDS: Final = 8
_SIZE: Final = _FIELDS * 8
_WRITER, _PID, _COMMITS, _SEQ, _EVENTS, _BYTES, _PEOPLE = range(7)


class SharedPage:
    """Counters in a file that is mapped into the memory of each process.

    They are changed under the write lock only, and read without it: each is one aligned word,
    which a processor writes as a whole. They are no truth: a process that opens a spool alone
    counts anew, and after a loss of power nobody is left who could miss anything.
    """

    def __init__(self, file: int) -> None:
        if os.fstat(file).st_size < _SIZE:
            os.ftruncate(file, _SIZE)  # fills up with zeros
        self._map = mmap.mmap(file, _SIZE)
        self._words = memoryview(self._map).cast("Q")

    @property
    def writer(self) -> int:
        """The token of the process that writes; 0 between writes. Whoever finds one there with the
        lock in hand knows that its writer was killed, and that the counters may be off by a write.
        """
        return self._words[_WRITER]

    @property
    def pid(self) -> int:
        """The process id of the last writer."""
        return self._words[_PID]

    @property
    def commits(self) -> int:
        """Counts commits: another value than before means that there may be something new."""
        return self._words[_COMMITS]

    @property
    def seq(self) -> int:
        """The last number that was given to an event."""
        return self._words[_SEQ]

    @property
    def events(self) -> int:
        """The number of events in the spool."""
        return self._words[_EVENTS]

    @property
    def bytes(self) -> int:
        """The size of the events in the spool."""
        return self._words[_BYTES]

    @property
    def people(self) -> int:
        """Counts the changes of consent and identities."""
        return self._words[_PEOPLE]

    # --- for whoever has the write lock ----------------------------------------------------

    def begin(self, token: int, pid: int) -> None:
        """Note who writes from now on."""
        self._words[_PID] = pid
        self._words[_WRITER] = token

    def end(self) -> None:
        """Note that what was written is committed, or rolled back."""
        self._words[_COMMITS] += 1
        self._words[_WRITER] = 0

    def take_numbers(self, count: int) -> int:
        """Reserve consecutive numbers and return the first. No number is ever given twice, even
        if what is numbered is not written.
        """
        first = self._words[_SEQ] + 1
        self._words[_SEQ] += count
        return first

    def count(self, events: int, size: int) -> None:
        """Add to the events and bytes in the spool; below nothing there is nothing."""
        self._words[_EVENTS] = max(0, self._words[_EVENTS] + events)
        self._words[_BYTES] = max(0, self._words[_BYTES] + size)

    def people_changed(self) -> int:
        """Count one more change of consent or identities; return the new version."""
        self._words[_PEOPLE] += 1
        return self._words[_PEOPLE]

    def set(self, *, seq: int, events: int, size: int, people: int) -> None:
        """Set the figures to those of the tables; no number goes back."""
        self._words[_SEQ] = max(self._words[_SEQ], seq)
        self._words[_EVENTS] = events
        self._words[_BYTES] = size
        self._words[_PEOPLE] = max(self._words[_PEOPLE], people)

    def close(self) -> None:
        """Give the memory back."""
        self._words.release()
        self._map.close()
