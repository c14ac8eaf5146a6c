"""Figures that all processes of a spool share in memory, so that one of them sees at once, without
asking SQLite, whether another has written.
"""

import mmap
import os
import secrets
from array import array
from typing import Final

from walker_collector.spool.processes.futex import Futex

_FIELDS: Final = 9
_SIZE: Final = _FIELDS * 8
COMMITS, WRITER, SEQ, EVENTS, BYTES, PEOPLE, ERASURES, STAMP, NAPPER = range(_FIELDS)
"""The places of the figures. Each push reads several: where it does, in `words` themselves."""
_PID: Final = 0xFFFF_FFFF


def _reserve(file: int, size: int) -> None:
    """Take the room for a file on the disk, filled up with zeros.

    On a full disk a file without it would end the process at its first write to the memory, by a
    signal (SIGBUS).
    """
    if hasattr(os, "posix_fallocate"):  # not on macOS
        os.posix_fallocate(file, 0, size)
    elif os.fstat(file).st_size < size:
        os.ftruncate(file, size)


class SharedPage:
    """Counters in a file that is mapped into the memory of each process.

    They are changed under the write lock only, and read without it: each is one aligned word,
    which a processor writes as a whole. They are no truth: a process that opens a spool alone
    counts anew, and after a loss of power nobody is left who could miss anything.
    """

    def __init__(self, file: int = -1) -> None:
        """Map a file; without one, memory of this process alone. Raises OSError if it is full."""
        if file >= 0:
            _reserve(file, _SIZE)
        memory = mmap.mmap(file, _SIZE)
        self.words: memoryview[int] = memoryview(memory).cast("q")
        self._futex: Futex | None = Futex(memory)

    @property
    def writer(self) -> int:
        """The token of the process that writes, which is negative once it has written.

        Whoever finds a positive one there with the lock in hand knows that its writer was killed,
        and that the counters may be off by a write.
        """
        return self.words[WRITER]

    @property
    def pid(self) -> int:
        """The process id of the last writer."""
        return abs(self.words[WRITER]) & _PID

    @property
    def commits(self) -> int:
        """Counts commits: another value than before means that there may be something new."""
        return self.words[COMMITS]

    @property
    def seq(self) -> int:
        """The last number that was given to an event."""
        return self.words[SEQ]

    @property
    def events(self) -> int:
        """The number of events in the spool."""
        return max(0, self.words[EVENTS])

    @property
    def bytes(self) -> int:
        """The size of the events in the spool."""
        return max(0, self.words[BYTES])

    @property
    def people(self) -> int:
        """Counts the changes of consent and identities."""
        return self.words[PEOPLE]

    @property
    def erasures(self) -> int:
        """Counts erasures of people: a counted one can be seen in the tables."""
        return self.words[ERASURES]

    @property
    def last_stamp(self) -> int:
        """The stamp of the last statement about consent."""
        return self.words[STAMP]

    def wait(self, commits: int, seconds: float) -> bool:
        """Wait for `wake`, unless there were more commits than these; return whether it can."""
        futex = self._futex
        if futex is None or not futex.works:
            return False
        futex.wait(commits, seconds)
        return True

    def wake(self) -> None:
        """Wake all threads that wait, in all processes."""
        if self._futex is not None:
            self._futex.wake()

    # --- for whoever has the write lock ----------------------------------------------------

    def people_changed(self) -> None:
        """Count one more change of consent or identities."""
        self.words[PEOPLE] += 1

    def stated(self, stamp: int) -> None:
        """Note the stamp of a statement about consent that is committed."""
        self.words[STAMP] = max(self.words[STAMP], stamp)

    def erased(self) -> None:
        """Count an erasure that is committed."""
        self.words[ERASURES] += 1
        self.people_changed()

    def set(self, *, seq: int, events: int, size: int, stamp: int) -> None:
        """Set the figures to those of the tables; no number goes back."""
        self.stated(stamp)
        self.words[SEQ] = max(self.words[SEQ], seq)
        self.words[EVENTS] = events
        self.words[BYTES] = size
        self.erased()  # there may have been one: whatever was known of people is read again

    def close(self) -> None:
        """Give the memory back; the figures stay as they are.

        It is unmapped as soon as no thread that reads a figure has it any more.
        """
        self.words = memoryview(array("q", self.words))
        self._futex = None


def new_token() -> int:
    """Return a token for WRITER that no other process has; its lower half is the process id."""
    return (1 + secrets.randbits(30)) << 32 | os.getpid()
