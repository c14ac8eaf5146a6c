"""The records of consent: the statements of each person, in memory and in the spool."""

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import Final

from walker_collector.people.read_ahead import ReadAhead
from walker_collector.spool import ConsentRecord, PeopleUpdate, mark_of

AVERAGE_BYTES: Final = 2_000
"""Average memory of a person's statements. Only people with more are dropped for it."""
_STATEMENT_BYTES: Final = 200
"""Memory of a statement beside its key."""


class ConsentRecords:
    """The statements of the `limit` people looked up last, and the order of statements.

    With a durable spool the others are read back from it; without one they are dropped. `lock`
    guards the memory, and is never held while the spool is written.
    """

    def __init__(
        self, store: ReadAhead | None, limit: int, now: Callable[[], int], lock: threading.RLock
    ) -> None:
        self._store = store
        self._limit = limit
        self._now = now
        self._lock = lock
        self._people: OrderedDict[str, ConsentRecord] = OrderedDict()
        self._large: OrderedDict[str, int] = OrderedDict()
        """The memory of people with more than the average, in the order of `_people`."""
        self._large_bytes = 0
        self._last_stamp = 0
        self.is_empty = not (self._store and self._store.has_consent())
        """Whether nobody has stated anything yet, so that the default holds for everybody."""

    def next_stamp(self) -> int:
        """Return the stamp of a new statement: above all before it, of any process, however the
        clock is set. It is the clock's time in thousandths of ms.
        """
        stored = self._store.last_stamp() if self._store else 0
        with self._lock:
            self._last_stamp = max(self._last_stamp + 1, stored + 1, self._now() * 1_000)
            return self._last_stamp

    def get(self, person: str) -> ConsentRecord:
        """Return all statements of a person."""
        with self._lock:
            record = self._people.get(person)
            if record is None:
                record = self._store.consent_of(person) if self._store else {}
                self.put(person, record)
            else:
                self._people.move_to_end(person)
                if person in self._large:
                    self._large.move_to_end(person)
            return record

    def store(self, update: PeopleUpdate) -> None:
        """Store an update about people, in a durable spool; raises SpoolError."""
        if self._store:
            self._store.learn(update)

    def put(self, person: str, record: ConsentRecord) -> None:
        """Keep all statements of a person in memory; the spool has them already."""
        with self._lock:
            if record:
                self.is_empty = False
            self._people[person] = record
            self._people.move_to_end(person)
            self._large_bytes -= self._large.pop(person, 0)
            if (size := _memory(record)) > AVERAGE_BYTES:
                self._large[person] = size
                self._large_bytes += size
            if len(self._people) > self._limit:
                self._forget(next(iter(self._people)))
            while self._large_bytes > self._limit * AVERAGE_BYTES and len(self._large) > 1:
                self._forget(next(iter(self._large)))

    def _forget(self, person: str) -> None:
        self._people.pop(person, None)
        self._large_bytes -= self._large.pop(person, 0)

    def reread(self, people: Iterable[str] | None) -> None:
        """Read these people's statements (None: everybody's) from the spool when next asked for."""
        with self._lock:
            for person in list(self._people) if people is None else people:
                self._forget(person)
            self.is_empty = not (self._store and self._store.has_consent())

    def reread_marked(self, marks: Collection[int]) -> None:
        """Read the statements of people with these marks from the spool."""
        with self._lock:
            self.reread([person for person in self._people if mark_of(person) in marks])

    def drop(self, people: Iterable[str]) -> None:
        """Drop these people from memory; the spool has erased them."""
        with self._lock:
            for person in people:
                self._forget(person)


def _memory(record: ConsentRecord) -> int:
    return sum(sys.getsizeof(key) + _STATEMENT_BYTES for key in record)
