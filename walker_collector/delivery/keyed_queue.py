"""A queue with one order per key: each person's entries in order, different people in parallel.

Also known as message groups. Pure state over entries; PendingEvents does the locking and the
waiting.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Final

from walker_collector.delivery.retries import Retries
from walker_collector.spool import Entry

_RETRIES_PART: Final = 10
"""One place in ten of a batch is for retries, however many entries are ready."""
_BODY: Final = itemgetter(3)


def size_of(entries: Iterable[Entry]) -> int:
    """Return the bytes of JSON of these entries."""
    return sum(map(len, map(_BODY, entries)))


class BusyPeople:
    """People with a taken entry, in flight or waiting for a retry; their later entries are parked.

    A taken entry keeps the key it was taken with until `rejoin` is called, as the person of a key
    may change at any time. Entries without a person ("") are never parked.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._of: dict[int, str] = {}
        self._only: tuple[Sequence[Entry], Sequence[str]] | None = None
        """A batch beside which nothing is taken, and its people. Mostly it is finished as a whole,
        before anybody asks for one of its entries."""
        self.blocked: set[str] = set()
        """People without any entry that may be taken."""
        self.parked: dict[str, deque[Entry]] = {}
        self.parked_count = 0

    @property
    def counts(self) -> dict[str, int]:
        """The number of each person's taken entries."""
        if self._only is not None:
            self._note_each()
        return self._counts

    @property
    def of(self) -> dict[int, str]:
        """The person of each taken entry."""
        if self._only is not None:
            self._note_each()
        return self._of

    def _note_each(self) -> None:
        """Note the entries of the only batch one by one."""
        entries, people = self._only or ((), ())
        pairs = zip(entries, people, strict=True)
        of = {entry[0]: person for entry, person in pairs if person}
        counts = dict(Counter(of.values()))
        # No call between these lines, so no signal handler can run: all of them happen, or none.
        self._counts = counts
        self._of = of
        self._only = None

    @property
    def none_waits(self) -> bool:
        """Whether nobody's entries must wait."""
        return not (self._counts or self.blocked) and self._only is None

    def take_only(self, entries: Sequence[Entry], people: Sequence[str]) -> None:
        """Note that these entries are taken, while nobody's must wait."""
        self._only = entries, people

    def waits(self, person: str) -> bool:
        """Return whether a person's entries must wait."""
        return person in self.counts or person in self.blocked

    def take(self, person: str, entry: Entry) -> None:
        """Note that an entry is taken."""
        if person:
            self.counts[person] = self.counts.get(person, 0) + 1
            self.of[entry[0]] = person

    def park(self, person: str, entry: Entry) -> None:
        """Let an entry wait behind its person's taken ones."""
        self.parked.setdefault(person, deque()).append(entry)
        self.parked_count += 1

    def park_first(self, entry: Entry) -> None:
        """Park a taken entry, in front of those parked before."""
        person = self.of[entry[0]]
        self.leave([entry])
        self.parked.setdefault(person, deque()).appendleft(entry)
        self.parked_count += 1

    def has_older(self, taken: Entry) -> bool:
        """Return whether a parked entry of the person is older than a taken one."""
        parked = self.parked.get(self.of.get(taken[0], ""))
        return parked is not None and min(parked, default=taken) < taken

    def behind_retry(self, in_flight: Iterable[int]) -> Callable[[Entry], bool]:
        """Return whether an entry waits behind one of its person that waits for a retry."""
        delivering = Counter(self.of.get(seq) for seq in in_flight)

        def is_behind(entry: Entry) -> bool:
            # In flight under an older key of the person, or taken itself: not behind.
            return entry[0] not in self.of and self.counts.get(entry[1], 0) > delivering[entry[1]]

        return is_behind

    def leave(self, entries: Iterable[Entry]) -> list[Entry]:
        """Remove entries from the taken ones; return the parked entries that become ready."""
        if self._only is not None and self._only[0] is entries:
            self._only = None  # nobody has come to wait for them
            return []
        freed: list[Entry] = []
        counts, of = self.counts, self.of
        for entry in entries:
            person = of.pop(entry[0], None)
            if person is None:
                continue
            left = counts[person] - 1
            if left:
                counts[person] = left
                continue
            del counts[person]
            if person in self.parked and person not in self.blocked:
                freed += self.unpark(person)
        return freed

    def unpark(self, person: str) -> Iterable[Entry]:
        """Remove and return a person's parked entries."""
        parked = self.parked.pop(person, ())
        self.parked_count -= len(parked)
        return parked

    def remove(self, wanted: Callable[[Entry], bool]) -> list[Entry]:
        """Remove and return the parked entries for which `wanted` is true."""
        removed: list[Entry] = []
        for person, parked in list(self.parked.items()):
            gone = [entry for entry in parked if wanted(entry)]
            removed += gone
            self.parked_count -= len(gone)
            self.parked[person] = deque(entry for entry in parked if not wanted(entry))
        return removed

    def rejoin(self, key: str, person: str) -> None:
        """Re-key the taken and parked entries of a key to a person."""
        if person == key or key not in self.counts:
            return
        # Both keys may have entries in flight; the person is busy until all of them are done.
        for seq, owner in self.of.items():
            if owner == key:
                self.of[seq] = person
        self.counts[person] = self.counts.get(person, 0) + self.counts.pop(key)
        self.parked.setdefault(person, deque()).extend(self.parked.pop(key, ()))


class KeyedQueue:
    """Entries that are ready, parked behind their person's earlier ones, or waiting for a retry.

    `canonical` maps each key of a person to the current one; `canonical_keys` does so with many.
    """

    def __init__(
        self,
        canonical: Callable[[str], str],
        canonical_keys: Callable[[Iterable[str]], list[str]] | None = None,
    ) -> None:
        self.canonical = canonical
        self._canonical_keys = canonical_keys or (lambda keys: [canonical(key) for key in keys])
        self.ready: deque[Entry] = deque()
        self.people = BusyPeople()
        self.retries = Retries()
        self.has_freed = False
        """Whether entries that were parked have become ready; reset by its reader."""

    def __len__(self) -> int:
        return len(self.ready) + self.people.parked_count + len(self.retries)

    def __iter__(self) -> Iterator[Entry]:
        yield from self.ready
        for parked in self.people.parked.values():
            yield from parked
        yield from self.retries

    def add(self, entries: Iterable[Entry]) -> None:
        """Queue entries at the end."""
        self.ready.extend(entries)

    def insert(self, entries: Sequence[Entry]) -> None:
        """Queue sorted entries among the waiting ones, in the order of acceptance."""
        parked: set[str] = set()
        if self.retries:
            entries, parked = self._park_behind_retries(entries)
        # Mostly all of them are older than the first that waits, and sorting would be wasted.
        if self.ready and entries and self.ready[0] < entries[-1]:
            self.ready = deque(sorted([*self.ready, *entries]))
        else:
            self.ready.extendleft(reversed(entries))
        if parked:
            self._give_way(parked)

    def _park_behind_retries(self, entries: Sequence[Entry]) -> tuple[list[Entry], set[str]]:
        """Park entries of busy people; return the other entries, and the busy people."""
        others: list[Entry] = []
        people: set[str] = set()
        for entry in entries:
            try:
                person = self.canonical(entry[1])
            except Exception:  # the spool cannot be read: `take_ready` will ask again, and raise
                person = ""
            if person in self.people.counts:
                self.people.park(person, entry)
                people.add(person)
            else:
                others.append(entry)
        return others, people

    def _give_way(self, people: set[str]) -> None:
        """Put due retries of these people back in line if older events of theirs are parked."""
        of, has_older = self.people.of, self.people.has_older
        overtaken = [
            entry
            for entry in self.retries.due
            if of.get(entry[0], "") in people and has_older(entry)
        ]
        for entry in overtaken:
            self.retries.due.remove(entry)
        if overtaken:
            self.return_to_place(overtaken)

    # --- take ------------------------------------------------------------------------------

    def take(self, size: int, size_bytes: int | None, least: int = 1) -> list[Entry]:
        """Take the next batch: at most `size` entries and `size_bytes` of JSON, at least one.

        Takes nothing while fewer than `least` are ready, as others have to wait behind their
        person's. Ready entries come first, but some places are kept for retries that are due.
        """
        if not self.retries.due:
            return self.take_ready(size, size_bytes, least)
        kept = min(len(self.retries.due), max(1, size // _RETRIES_PART)) if size > 1 else 0
        batch = self.take_ready(size - kept, size_bytes)
        left = None if size_bytes is None else size_bytes - size_of(batch)
        while len(batch) < size and (found := self.take_retry()):
            if left is not None and batch and len(found[0][3]) > left:
                self.retries.due.appendleft(found[0])
                break
            left = None if left is None else left - len(found[0][3])
            batch += found
        return batch

    def take_retry(self) -> list[Entry]:
        """Take one retry that is due, or nothing."""
        due, of, blocked = self.retries.due, self.people.of, self.people.blocked
        for _ in range(len(due)):
            entry = due.popleft()
            if of.get(entry[0], "") not in blocked:
                return [entry]
            due.append(entry)
        return []

    def take_ready(self, size: int, size_bytes: int | None, least: int = 1) -> list[Entry]:
        """Take a batch of ready entries only; see `take`."""
        if self.people.none_waits and (first := self._take_first(size, size_bytes)):
            return first
        batch: list[Entry] = []
        try:
            self._fill(batch, size, size_bytes)
        except BaseException:  # `canonical` could not read the spool
            self.return_to_place(batch)
            raise
        if len(batch) < least and not self.ready:  # else it is full, by its bytes
            self.return_to_place(batch)
            return []
        return batch

    def _take_first(self, size: int, size_bytes: int | None) -> list[Entry]:
        """Take the first entries while nobody's must wait: the fast twin of `_fill`.

        Takes none if their bytes are to be counted one by one.
        """
        ready = self.ready
        if size_bytes is not None and size_of(islice(ready, size)) > size_bytes:
            return []
        batch = [ready.popleft() for _ in range(min(size, len(ready)))]
        try:
            people = self._canonical_keys([entry[1] for entry in batch])
        except BaseException:  # the spool could not be read
            ready.extendleft(reversed(batch))
            raise
        self.people.take_only(batch, people)
        return batch

    def _fill(self, batch: list[Entry], size: int, size_bytes: int | None) -> None:
        ready, people = self.ready, self.people
        busy, blocked = people.counts, people.blocked
        mine: set[str] = set()  # people made busy by this batch: their later events may join it
        room = size_bytes or 0
        while ready and len(batch) < size:
            entry = ready[0]
            person = self.canonical(entry[1])
            if (person in busy and person not in mine) or person in blocked:
                # Parked entries are out of the way: later takes do not look at them again.
                people.park(person, ready.popleft())
                continue
            room -= len(entry[3])
            if size_bytes is not None and batch and room < 0:
                return
            batch.append(ready.popleft())
            if person:
                mine.add(person)
                busy[person] = busy.get(person, 0) + 1
                people.of[entry[0]] = person

    # --- return ----------------------------------------------------------------------------

    def finish(self, entries: Sequence[Entry]) -> None:
        """Drop taken entries, and make those parked behind them ready."""
        if freed := self.people.leave(entries):
            self.insert(sorted(freed))
            self.has_freed = True

    def return_to_place(self, entries: Sequence[Entry]) -> None:
        """Return taken entries to their place, and those parked behind them as well."""
        self.insert(sorted([*entries, *self.people.leave(entries)]))

    def park_behind_retry(self, entries: Sequence[Entry]) -> None:
        """Park taken entries behind their person's retry, in front of those parked before."""
        for entry in reversed(entries):
            self.people.park_first(entry)

    def restore(self, due: int, entry: Entry) -> None:
        """Queue an entry read from the spool that must not be tried before `due` (ms)."""
        person = self.canonical(entry[1])
        if self.people.waits(person):
            self.people.park(person, entry)
            return
        self.people.take(person, entry)
        self.retries.add(due, entry)

    def wake(self, now: int) -> None:
        """Move the retries that are due at `now` (ms) to the due ones."""
        # A grant may have released an older event of the person, which must go first.
        overtaken = self.retries.wake(now, self.people.has_older)
        if overtaken:
            self.return_to_place(overtaken)

    def remove(self, wanted: Callable[[Entry], bool]) -> list[Entry]:
        """Remove and return the entries for which `wanted` is true, wherever they wait."""
        removed = [entry for entry in self.ready if wanted(entry)]
        self.ready = deque(entry for entry in self.ready if not wanted(entry))
        removed += self.people.remove(wanted)
        gone = self.retries.remove(wanted)
        self.finish(gone)
        return removed + gone

    # --- people ----------------------------------------------------------------------------

    def block(self, keys: Iterable[str]) -> None:
        """Park the entries of these people until `unblock`."""
        self.people.blocked.update(keys)

    def unblock(self, keys: Iterable[str]) -> None:
        """Allow the entries of these people to be taken again."""
        keys = set(keys)
        self.people.blocked.difference_update(keys)
        idle = keys - self.people.counts.keys()
        self.insert(sorted(freed for key in idle for freed in self.people.unpark(key)))

    def rejoin(self, keys: Iterable[str]) -> None:
        """Re-key taken entries after an identity merge.

        The merged person's later events then wait for them.
        """
        for key in keys:
            self.people.rejoin(key, self.canonical(key))

    @property
    def oldest(self) -> int | None:
        """The time of acceptance (ms) of the oldest waiting entry, or None."""
        # Ready and parked entries are in the order of acceptance, so their first ones are enough.
        waiting = (self.ready, *self.people.parked.values())
        firsts = [entries[0] for entries in waiting if entries]
        return min((entry[2] for entry in [*firsts, *self.retries]), default=None)
