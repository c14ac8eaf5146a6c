"""The window: the first waiting entries are in memory, the others in the spool alone."""

import sys
from collections.abc import Callable, Container
from itertools import accumulate, islice
from typing import Final

from walker_collector.delivery.kept_runs import KeptRuns
from walker_collector.spool import LAST_SEQ, Entry, Spool, StoredEntry

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

    With several shards, entries of this process are kept above that number, until those before
    them are read. `is_owned` tells whether it delivers one of them.
    """

    def __init__(self, spool: Spool, destination: str, is_owned: Callable[[Entry], bool]) -> None:
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
        self._is_owned = is_owned
        self._own = KeptRuns(self.limit, self.limit_bytes)
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

    def keep(self, entries: list[Entry], *, held: bool) -> None:
        """Take the next entries of this process, of whichever shards, for their turn."""
        if entries[0][0] <= self.loaded_up_to:  # read from the spool before they were handed over
            entries = [entry for entry in entries if entry[0] > self.loaded_up_to]
        if not entries:
            return
        if self._own.next is None and entries[0][0] == self.loaded_up_to + 1:
            self._own.is_complete = True  # nobody can have added any in between
        self._own.keep(entries, held=held)
        self.more_on_disk = self.foreign = True

    @property
    def kept_count(self) -> int:
        """The number of entries that are kept for their turn."""
        return self._own.count

    def forget(self, seqs: Container[int]) -> None:
        """Forget the kept ones of these entries: the spool has them no more."""
        if self._own.count:
            self._own.drop(seqs)

    def read_on(self) -> list[StoredEntry]:
        """Return the next slice, read from disk unless it is kept. Raises SpoolError."""
        if not self._disk:
            self.more_on_disk = self.foreign = False
            return []
        kept = self._own.next
        if kept is None:
            return self._read(LAST_SEQ)
        if not (kept.follows or kept.first == self.loaded_up_to + 1):
            stored = self._read(kept.first - 1)
            kept.follows = self.loaded_up_to == kept.first - 1
            return stored
        found, self.loaded_up_to = self._own.take(_SLICE, self._is_owned)
        self.more_on_disk = self.foreign = self._own.next is not None or not self._own.is_complete
        return found

    def _read(self, up_to: int) -> list[StoredEntry]:
        """Read the next slice from disk, up to a number."""
        assert self._disk is not None
        limit, limit_bytes = min(_SLICE, WINDOW), self.limit_bytes // 2
        # Asked for first: what is stored later is still to be read.
        newest = 0 if self.shards is None else self._disk.heard_newest()
        stored = self._disk.load(
            self._destination,
            self.loaded_up_to,
            limit,
            limit_bytes,
            held=True,
            shards=self.shards,
            up_to=up_to,
        )
        if stored:
            self.loaded_up_to = stored[-1].entry[0]
        # A slice that is short for its bytes is not the last one; one that is empty is.
        size = sum([len(item.entry[3]) for item in stored])
        if len(stored) == limit or size >= limit_bytes:
            return stored
        # The entries of other shards are not looked at again.
        if up_to < LAST_SEQ:
            self.loaded_up_to = up_to
        else:
            self.loaded_up_to = max(self.loaded_up_to, newest)
            self._own.is_complete = True
            self.more_on_disk = self.foreign = False
        return stored

    def may_have_more(self) -> bool:
        """Return whether others may have added entries, as far as this process has heard."""
        if self._disk is None or self.shards is None or not self._own.is_complete:
            return True
        return self._disk.heard_newest() > max(self.loaded_up_to, self._own.last)

    def note_foreign(self) -> None:
        """Note that another process may have added entries: new ones are read in their turn."""
        self._own.is_complete = False
        self.more_on_disk = self.foreign = True

    def restart(self, known_up_to: int) -> None:
        """Begin at the first entry on disk; those up to a number are counted already."""
        self._own.clear()
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
