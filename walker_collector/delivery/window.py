"""The window: the first waiting entries are in memory, the others in the spool alone."""

import sys
from itertools import accumulate, islice
from typing import Final

from walker_collector.spool import Entry, Spool, StoredEntry

WINDOW: Final = 10_000
"""Waiting entries that are kept in memory beside a durable spool; the others stay on disk."""
_SLICE: Final = 1_000
"""Entries read at once. They are read under the worker's lock, and a push may wait for that."""
EVENT_BYTES: Final = 10_000
"""Bytes of JSON for each event that a limit by number admits: as many as that on average."""


class SpoolWindow:
    """The boundary between entries in memory and entries on disk: up to number `loaded_up_to`.

    `more_on_disk` says whether there may be any above it. Everything is guarded by the lock of
    the PendingEvents that own it.
    """

    def __init__(self, spool: Spool, destination: str) -> None:
        self.loaded_up_to = 0
        self.more_on_disk = spool.durable
        self.limit = WINDOW if spool.durable else sys.maxsize
        """Waiting entries that memory takes, if their JSON is within `limit_bytes`."""
        self.limit_bytes = self.limit * EVENT_BYTES
        """Bytes of JSON that memory takes."""
        self.known_up_to = 0
        """The last number that the count of waiting entries includes."""
        self.kept: set[int] = set()
        """Entries that stayed in memory when everything was to be read anew."""
        self.shards: frozenset[int] | None = None
        """The shards to read entries of; None: all."""
        self.foreign = False
        """Whether another process may have added entries that were not read yet."""
        self._disk = spool if spool.durable else None
        self._destination = destination
        self._refill_pauses = 0

    def admit(
        self, entries: list[Entry], in_memory: int, in_memory_bytes: int
    ) -> tuple[list[Entry], bool, int]:
        """Return the new entries that fit into memory, and the new `more_on_disk`, `loaded_up_to`.

        The others stay on disk until their turn. Changes nothing by itself.
        """
        if self.more_on_disk:  # new entries come after those on disk
            return [], True, self.loaded_up_to
        last = entries[-1][0]
        if entries[0][0] <= self.loaded_up_to:  # read from the spool before they were handed over
            entries = [entry for entry in entries if entry[0] > self.loaded_up_to]
        room = len(entries)
        if self._disk:
            sizes = accumulate((len(entry[3]) for entry in entries), initial=in_memory_bytes)
            fitting = sum(size <= self.limit_bytes for size in islice(sizes, 1, None))
            room = min(fitting, max(0, WINDOW - in_memory))
        if len(entries) <= room:
            return entries, False, max(self.loaded_up_to, last)
        return entries[:room], True, max(self.loaded_up_to, entries[room][0] - 1)

    def seen(self, seq: int) -> None:
        """Note that entries up to this number were committed, and need not be read."""
        if not self.more_on_disk:
            self.loaded_up_to = max(self.loaded_up_to, seq)

    def covers(self, entry: Entry) -> bool:
        """Return whether an entry belongs in memory, rather than being read in its turn."""
        return not self.more_on_disk or entry[0] <= self.loaded_up_to

    def wants_refill(self, in_memory: int, in_memory_bytes: int) -> bool:
        """Return whether to read the next slice: memory runs low, and no pause forbids it."""
        low = in_memory < WINDOW // 2 and in_memory_bytes < self.limit_bytes // 2
        return low and self.more_on_disk and not self._refill_pauses

    def read_on(self) -> list[StoredEntry]:
        """Read and return the next slice from disk. Raises SpoolError."""
        if not self._disk:
            self.more_on_disk = self.foreign = False
            return []
        limit, limit_bytes = min(_SLICE, WINDOW), self.limit_bytes // 2
        # Asked for first: what is stored later is still to be read.
        newest = 0 if self.shards is None else self._disk.newest()
        stored = self._disk.load(
            self._destination,
            self.loaded_up_to,
            limit,
            limit_bytes,
            held=True,
            shards=self.shards,
        )
        if stored:
            self.loaded_up_to = stored[-1].entry[0]
        # A slice that is short for its bytes is not the last one; one that is empty is.
        size = sum(len(item.entry[3]) for item in stored)
        if len(stored) < limit and size < limit_bytes:
            self.more_on_disk = self.foreign = False
            # The entries of other shards are not looked at again.
            self.loaded_up_to = max(self.loaded_up_to, newest)
        return stored

    def note_foreign(self) -> None:
        """Note that another process may have added entries: new ones are read in their turn."""
        self.more_on_disk = self.foreign = True

    def restart(self, known_up_to: int) -> None:
        """Begin at the first entry on disk; those up to a number are counted already."""
        self.loaded_up_to = 0
        self.known_up_to = known_up_to
        self.note_foreign()

    def pause_refill(self) -> None:
        """Read nothing until `resume_refill`."""
        self._refill_pauses += 1

    def resume_refill(self) -> bool:
        """Allow reading again; return whether a worker should do so now."""
        self._refill_pauses -= 1
        return self.more_on_disk and not self._refill_pauses
