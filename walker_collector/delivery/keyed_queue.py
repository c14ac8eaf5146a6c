"""A queue with one order per key: each person's entries in order, different people in parallel.

Also known as message groups. Pure state over entries; PendingEvents does the locking and the
waiting.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

from walker_collector.spool import Entry

_PROBE_SCAN: Final = 1_000
"""Entries that are searched for a probe."""
_RETRIES_PART: Final = 10
"""One place in ten of a batch is for retries, however many entries are ready."""


class KeyedQueue:
    """Entries that are ready, parked behind their person's earlier ones, or waiting for a retry.

    A person is busy while a batch with their events is in flight, or while one of their events
    waits for a retry; their later events are parked until then. Entries without a person ("")
    are never parked. `canonical` maps each key of a person to the current one. As that may change
    at any time, a taken entry keeps the key it was taken with until `rejoin` is called.
    """

    def __init__(self, canonical: Callable[[str], str]) -> None:
        self._canonical = canonical
        self.ready: deque[Entry] = deque()
        self._parked: dict[str, deque[Entry]] = {}
        self._parked_count = 0
        self._busy: dict[str, int] = {}
        """The number of each person's entries that are in flight or wait for a retry."""
        self._blocked: set[str] = set()
        self._taken: dict[int, str] = {}
        """The person of each entry that keeps its person busy."""
        self._retries: list[tuple[int, int, Entry]] = []
        self.due: deque[Entry] = deque()
        """Retries whose time has come. They are not mixed with the ready entries, as retries that
        are slow to fail must not keep the others waiting. Their people stay busy."""

    def __len__(self) -> int:
        return len(self.ready) + self._parked_count + self.retrying

    @property
    def retrying(self) -> int:
        """The number of entries that wait for a retry."""
        return len(self._retries) + len(self.due)

    @property
    def next_due(self) -> int | None:
        """The time of the next retry (ms), or None."""
        return self._retries[0][0] if self._retries else None

    def person(self, entry: Entry) -> str:
        """Return the person that a taken entry keeps busy, or ""."""
        return self._taken.get(entry[0], "")

    def add(self, entries: Iterable[Entry]) -> None:
        """Queue entries at the end."""
        self.ready.extend(entries)

    def insert(self, entries: Sequence[Entry]) -> None:
        """Queue sorted entries among the waiting ones, in the order of acceptance."""
        parked: set[str] = set()
        if self._retries or self.due:
            entries, parked = self._park_behind_retries(entries)
        # Mostly all of them are older than the first that waits, and sorting would be wasted.
        if self.ready and entries and self.ready[0] < entries[-1]:
            self.ready = deque(sorted([*self.ready, *entries]))
        else:
            self.ready.extendleft(reversed(entries))
        if parked and self.due:
            self._give_way(parked)

    def _park_behind_retries(self, entries: Sequence[Entry]) -> tuple[list[Entry], set[str]]:
        """Park entries of busy people; return the other entries, and the busy people."""
        others: list[Entry] = []
        people: set[str] = set()
        for entry in entries:
            try:
                person = self._canonical(entry[1])
            except Exception:  # the spool cannot be read: `take_ready` will ask again, and raise
                person = ""
            if person in self._busy:
                self._park(person, entry)
                people.add(person)
            else:
                others.append(entry)
        return others, people

    def _give_way(self, people: set[str]) -> None:
        """Put due retries of these people back in line if older events of theirs are parked."""
        overtaken = [entry for entry in self.due if self.person(entry) in people]
        overtaken = [entry for entry in overtaken if self._has_older(entry)]
        for entry in overtaken:
            self.due.remove(entry)
        if overtaken:
            self.put_back(overtaken)

    def _has_older(self, retry: Entry) -> bool:
        """Return whether a parked event of the person is older than the retry, and goes first."""
        parked = self._parked.get(self.person(retry))
        return parked is not None and min(parked, default=retry) < retry

    def take(self, size: int, size_bytes: int | None) -> list[Entry]:
        """Take the next batch: at most `size` entries and `size_bytes` of JSON, at least one.

        Ready entries come first, but some places are kept for retries that are due.
        """
        kept = min(len(self.due), max(1, size // _RETRIES_PART)) if size > 1 else 0
        batch = self.take_ready(size - kept, size_bytes)
        left = None if size_bytes is None else size_bytes - sum(len(entry[3]) for entry in batch)
        while len(batch) < size and (entry := self._next_retry()):
            if left is not None and batch and len(entry[3]) > left:
                self.due.appendleft(entry)
                break
            left = None if left is None else left - len(entry[3])
            batch.append(entry)
        return batch

    def take_retry(self) -> list[Entry]:
        """Take one retry that is due, or nothing."""
        entry = self._next_retry()
        return [entry] if entry else []

    def _next_retry(self) -> Entry | None:
        for _ in range(len(self.due)):
            entry = self.due.popleft()
            if self.person(entry) not in self._blocked:
                return entry
            self.due.append(entry)
        return None

    def take_ready(self, size: int, size_bytes: int | None) -> list[Entry]:
        """Take a batch of ready entries only."""
        batch: list[Entry] = []
        try:
            self._fill(batch, size, size_bytes)
        except BaseException:  # `canonical` could not read the spool
            self.put_back(batch)
            raise
        return batch

    def _fill(self, batch: list[Entry], size: int, size_bytes: int | None) -> None:
        ready, busy, blocked = self.ready, self._busy, self._blocked
        mine: set[str] = set()  # people made busy by this batch: their later events may join it
        room = size_bytes or 0
        while ready and len(batch) < size:
            entry = ready[0]
            person = self._canonical(entry[1])
            if (person in busy and person not in mine) or person in blocked:
                # Parked entries are out of the way: later takes do not look at them again.
                self._park(person, ready.popleft())
                continue
            room -= len(entry[3])
            if size_bytes is not None and batch and room < 0:
                return
            batch.append(ready.popleft())
            if person:
                mine.add(person)
                busy[person] = busy.get(person, 0) + 1
                self._taken[entry[0]] = person

    def has_new(self, is_new: Callable[[int, str], bool]) -> bool:
        """Return whether an entry is ready that `is_new`: its outcome would say something new."""
        return any(
            person not in self._busy and person not in self._blocked and is_new(entry[0], person)
            for entry in islice(self.ready, _PROBE_SCAN)
            for person in (self._canonical(entry[1]) or f"event {entry[0]}",)
        )

    def take_probe(
        self, is_new: Callable[[int, str], bool], random: Callable[[], float]
    ) -> list[Entry]:
        """Take one entry that `is_new`, or else the next one.

        It is chosen at random among the first entries of all people, since the entries at the head
        of the queue may all belong to a few people with failing events.
        """
        scanned: list[Entry] = []
        firsts: dict[str, Entry] = {}
        while self.ready and len(scanned) < _PROBE_SCAN:
            entry = self.ready.popleft()
            person = self._canonical(entry[1])
            if person in self._busy or person in self._blocked:
                self._park(person, entry)
                continue
            scanned.append(entry)
            firsts.setdefault(person or f"event {entry[0]}", entry)
        self.ready.extendleft(reversed(scanned))
        new = [entry for person, entry in firsts.items() if is_new(entry[0], person)]
        if not new:
            return self.take(1, None)
        chosen = new[min(int(random() * len(new)), len(new) - 1)]
        self.ready.remove(chosen)
        if person := self._canonical(chosen[1]):
            self._busy[person] = 1
            self._taken[chosen[0]] = person
        return [chosen]

    def finish(self, entries: Sequence[Entry]) -> None:
        """Drop taken entries, and make those parked behind them ready."""
        if freed := self._leave(entries):
            self.insert(sorted(freed))

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Return taken entries to their place, and those parked behind them as well."""
        self.insert(sorted([*entries, *self._leave(entries)]))

    def retry(self, due: int, entry: Entry) -> None:
        """Try a taken entry again at `due` (ms); its person stays busy until then."""
        heapq.heappush(self._retries, (due, entry[0], entry))

    def hold_back(self, entries: Sequence[Entry]) -> None:
        """Park taken entries behind their person's retry, in front of those parked before."""
        for entry in reversed(entries):
            person = self._taken[entry[0]]
            self._leave([entry])
            self._parked.setdefault(person, deque()).appendleft(entry)
            self._parked_count += 1

    def restore(self, due: int, entry: Entry) -> None:
        """Queue an entry read from the spool that must not be tried before `due` (ms)."""
        person = self._canonical(entry[1])
        if person in self._busy or person in self._blocked:
            self._park(person, entry)
            return
        if person:
            self._busy[person] = 1
            self._taken[entry[0]] = person
        self.retry(due, entry)

    def wake(self, now: int) -> None:
        """Move the retries that are due at `now` (ms) to `due`."""
        overtaken: list[Entry] = []
        while self._retries and self._retries[0][0] <= now:
            entry = heapq.heappop(self._retries)[2]
            # A grant may have released an older event of the person, which must go first.
            (overtaken if self._has_older(entry) else self.due).append(entry)
        if overtaken:
            self.put_back(overtaken)

    def remove(self, wanted: Callable[[Entry], bool]) -> list[Entry]:
        """Remove and return the entries for which `wanted` is true, wherever they wait."""
        removed = [entry for entry in self.ready if wanted(entry)]
        self.ready = deque(entry for entry in self.ready if not wanted(entry))
        for person, parked in list(self._parked.items()):
            gone = [entry for entry in parked if wanted(entry)]
            removed += gone
            self._parked_count -= len(gone)
            self._parked[person] = deque(entry for entry in parked if not wanted(entry))
        gone = [entry for _, _, entry in self._retries if wanted(entry)]
        gone += [entry for entry in self.due if wanted(entry)]
        self._retries = [item for item in self._retries if not wanted(item[2])]
        heapq.heapify(self._retries)
        self.due = deque(entry for entry in self.due if not wanted(entry))
        self.finish(gone)
        return removed + gone

    @property
    def oldest(self) -> int | None:
        """The time of acceptance (ms) of the oldest waiting entry, or None."""
        # Ready and parked entries are in the order of acceptance, so their first ones are enough.
        firsts = [waiting[0] for waiting in (self.ready, *self._parked.values()) if waiting]
        firsts += [entry for _, _, entry in self._retries]
        firsts += self.due
        return min((entry[2] for entry in firsts), default=None)

    def is_blocked(self, person: str) -> bool:
        """Return whether a person's entries must not be taken."""
        return person in self._blocked

    def block(self, keys: Iterable[str]) -> None:
        """Park the entries of these people until `unblock`."""
        self._blocked.update(keys)

    def unblock(self, keys: Iterable[str]) -> None:
        """Allow the entries of these people to be taken again."""
        keys = set(keys)
        self._blocked -= keys
        idle = keys - self._busy.keys()
        self.insert(sorted(freed for key in idle for freed in self._unpark(key)))

    def rejoin(self, keys: Iterable[str]) -> None:
        """Re-key taken entries after an identity merge.

        The merged person's later events then wait for them.
        """
        for key in keys:
            person = self._canonical(key)
            if person == key or key not in self._busy:
                continue
            # Both keys may have entries in flight; the person is busy until all of them are done.
            for seq, owner in self._taken.items():
                if owner == key:
                    self._taken[seq] = person
            self._busy[person] = self._busy.get(person, 0) + self._busy.pop(key)
            self._parked.setdefault(person, deque()).extend(self._parked.pop(key, ()))

    def _park(self, person: str, entry: Entry) -> None:
        self._parked.setdefault(person, deque()).append(entry)
        self._parked_count += 1

    def _leave(self, entries: Iterable[Entry]) -> list[Entry]:
        """Remove entries from the taken ones; return the parked entries that become ready."""
        freed: list[Entry] = []
        for entry in entries:
            person = self._taken.pop(entry[0], None)
            if person is not None:
                freed += self._free(person)
        return freed

    def _free(self, person: str) -> Iterable[Entry]:
        """Count one taken entry less; if it was the person's last, return the parked ones."""
        left = self._busy[person] - 1
        if left:
            self._busy[person] = left
            return ()
        del self._busy[person]
        return () if person in self._blocked else self._unpark(person)

    def _unpark(self, person: str) -> Iterable[Entry]:
        parked = self._parked.pop(person, ())
        self._parked_count -= len(parked)
        return parked
