"""The types of a spool, and the protocols of its engines.

A spool keeps accepted events until every destination has acknowledged them. An event is stored
once, with a state of its own for each destination, and is deleted with its last acknowledgement.
"""

import enum
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol
from zlib import crc32

from attrs import define, evolve, field, frozen

from walker_collector.config import PartState
from walker_collector.errors import Overtaken, SpoolError
from walker_collector.text import storable

Entry = tuple[int, str, int, bytes]
"""An accepted event: number in order of acceptance, person's key, accepted at (ms), JSON.

A plain tuple, since queues hold many: the garbage collector stops looking at tuples of scalars.
"""


class State(enum.IntEnum):
    """The state of an event at one destination, as it is stored."""

    WAITING = 0
    HELD = 1
    DEAD = 2


@define  # not frozen, as one is made per event: that would take three times as long
class NewEvent:
    """An event to accept, with its first state at each destination.

    as_of: the number of erasures when its person was found; None: it cannot be overtaken by one.
    """

    person: str
    at: int
    body: bytes = field(repr=False)
    states: Mapping[str, State]
    as_of: int | None = None


@frozen
class DeliveryState:
    """The trace that earlier deliveries of an entry have left.

    count: attempts. due: the earliest time of the next one (ms since 1970). parts: the state of
    each part of the delivery. consent: the granted keys of the last decision. refusals: the reason
    of each rejected part.
    """

    count: int = 0
    due: int = 0
    reason: str = ""
    parts: Mapping[str, PartState] = field(factory=dict)
    consent: Mapping[str, bool] = field(factory=dict)
    refusals: Mapping[str, str] = field(factory=dict)

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


@frozen
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
    """An update of an entry at one destination, made at `at` (ms since 1970)."""

    entry: Entry
    kind: UpdateKind
    delivery: DeliveryState = FRESH
    at: int = 0


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
class Erased:
    """The numbers of removed events, and their count per destination and state.

    `versions`: of what is known of people, before and after. `scrubbed`: no copy of them is left in
    a log; else `scrub` has to be called again.
    """

    seqs: set[int]
    counts: Mapping[tuple[str, State], int] = field(factory=dict)
    versions: tuple[int, int] = (0, 0)
    scrubbed: bool = True


ConsentRecord = Mapping[str, tuple[bool, int]]
"""The statements of a person: consent key -> (granted, stamp). The higher stamp is the later."""


def later_of(one: ConsentRecord, other: ConsentRecord) -> ConsentRecord:
    """Return the later statement of each consent key; of two with one stamp, the denial."""
    merged = dict(one)
    for key, (granted, at) in other.items():
        known = merged.get(key)
        if known is None or (at, not granted) > (known[1], not known[0]):
            merged[key] = (granted, at)
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
class Claimed:
    """A claim: its number, the entries that are gone, and the people under erasure.

    `busy`: people for whom another process has a call under way, to the same destination.
    """

    number: int
    gone: set[int]
    erasing: set[str]
    busy: set[str] = field(factory=set)


class LeaseLost(SpoolError):
    """Another process delivers to the destination now."""


class StalePeople(SpoolError):
    """Another process has changed identities or consent: read them, and decide again."""


class Lease(NamedTuple):
    """The right to deliver to a destination the events of one shard's people."""

    destination: str
    shard: int


@frozen
class Member:
    """A living process; `delivers` are the destinations that it can deliver to.

    `settled`: it has been there for a while. `silent`: it lives, but gives no sign, as a process
    does that is stopped by a signal or a debugger.
    """

    token: str
    pid: int
    host: str
    since: float
    delivers: frozenset[str]
    settled: bool
    silent: bool

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.since))
        return f"process {self.pid} on {storable(self.host)} since {since}"


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
    """Return a stand-in for a key which tells nobody whose it is: one in 65,536 has the same."""
    return crc32(key.encode("utf-8", "surrogatepass")) & 0xFFFF


def check_not_overtaken(events: Iterable[NewEvent], erasures: int) -> None:
    """Raise Overtaken if the person of an event was found before the last of these erasures."""
    for event in events:
        if event.as_of is not None and event.as_of != erasures:
            raise Overtaken("an erasure has begun since the person of the event was found")


# --- protocols -----------------------------------------------------------------------------------
# Every method may be called from any thread. Those that write raise SpoolError, with nothing
# written.


class EventStore(Protocol):
    """The part that every engine has: it accepts events, and keeps dead letters."""

    @property
    def shards(self) -> int:
        """The number of shards that people are spread over, by `shard_of`; fixed for good."""

    @property
    def erasures(self) -> int:
        """The number of erasures, by any process: another one whenever there was one."""

    def append(
        self,
        events: Sequence[NewEvent],
        on_committed: OnCommitted,
        learned: PeopleUpdate | None = None,
    ) -> Sequence[int]:
        """Accept events and return their numbers.

        `on_committed` gets the entries before this returns, in the order of their numbers over
        all threads. `learned` is written in the same transaction. Raises Overtaken, with nothing
        written, if an erasure has begun since the person of an event was found.
        """

    def settle(self, destination: str, updates: Sequence[SpoolUpdate]) -> None:
        """Write updates of entries at a destination."""

    def counts(self) -> dict[str, dict[State, int]]:
        """Return the number of stored entries for each destination and state."""

    def dead(self, destination: str | None = None, limit: int | None = None) -> list[DeadLetter]:
        """Return the dead letters, oldest first."""

    def requeue(
        self, letters: Iterable[DeadLetter], without: Collection[str] = ()
    ) -> list[StoredEntry]:
        """Make dead letters wait again, their attempts reset; return those that were still there.

        Parts that are done stay done, and the parts named in `without` count as done.
        """

    def delete_dead(self, letters: Iterable[DeadLetter]) -> int:
        """Delete dead letters; return the number of those that were still there."""

    def erase(self, keys: Iterable[str]) -> Erased:
        """Remove every event, dead letter, alias and statement of these keys, on disk too.

        A key under which somebody else has signed in becomes that person's.
        """

    def size(self) -> int:
        """Return the number of events kept."""

    def close(self) -> None:
        """Release files and locks; the stored events stay."""


class PeopleStore(Protocol):
    """The identities and consents of people, as a durable engine keeps them."""

    def learn(self, update: PeopleUpdate) -> None:
        """Write an update about people. Raises StalePeople if it is based on an older version."""

    def consent_of(self, person: str) -> ConsentRecord:
        """Return the statements of a person about consent."""

    def default_consent(self) -> DefaultConsent | None:
        """Return the default consent; None if none was stored."""

    def has_consent(self) -> bool:
        """Return whether there is any statement about consent."""

    def last_stamp(self) -> int:
        """Return the stamp of the last statement of any process; 0 if there is none. Costs next to
        nothing.
        """

    def link(self, key: str) -> tuple[str | None, str | None]:
        """Return the owner of a key, and the last other person to sign in under it."""

    def aliases_of(self, person: str) -> list[str]:
        """Return the other keys that belong to a person."""

    @property
    def people_changes(self) -> int:
        """A counter that is another one after every change by any process; costs next to nothing
        to read.
        """

    def people_since(self, version: int) -> PeopleNews:
        """Return the changes of identities and consent since a version."""

    def begin_erasure(self) -> str:
        """Return the name of a new erasure, which goes on until `end_erasure`, or until the end of
        the process.
        """

    def schedule_erasure(self, keys: Iterable[str], erasure: str = "") -> None:
        """Note that these keys are to be erased: no process claims a call for them before that.

        `erasure`: the one that is at work on them; "": nobody is.
        """

    def cancel_erasure(self, erasure: str) -> None:
        """Take back what an erasure has scheduled."""

    def end_erasure(self, erasure: str) -> None:
        """Note that an erasure has ended; what it has left pending is for `adopt_erasures`."""

    def adopt_erasures(self, erasure: str) -> set[str]:
        """Make the keys that ended erasures have left pending those of this one; return them."""

    def pending_erasures(self) -> set[str]:
        """Return the keys that are still to be erased."""

    def scrub(self) -> bool:
        """Leave no copy of deleted rows in a log; return False while somebody reads it."""


class Membership(Protocol):
    """The part of this process in the deliveries of a spool."""

    def start(self) -> None:
        """Take the free leases, and begin to watch for commits of others."""

    def holders(self, destination: str) -> list[Member | None]:
        """Return the process that delivers each shard to a destination; None: nobody does."""

    def leave(self) -> set[str]:
        """Take no more leases; return the destinations that other processes can deliver to."""

    def stop(self) -> None:
        """Look no more, and keep the leases."""

    def close(self) -> None:
        """Give up all leases, and leave. Their deliveries have ended."""


class VolatileSpool(EventStore, Protocol):
    """A spool that ends with its process: waiting and held entries live in the queues alone."""

    durable: Literal[False]


class DurableSpool(EventStore, PeopleStore, Protocol):
    """A spool that outlives its process."""

    durable: Literal[True]

    def load(
        self,
        destination: str,
        after: int,
        limit: int,
        limit_bytes: int = sys.maxsize,
        *,
        held: bool = False,
        shards: Collection[int] | None = None,
    ) -> list[StoredEntry]:
        """Return up to `limit` waiting entries numbered above `after`, in order.

        The last one is that with which their JSON has `limit_bytes`. `held`: held ones among them.
        `shards`: those of the people of these shards; None: of all.
        """

    def held(self, destination: str, shards: Collection[int] | None = None) -> list[StoredEntry]:
        """Return the entries held for consent, in order, of these shards or of all."""

    def of_person(self, destination: str, person: str, up_to: int) -> list[StoredEntry]:
        """Return the waiting and held entries of a person, under whichever key, up to a number."""

    def fates(self, destination: str, seqs: Collection[int]) -> dict[int, Fate]:
        """Return the fates of entries, of those that the destination has not acknowledged."""

    def claim(self, destination: str, entries: Mapping[int, str], version: int) -> Claimed:
        """Claim a call of a hook with these entries, until `end_claim`.

        They are given as numbers with the keys of their people, as of a version of what is known
        of people. Raises LeaseLost if this process does not deliver one of them to the
        destination, StalePeople if that is not the latest version.
        """

    def end_claim(self, number: int) -> None:
        """Note that a call is over; it is written with the next write."""

    def write_ended(self) -> None:
        """Write the ends of claims, if there are any."""

    def end_calls_of_the_dead(self) -> None:
        """Forget the calls of processes that were killed. Called as a lease is taken over."""

    def calls_of(self, people: Collection[str] | None) -> set[tuple[str, int]]:
        """Return the calls under way with events of these people (None: of anybody), in any living
        process.
        """

    def newest(self) -> int:
        """Return the number of the last stored event; those up to it are all committed."""

    @property
    def inherited(self) -> int | None:
        """The number of the last event that earlier processes left; None: others use the spool."""

    def has_waiting(self, destination: str, first: int, last: int) -> bool:
        """Return whether any entry waits, of those with these numbers and between them."""

    def join(
        self,
        destinations: Collection[str],
        deliveries: Deliveries,
        on_foreign: Callable[[], None],
        on_change: Callable[[], None],
    ) -> Membership:
        """Take part in the deliveries of the spool, for these destinations.

        `on_foreign` is called within `append`, before the entries are handed over, if another
        process has added some since the last one. `on_change` is called on a thread of its own
        after commits of any process.
        """

    def announce(self) -> None:
        """Have every process read its entries anew: some have been changed behind its back."""

    def ack(self, destination: str, entries: Sequence[Entry]) -> None:
        """Acknowledge entries for a destination: `settle` for the usual case."""

    def is_at_path(self) -> bool:
        """Return whether the next process will find the stored events."""

    def pause(self) -> None:
        """Wait until no thread is at work in the spool, and let none begin: before a fork."""

    def resume(self) -> None:
        """Let work begin again, in the parent."""

    def abandon(self) -> None:
        """Leave everything to the parent process, in a forked child."""


Spool = VolatileSpool | DurableSpool
"""Any spool; `if spool.durable` tells a type checker which."""
