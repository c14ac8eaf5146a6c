"""The hold: entries of one destination that wait for consent, by person."""

from collections import OrderedDict
from collections.abc import Iterable

from walker_collector.config import Consent
from walker_collector.delivery.window import EVENT_BYTES
from walker_collector.spool import Entry


class ConsentHold:
    """Entries that wait for consent, by person; bounded.

    Beyond the limit, the person with the most entries loses the oldest: a flood evicts itself and
    nobody else's events. Entries without a person ("") count as those of one person. One of more
    than 10,000 bytes counts as several.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.entries: OrderedDict[int, Entry] = OrderedDict()
        # OrderedDict, as the first key is removed again and again: a plain dict would scan the
        # places of all keys removed before.
        self._people: dict[str, OrderedDict[int, None]] = {}
        """The numbers of each person's entries, in the order in which they were held."""
        self._counts: dict[str, int] = {}
        """The number that each person's entries count as."""
        self._by_count: dict[int, OrderedDict[str, None]] = {}
        """People by that number: finds the next to evict without a search."""
        self._most = 0
        """The largest of these numbers."""
        self._total = 0
        """The sum of these numbers."""
        self._under: dict[int, Consent] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, entry: Entry, under: Consent | None = None) -> list[Entry]:
        """Hold an entry that consent `under` did not admit, unless it is held already.

        Returns the entries evicted to stay within the limit.
        """
        if entry[0] in self.entries:
            return []
        self.entries[entry[0]] = entry
        seqs = self._people.setdefault(entry[1], OrderedDict())
        seqs[entry[0]] = None
        self._count(entry[1], _weight(entry))
        if under is not None:
            self._under[entry[0]] = under
        out = []
        while self._total > self._limit:
            out.append(self._pop(self._next_out()))
        return out

    def mend(self) -> None:
        """Rebuild the indexes from the entries, after a signal handler has raised inside `add`."""
        self._people = {}
        for seq, entry in self.entries.items():
            self._people.setdefault(entry[1], OrderedDict())[seq] = None
        self._counts, self._by_count, self._most, self._total = {}, {}, 0, 0
        for entry in self.entries.values():
            self._count(entry[1], _weight(entry))

    def under(self, entry: Entry) -> Consent | None:
        """Return the consent that last refused an entry, if it is known."""
        return self._under.get(entry[0])

    def concerns(self, people: Iterable[str]) -> bool:
        """Return whether any entries of these people are held."""
        return not self._people.keys().isdisjoint(people)

    def of(self, people: Iterable[str] | None, also: Iterable[int] = ()) -> list[Entry]:
        """Return the held entries of these people (None: everybody's) and the numbers in `also`.

        The oldest comes first.
        """
        if people is None:
            return sorted(self.entries.values())
        seqs = {seq for person in people for seq in self._people.get(person, ())}
        seqs.update(seq for seq in also if seq in self.entries)
        return [self.entries[seq] for seq in sorted(seqs)]

    def remove(self, entry: Entry) -> bool:
        """Remove an entry; return whether it was held."""
        if entry[0] not in self.entries:
            return False
        self._pop(entry[0])
        return True

    def join(self, key: str, person: str) -> Iterable[int]:
        """Re-key entries after an identity merge; return their numbers."""
        joining = self._people.pop(key, None)
        if joining is None:
            return ()
        for seq in joining:
            entry = self.entries[seq]
            self.entries[seq] = (seq, person, *entry[2:])
        own = self._people.setdefault(person, OrderedDict())
        # Not sorted by age: a person may gain a session with every event, and sorting all of
        # their entries each time would take ever longer.
        own.update(joining)
        joined = self._counts.get(key, 0)
        self._count(key, -joined)
        self._count(person, joined)
        return joining

    def older_than(self, at: int) -> list[Entry]:
        """Return the held entries accepted before `at` (ms)."""
        # Entries are held in the order of acceptance, but for the few that are held again: if the
        # first is young enough, the search is not worth its time.
        first = next(iter(self.entries.values()), None)
        if first is None or first[2] >= at:
            return []
        return [entry for entry in self.entries.values() if entry[2] < at]

    def _next_out(self) -> int:
        """Return the number of the oldest entry of the person with the most entries."""
        person = next(iter(self._by_count[self._most]))
        return next(iter(self._people[person]))

    def _pop(self, seq: int) -> Entry:
        entry = self.entries.pop(seq)
        self._under.pop(seq, None)
        seqs = self._people[entry[1]]
        del seqs[seq]
        self._count(entry[1], -_weight(entry))
        if not seqs:
            del self._people[entry[1]]
        return entry

    def _count(self, person: str, more: int) -> None:
        """Count a person's entries as so many more, or fewer."""
        before = self._counts.pop(person, 0)
        now = before + more
        self._total += more
        if before:
            people = self._by_count[before]
            del people[person]
            if not people:
                del self._by_count[before]
        if now:
            self._counts[person] = now
            self._by_count.setdefault(now, OrderedDict())[person] = None
        if now > self._most:
            self._most = now
        elif before == self._most and before not in self._by_count:
            # The others had fewer than `before`: after a step of one, none has more than `now`.
            self._most = now if more == -1 else max(self._by_count, default=0)


def _weight(entry: Entry) -> int:
    """Return the number of entries that one counts as: more than one for a large one."""
    return 1 + len(entry[3]) // EVENT_BYTES
