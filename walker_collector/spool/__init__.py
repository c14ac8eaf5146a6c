"""Where accepted events wait until every destination has answered: memory, or SQLite.

One event is stored once; for each destination it has a state of its own. An event whose last
destination has answered is gone.
"""

import enum
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from attrs import define, evolve, field, frozen

from walker_collector.config import PartState

Entry = tuple[int, str, int, bytes]
"""An accepted event: number in order of acceptance, person's key, accepted at (ms), JSON.

A plain tuple, since queues hold many: the garbage collector stops looking at tuples of scalars.
"""


class State(enum.IntEnum):
    """What has become of an event at one destination; a delivered one has no state."""

    WAITING = 0
    HELD = 1
    DEAD = 2


@define  # not frozen, as one is made per event: that would take three times as long
class Record:
    """An event about to be accepted, with its first state at each destination."""

    person: str
    at: int
    body: bytes = field(repr=False)
    states: Mapping[str, State]


@frozen
class Attempt:
    """What earlier deliveries of an entry left behind.

    `due` is when the next one may start (ms since 1970), `parts` the state of each part of the
    delivery, `refusals` the reasons of those that are rejected, `consent` the granted keys that
    decided last.
    """

    count: int = 0
    due: int = 0
    reason: str = ""
    parts: Mapping[str, PartState] = field(factory=dict)
    consent: Mapping[str, bool] = field(factory=dict)
    refusals: Mapping[str, str] = field(factory=dict)

    def with_part(self, part: str, state: PartState | None, reason: str = "") -> "Attempt":
        """Return the attempt with a part in another state; None: as if it was never begun."""
        parts = {name: known for name, known in self.parts.items() if name != part}
        refusals = {name: text for name, text in self.refusals.items() if name != part}
        if state is not None:
            parts[part] = state
        if state == "rejected":
            refusals[part] = reason
        return evolve(self, parts=parts, refusals=refusals)


FRESH = Attempt()


@frozen
class Stored:
    """An entry read back, with what earlier deliveries left behind; `damage` is what is wrong with
    its row, "" where nothing is.
    """

    entry: Entry
    attempt: Attempt = FRESH
    damage: str = ""


@define  # not frozen, as one is made per event and destination
class Change:
    """What a destination's answer makes of an entry; `state` None: it is done with it.

    `released`: it is held no longer, and what earlier deliveries left behind stays.
    """

    entry: Entry
    state: State | None
    attempt: Attempt = FRESH
    at: int = 0
    released: bool = False


@frozen
class DeadLetter:
    """An event that one destination will not get, and why; times in ms since 1970.

    `consent` is what was granted when it was tried last, `parts` the state of each part of the
    delivery: "done", "rejected", or "begun", which may have happened.
    """

    seq: int
    destination: str
    reason: str
    attempts: int
    accepted_at: int
    died_at: int
    person: str
    body: bytes = field(repr=False)
    consent: Mapping[str, bool] = field(factory=dict)
    parts: Mapping[str, PartState] = field(factory=dict)


@frozen
class Forgotten:
    """Which events were removed, and how many of each destination and state."""

    seqs: set[int]
    counts: Mapping[tuple[str, State], int] = field(factory=dict)


Told = Mapping[str, tuple[bool, int]]
"""The statements of a person: consent key -> (granted, stamp). The higher stamp is the later."""


def later_of(one: Told, other: Told) -> Told:
    """Return the later statement of each consent key; of two at once, the denial."""
    merged = dict(one)
    for key, (granted, at) in other.items():
        known = merged.get(key)
        if known is None or (at, not granted) > (known[1], not known[0]):
            merged[key] = (granted, at)
    return merged


@frozen
class PeopleUpdate:
    """An update about people, written as a whole.

    aliases: keys, and the person to whom what is filed under each belongs from now on.
    signed_in: keys of somebody else, and who signed in under each last; None: the owner again.
    told: people, and all their statements.
    """

    aliases: Mapping[str, str] = field(factory=dict)
    signed_in: Mapping[str, str | None] = field(factory=dict)
    told: Mapping[str, Told] = field(factory=dict)


Run = tuple[list[Entry], Mapping[str, State]]
"""Entries that follow each other, with the first states that they share."""

Offer = Callable[[Sequence[Run]], None]


def numbered(records: Sequence[Record], seq: int) -> list[Run]:
    """Return the records as entries, numbered from `seq` on, in runs that share their states."""
    runs: list[Run] = []
    states: Mapping[str, State] | None = None
    for at, record in enumerate(records, seq):
        if record.states is not states and record.states != states:
            states = record.states
            entries: list[Entry] = []
            runs.append((entries, states))
        entries.append((at, record.person, record.at, record.body))
    return runs


class Spool(Protocol):
    """What the collector asks of a spool; every method may be called from any thread.

    Methods that write raise SpoolError when nothing was written.
    """

    durable: bool

    def append(
        self, records: Sequence[Record], offer: Offer, learned: PeopleUpdate | None = None
    ) -> Sequence[int]:
        """Accept events and return their numbers; `offer` sees them in order, once they are safe,
        before this returns. `learned` is written with them, or neither is.
        """

    def load(self, destination: str, after: int, limit: int) -> list[Stored]:
        """Return waiting entries numbered above `after`, in order."""

    def held(self, destination: str) -> list[Stored]:
        """Return the entries held for consent, in order."""

    def settle(self, destination: str, changes: Sequence[Change]) -> None:
        """Record what a destination answered."""

    def finish(self, destination: str, entries: Sequence[Entry]) -> None:
        """Record that a destination is done with these entries."""

    def counts(self) -> dict[str, dict[State, int]]:
        """Return how many entries each destination has in each state."""

    def dead(self, destination: str | None = None, limit: int | None = None) -> list[DeadLetter]:
        """Return the dead letters, oldest first."""

    def revive(self, letters: Iterable[DeadLetter], without: Collection[str] = ()) -> list[Stored]:
        """Make dead letters waiting again, with their attempts forgotten, but for the parts of
        them that are done. The parts named in `without` are left out as if they were.
        """

    def bury(self, letters: Iterable[DeadLetter]) -> int:
        """Remove dead letters for good; return how many."""

    def learn(self, update: PeopleUpdate) -> None:
        """Store an update about people."""

    def told(self, person: str) -> Told:
        """Return the statements of a person about consent."""

    def any_told(self) -> bool:
        """Tell whether anybody said anything about consent yet."""

    def last_stamp(self) -> int:
        """Return the stamp of the last statement; 0 where there is none."""

    def link(self, key: str) -> tuple[str | None, str | None]:
        """Return the owner of a key, and the other person who signed in under it last."""

    def aliases_of(self, person: str) -> list[str]:
        """Return the other keys that belong to a person."""

    def owe(self, keys: Iterable[str]) -> None:
        """Keep that these keys are to be forgotten, in case the process ends before."""

    def owed(self) -> set[str]:
        """Return the keys that are still to be forgotten."""

    def forget(self, keys: Iterable[str]) -> Forgotten:
        """Remove every event, dead letter, alias and statement of these keys, on disk too.

        Where somebody else has signed in under one of them, it is theirs from now on.
        """

    def size(self) -> int:
        """Return the number of events kept."""

    def pause(self) -> None:
        """Wait until no thread is at work in the spool, and let none begin: before a fork."""

    def resume(self) -> None:
        """Let work begin again, in the parent."""

    def abandon(self) -> None:
        """Leave everything to the parent process, in a forked child."""

    def close(self) -> None:
        """Release files and locks; what is stored stays."""
