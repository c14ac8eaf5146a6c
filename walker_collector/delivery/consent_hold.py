"""The entries of one destination that wait for consent."""

from collections import OrderedDict
from collections.abc import Iterable

from walker_collector.config import Consent
from walker_collector.spool import Entry


class ConsentHold:
    """Entries that wait for consent, by person; bounded, oldest out first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._people: dict[str, set[int]] = {}
        self._under: dict[int, Consent] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, person: str) -> bool:
        """Whether anything of a person is held."""
        return person in self._people

    def add(self, entry: Entry, under: Consent | None = None) -> list[Entry]:
        """Hold an entry which `under`, what was granted, did not let go; return who must leave."""
        self._entries[entry[0]] = entry
        self._people.setdefault(entry[1], set()).add(entry[0])
        if under is not None:
            self._under[entry[0]] = under
        out = []
        while len(self._entries) > self._limit:
            out.append(self._pop(next(iter(self._entries))))
        return out

    def under(self, entry: Entry) -> Consent | None:
        """Return what was granted when an entry was last refused, if that is known."""
        return self._under.get(entry[0])

    def concerns(self, people: Iterable[str]) -> bool:
        """Whether anything of these people is held."""
        return not self._people.keys().isdisjoint(people)

    def of(self, people: Iterable[str] | None) -> list[Entry]:
        """Return the held entries of these people (None: everybody's), oldest first."""
        if people is None:
            return sorted(self._entries.values())
        seqs = {seq for person in people for seq in self._people.get(person, ())}
        return [self._entries[seq] for seq in sorted(seqs)]

    def remove(self, entry: Entry) -> bool:
        """Hold an entry no longer; tell whether it was held."""
        if entry[0] not in self._entries:
            return False
        self._pop(entry[0])
        return True

    def older_than(self, at: int) -> list[Entry]:
        """Return the held entries accepted before `at` (ms)."""
        # Held in order of acceptance but for the few held again, so the first tells for most.
        first = next(iter(self._entries.values()), None)
        if first is None or first[2] >= at:
            return []
        return [entry for entry in self._entries.values() if entry[2] < at]

    def _pop(self, seq: int) -> Entry:
        entry = self._entries.pop(seq)
        self._under.pop(seq, None)
        seqs = self._people[entry[1]]
        seqs.discard(seq)
        if not seqs:
            del self._people[entry[1]]
        return entry
