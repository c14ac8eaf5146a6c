"""The types of a spool.

A spool keeps accepted events until every destination has acknowledged them. An event is stored
once, with a state of its own for each destination, and is deleted with its last acknowledgement.
"""

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec
from attrs import define, evolve, field, frozen

from walker_collector.config import PartState
from walker_collector.errors import Overtaken, SpoolError
from walker_collector.offsets import Position

RECENT: Final = 86_400_000
"""Time (ms) for which the ids of events are remembered, if nothing else is configured."""

LAST_SEQ: Final = 2**62
"""Above the number of any event."""

Entry = tuple[int, str, int, bytes]
"""An accepted event: number in order of acceptance, person's key, accepted at (ms), JSON.

A plain tuple, since queues hold many: the garbage collector stops looking at tuples of scalars.
"""


class State(enum.IntEnum):
    """The state of an event at one destination, as it is stored."""

    WAITING = 0
    HELD = 1
    DEAD = 2


class NewEvent(msgspec.Struct, gc=False):  # as one is made per event: a fifth of an attrs class
    """An event to accept, with its first state at each destination.

    as_of: the number of erasures when its person was found; None: it cannot be overtaken by one.
    mark: a stand-in for the id that it came with, which is remembered; b"": nothing is.
    left_out: the destinations that do not take it, each with the reason: "ignored", or "dropped".
    repeats: the number of the event that came with this id before, as `append` has found; 0: none.
    listener: gets the destinations' answers (`delivery.Listener`); None: nobody waits for them.
    position: that after the event in its input; written with the event.
    """

    person: str
    at: int
    body: bytes
    states: Mapping[str, State]
    as_of: int | None = None
    mark: bytes = b""
    left_out: Mapping[str, str] | None = None
    repeats: int = 0
    listener: Any = None
    position: Position | None = None

    def __repr__(self) -> str:
        return f"NewEvent(person={self.person!r}, at={self.at}, states={self.states!r})"


@frozen
class DeliveryState:
    """The trace that earlier deliveries of an entry have left.

    count: attempts. due: the earliest time of the next one (ms since 1970). parts: the state of
    each part of the delivery. consent: the granted keys of the last decision. refusals: the reason
    of each rejected part. error: of a dead letter, see there.
    """

    count: int = 0
    due: int = 0
    reason: str = ""
    parts: Mapping[str, PartState] = field(factory=dict)
    consent: Mapping[str, bool] = field(factory=dict)
    refusals: Mapping[str, str] = field(factory=dict)
    error: str = field(default="", repr=False)

    def with_part(self, part: str, state: PartState | None, reason: str = "") -> "DeliveryState":
        """Return this state with one part in another state; None: the part was never begun."""
        parts = {name: known for name, known in self.parts.items() if name != part}
        refusals = {name: text for name, text in self.refusals.items() if name != part}
        if state is not None:
            parts[part] = state
        if state == "rejected":
            refusals[part] = reason
        return evolve(self, parts=parts, refusals=refusals)


FRESH = DeliveryState()


@define  # not frozen, as one is made per event that is read
class StoredEntry:
    """An entry read back from the spool; `damage` names the fault of its row, "" if it has none."""

    entry: Entry
    delivery: DeliveryState = FRESH
    damage: str = ""
    held: bool = False


class UpdateKind(enum.Enum):
    """The change of an entry at one destination.

    ACKED: finished there. PROGRESSED: parts of it have been begun or done, its state is unchanged.
    RETRIED: waits for another attempt. HELD: waits for consent. RELEASED: not held any more, its
    delivery state unchanged. DEAD: a dead letter.
    """

    ACKED = enum.auto()
    PROGRESSED = enum.auto()
    RETRIED = enum.auto()
    HELD = enum.auto()
    RELEASED = enum.auto()
    DEAD = enum.auto()


@define  # not frozen, as one is made per event and destination
class SpoolUpdate:
    """An update of an entry at one destination, made at `at` (ms since 1970).

    `outcome`: of an entry that is finished without a delivery: "ignored", "empty", "dropped", ...;
    the reason is that of `delivery`, without data of people.
    """

    entry: Entry
    kind: UpdateKind
    delivery: DeliveryState = FRESH
    at: int = 0
    outcome: str = ""


@frozen
class Fate:
    """The state of an entry at a destination, with the result of its last attempt."""

    state: State
    attempts: int
    reason: str


@frozen
class DeadLetter:
    """An event that one destination will not get, and why; times in ms since 1970.

    `consent` is what was granted when it was tried last, `parts` the state of each part of the
    delivery: "done", "rejected", or "begun", which may have happened. `error` is the text of the
    plugin's unexpected exception, which may quote the event; "" if it was none.
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
    error: str = field(default="", repr=False)


@frozen
class Erased:
    """The numbers of removed events, and their count per destination and state.

    `versions`: of what is known of people, before and after. `scrubbed`: no copy of them is left in
    a log; else `scrub` has to be called again. `posted`: the number of events that have left the
    outbox with them.
    """

    seqs: set[int]
    counts: Mapping[tuple[str, State], int] = field(factory=dict)
    versions: tuple[int, int] = (0, 0)
    scrubbed: bool = True
    posted: int = 0


class OutboxRow(NamedTuple):
    """An event or command that waits to be accepted, with the stamp of its push."""

    number: int
    at: int
    body: bytes


ConsentRecord = Mapping[str, tuple[bool, int]]
"""The statements of a person: consent key -> (granted, stamp). The higher stamp is the later.

Keys that begin with `LEARNED` have the consent of the person's latest event. `LEARNED` itself has
the stamp of that event.
"""
LEARNED: Final = "\t"
"""No key of consent has a control character."""


def later_of(one: ConsentRecord, other: ConsentRecord) -> ConsentRecord:
    """Return the later statement of each consent key; of two with one stamp, the denial.

    Of what was learned from events, that of the later event is left.
    """
    if not one or not other:
        return one or other
    merged = dict(one)
    for key, (granted, at) in other.items():
        known = merged.get(key)
        if known is None or (at, not granted) > (known[1], not known[0]):
            merged[key] = (granted, at)
    if LEARNED in merged:
        last = merged[LEARNED][1]
        return {
            key: statement
            for key, statement in merged.items()
            if not key.startswith(LEARNED) or statement[1] == last
        }
    return merged


@frozen
class DefaultConsent:
    """The default consent, and that of the flow from which somebody may have changed it since."""

    flow: Mapping[str, bool]
    current: Mapping[str, bool]


@frozen
class PeopleUpdate:
    """An update about people, written as a whole.

    aliases: keys, and the owner of the events filed under each from now on.
    signed_in: keys of somebody else, and the last person to sign in there; None: the owner again.
    consents: people, and all their statements.
    default: the default consent; None: as before.
    based_on: the version of what is known of people that this follows from; None: any.
    """

    based_on: int | None = None
    aliases: Mapping[str, str] = field(factory=dict)
    signed_in: Mapping[str, str | None] = field(factory=dict)
    consents: Mapping[str, ConsentRecord] = field(factory=dict)
    default: DefaultConsent | None = None

    @property
    def changes(self) -> int:
        """The number of versions that it adds."""
        people = len(self.aliases) + len(self.signed_in) + len(self.consents)
        return people + (self.default is not None)

    @property
    def last_stamp(self) -> int:
        """The stamp of the last statement in it; 0: there is none."""
        stamps = (stamp for record in self.consents.values() for _, stamp in record.values())
        return max(stamps, default=0)


class PeopleChange(NamedTuple):
    """A change of identities or consent, made by any process.

    The events filed under `key` belong to `owner`; None: the consent of the key has changed, or
    the last sign-in under it. The key "" stands for the default consent.
    """

    key: str
    owner: str | None


@frozen
class PeopleNews:
    """The changes since a version; None: too many, so that everything is to be read anew.

    erased: the marks of keys that were erased.
    moved: whether entries were erased, or replayed, which a process may have read otherwise.
    """

    version: int
    changes: Sequence[PeopleChange] | None
    erased: frozenset[int] = frozenset()
    moved: bool = False


@frozen
class KnownKeys:
    """All that is known of some keys.

    owners, signed_in: the owner of a key, and the last other person to sign in there. aliases: the
    other keys of a person. consents: all statements of a person. any_claimed: whether untrusted
    callers have named keys together, or stated consent, of anybody.
    """

    keys: frozenset[str]
    owners: Mapping[str, str] = field(factory=dict)
    signed_in: Mapping[str, str] = field(factory=dict)
    aliases: Mapping[str, list[str]] = field(factory=dict)
    consents: Mapping[str, ConsentRecord] = field(factory=dict)
    any_claimed: bool = False


@frozen
class Claimed:
    """A claim: its number, the entries that are gone, and the people under erasure.

    `busy`: people for whom another process has a call under way, to the same destination.
    """

    number: int
    gone: set[int]
    erasing: set[str]
    busy: set[str] = field(factory=set)


class NothingStored(SpoolError):
    """There is no spool yet, since no process has run with the flow."""


class LeaseLost(SpoolError):
    """Another process delivers to the destination now."""


class StalePeople(SpoolError):
    """Another process has changed identities or consent: read them, and decide again."""


class Lease(NamedTuple):
    """The right to deliver to a destination the events of one shard's people."""

    destination: str
    shard: int


@frozen
class Deliveries:
    """The side that delivers. Called by the keeper's thread, and not for two leases at once.

    take_over: begin to deliver; the lease is held.
    abandon: begin nothing more; return whether nothing is in flight, so that the lease may go.
        Called again until it is so.
    look: called several times a second.
    """

    take_over: Callable[[Lease], None]
    abandon: Callable[[Lease], bool]
    look: Callable[[], None] = lambda: None


EntryRun = tuple[list[Entry], Mapping[str, State]]
"""Entries with consecutive numbers, and the first states that they share."""

OnCommitted = Callable[[Sequence[EntryRun]], None]


def positions_after(events: Sequence[NewEvent]) -> list[Position]:
    """Return the last position in each input, after these events."""
    if len(events) == 1:
        last = events[0].position
        return [] if last is None else [last]
    return list({at.input: at for event in events if (at := event.position) is not None}.values())


def assign_seqs(events: Sequence[NewEvent], seq: int) -> list[EntryRun]:
    """Return the events as entries, numbered from `seq` on, in runs that share their states."""
    if len(events) == 1:  # a push, and much cheaper so
        event = events[0]
        return [([(seq, event.person, event.at, event.body)], event.states)]
    runs: list[EntryRun] = []
    states: Mapping[str, State] | None = None
    for at, event in enumerate(events, seq):
        if event.states is not states and event.states != states:
            states = event.states
            entries: list[Entry] = []
            runs.append((entries, states))
        entries.append((at, event.person, event.at, event.body))
    return runs


def mark_of(key: str) -> int:
    """Return a stand-in for a key, from which nobody learns it: one in 65,536 has the same."""
    return crc32(key.encode("utf-8", "surrogatepass")) & 0xFFFF


def check_not_overtaken(events: Iterable[NewEvent], erasures: int) -> None:
    """Raise Overtaken if the person of an event was found before the last of these erasures."""
    for event in events:
        if event.as_of is not None and event.as_of != erasures:
            raise Overtaken("an erasure has begun since the person of the event was found")
