"""The spool of a process that keeps nothing on disk."""

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from walker_collector.config import PartState
from walker_collector.errors import SpoolError
from walker_collector.spool import (
    Attempt,
    Change,
    DeadLetter,
    Entry,
    Forgotten,
    Offer,
    PeopleUpdate,
    Record,
    State,
    Stored,
    Told,
    numbered,
)


class MemorySpool:
    """Numbers events and keeps dead letters.

    What waits or is held lives in the queues, what people said in the consents's memory.
    """

    durable = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seq = 0
        self._closed = False
        self._dead: dict[tuple[str, int], DeadLetter] = {}

    def append(
        self, records: Sequence[Record], offer: Offer, learned: PeopleUpdate | None = None
    ) -> Sequence[int]:
        with self._lock:
            if self._closed:
                raise SpoolError("the collector is closed; the event was not accepted")
            first = self._seq + 1
            runs = numbered(records, first)
            self._seq += len(records)
            # Under the lock, so that queues see events in the order of their numbers.
            try:
                offer(runs)
            except BaseException:  # a signal handler raised: no event is accepted by half
                offer(runs)
                raise
        return range(first, first + len(records))

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

    def finish(self, destination: str, entries: Sequence[Entry]) -> None:
        return

    def counts(self) -> dict[str, dict[State, int]]:
        result: dict[str, dict[State, int]] = {}
        for letter in self.dead():
            states = result.setdefault(letter.destination, {})
            states[State.DEAD] = states.get(State.DEAD, 0) + 1
        return result

    def dead(self, destination: str | None = None, limit: int | None = None) -> list[DeadLetter]:
        with self._lock:
            letters = list(self._dead.values())
        return [letter for letter in letters if destination in (None, letter.destination)][:limit]

    def revive(self, letters: Iterable[DeadLetter], without: Collection[str] = ()) -> list[Stored]:
        with self._lock:
            found = [self._dead.pop((item.destination, item.seq), None) for item in letters]
        return [revived(letter, without) for letter in found if letter]

    def bury(self, letters: Iterable[DeadLetter]) -> int:
        return len(self.revive(letters))

    def learn(self, update: PeopleUpdate) -> None:
        return

    def told(self, person: str) -> Told:
        return {}

    def any_told(self) -> bool:
        return False

    def last_stamp(self) -> int:
        return 0

    def link(self, key: str) -> tuple[str | None, str | None]:
        return None, None

    def aliases_of(self, person: str) -> list[str]:
        return []

    def owe(self, keys: Iterable[str]) -> None:
        return

    def owed(self) -> set[str]:
        return set()

    def forget(self, keys: Iterable[str]) -> Forgotten:
        gone = set(keys)
        with self._lock:
            places = [at for at, letter in self._dead.items() if letter.person in gone]
            for at in places:
                del self._dead[at]
        counts = Counter((destination, State.DEAD) for destination, _ in places)
        return Forgotten({seq for _, seq in places}, counts)

    def size(self) -> int:
        return len(self._dead)

    def pause(self) -> None:
        return

    def resume(self) -> None:
        return

    def abandon(self) -> None:
        return

    def close(self) -> None:
        with self._lock:
            self._closed = True


def entry_of(letter: DeadLetter) -> Entry:
    """Return the entry a dead letter was."""
    return (letter.seq, letter.person, letter.accepted_at, letter.body)


def dead_letter(destination: str, change: Change) -> DeadLetter:
    """Return the dead letter that a change makes of an entry."""
    seq, person, at, body = change.entry
    attempt = change.attempt
    return DeadLetter(
        seq=seq,
        destination=destination,
        reason=attempt.reason,
        attempts=attempt.count,
        accepted_at=at,
        died_at=change.at,
        person=person,
        body=body,
        consent=attempt.consent,
        parts=attempt.parts,
    )


def revived(letter: DeadLetter, without: Collection[str] = ()) -> Stored:
    """Return a dead letter as an entry that was never tried, but for what is done of it.

    A delivery that somebody asks for leaves out the parts that are done, or named in `without`.
    Whatever was rejected, or begun and may have happened, is tried again.
    """
    parts: dict[str, PartState] = dict.fromkeys(without, "done")
    parts.update((part, state) for part, state in letter.parts.items() if state == "done")
    return Stored(entry_of(letter), Attempt(parts=parts))
