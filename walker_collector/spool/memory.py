"""The spool of a process that keeps nothing: order, dead letters and consent in memory."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from walker_collector.spool import (
    FRESH,
    Change,
    DeadLetter,
    Entry,
    Offer,
    Record,
    State,
    Stored,
    Told,
)


class MemorySpool:
    """Numbers events and keeps dead letters; what waits or is held lives in the queues alone."""

    durable = False

    def __init__(self, people_max: int = 100_000) -> None:
        self._lock = threading.Lock()
        self._seq = 0
        self._dead: dict[tuple[str, int], DeadLetter] = {}
        self._people_max = people_max
        self._told: OrderedDict[str, Told] = OrderedDict()
        self._aliases: OrderedDict[str, str] = OrderedDict()

    def append(self, records: Sequence[Record], offer: Offer) -> list[int]:
        with self._lock:
            seq = self._seq
            offered = []
            for record in records:
                seq += 1
                offered.append(((seq, record.person, record.at, record.body), record.states))
            self._seq = seq
            # Under the lock, so that queues see events in the order of their numbers.
            offer(offered)
        return [entry[0] for entry, _ in offered]

    def load(self, destination: str, after: int, limit: int) -> list[Stored]:
        return []

    def held(self, destination: str) -> list[Stored]:
        return []

    def settle(self, destination: str, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.state is State.DEAD:
                letter = dead_letter(destination, change)
                with self._lock:
                    self._dead[destination, letter.seq] = letter

    def counts(self) -> dict[str, dict[State, int]]:
        result: dict[str, dict[State, int]] = {}
        for letter in self.dead():
            states = result.setdefault(letter.destination, {})
            states[State.DEAD] = states.get(State.DEAD, 0) + 1
        return result

    def dead(self, destination: str | None = None) -> list[DeadLetter]:
        with self._lock:
            letters = list(self._dead.values())
        return [letter for letter in letters if destination in (None, letter.destination)]

    def revive(self, letters: Iterable[DeadLetter]) -> list[Stored]:
        with self._lock:
            found = [self._dead.pop((item.destination, item.seq), None) for item in letters]
        return [Stored(entry_of(letter), FRESH) for letter in found if letter]

    def bury(self, letters: Iterable[DeadLetter]) -> int:
        return len(self.revive(letters))

    def told(self, person: str) -> Told:
        with self._lock:
            return self._told.get(person, {})

    def tell(self, person: str, told: Told) -> None:
        with self._lock:
            self._told[person] = told
            self._told.move_to_end(person)
            if len(self._told) > self._people_max:
                self._told.popitem(last=False)

    def alias(self, key: str) -> str | None:
        with self._lock:
            return self._aliases.get(key)

    def join(self, key: str, person: str) -> None:
        with self._lock:
            self._aliases[key] = person
            self._aliases.move_to_end(key)
            if len(self._aliases) > self._people_max:
                self._aliases.popitem(last=False)

    def forget(self, people: Iterable[str]) -> set[int]:
        gone = set(people)
        with self._lock:
            letters = [key for key, letter in self._dead.items() if letter.person in gone]
            for key in letters:
                del self._dead[key]
            for person in gone:
                self._told.pop(person, None)
            for key in [k for k, person in self._aliases.items() if k in gone or person in gone]:
                del self._aliases[key]
        return {seq for _, seq in letters}

    def size(self) -> int:
        return len(self._dead)

    def close(self) -> None:
        return


def entry_of(letter: DeadLetter) -> Entry:
    """Return the entry a dead letter was."""
    return (letter.seq, letter.person, letter.accepted_at, letter.body)


def dead_letter(destination: str, change: Change) -> DeadLetter:
    """Return the dead letter that a change makes of an entry."""
    seq, person, at, body = change.entry
    attempt = change.attempt
    return DeadLetter(
        seq, destination, attempt.reason, attempt.count, at, change.at, person, body
    )
