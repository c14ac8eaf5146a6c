"""The protocols of a spool, for another engine to implement.

Every method may be called from any thread. Those that write raise SpoolError, with nothing written.

`tests/core/spool_contract` checks an engine by them. `LeaseKeeper` shares out the leases of any
engine, which has the `Members` and `Leases` of `processes.keeper`. `stored_spool` has the questions
of commands, which an engine on disk answers as well.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from walker_collector.offsets import Position, PositionStore
from walker_collector.spool.base import (
    LAST_SEQ,
    Claimed,
    ConsentRecord,
    DeadLetter,
    DefaultConsent,
    Deliveries,
    Entry,
    Erased,
    Fate,
    KnownKeys,
    NewEvent,
    OnCommitted,
    OutboxRow,
    PeopleNews,
    PeopleUpdate,
    SpoolUpdate,
    State,
    StoredEntry,
)
from walker_collector.spool.deliverer import Deliverer, DestinationHealth
from walker_collector.spool.repeats import RecentEvent, Unstored
from walker_collector.spool.samples import SampleTable


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
        positions: Sequence[Position] = (),
    ) -> Sequence[int]:
        """Accept events and return their numbers.

        `on_committed` gets the entries before this returns, in the order of their numbers over
        all threads. `learned` and `positions` are written in the same transaction. An event whose
        id came before is not stored: its `repeats` is set to the number of the first. Raises
        Overtaken, with nothing written, if an erasure has begun since the person of an event was
        found.
        """

    def came_before(self, marks: Collection[bytes], now: int) -> set[bytes]:
        """Return those of these marks of ids that came lately, as of `now` (ms)."""

    def keep_mark(self, mark: bytes, now: int) -> None:
        """Remember a mark that comes with no event."""

    def keep_unstored(self, events: Sequence[Unstored]) -> None:
        """Remember events that no destination takes, for later questions about them.

        A durable spool writes them with others: see `write_unstored`.
        """

    def settle(self, destination: str, updates: Sequence[SpoolUpdate]) -> None:
        """Write updates of entries at a destination."""

    def counts(self, up_to: int = LAST_SEQ) -> dict[str, dict[State, int]]:
        """Return the number of stored entries, up to a number, for each destination and state."""

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

    @property
    def is_full(self) -> bool:
        """Whether there is no room for an event just now."""

    def size(self) -> int:
        """Return the number of events kept."""

    def close(self) -> None:
        """Release files and locks; the stored events stay."""


class PeopleStore(Protocol):
    """The identities and consents of people, as a durable engine keeps them."""

    def learn(self, update: PeopleUpdate, positions: Sequence[Position] = ()) -> None:
        """Write an update about people, with positions.

        Raises StalePeople if it is based on an older version.
        """

    def consent_of(self, person: str) -> ConsentRecord:
        """Return the statements of a person about consent."""

    def default_consent(self) -> DefaultConsent | None:
        """Return the default consent; None if none was stored."""

    def has_claimed_people(self) -> bool:
        """Return whether untrusted callers have named keys together, or stated consent."""

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

    def known_of(self, keys: Collection[str]) -> KnownKeys:
        """Return all that is known of these keys, at once."""

    @property
    def people_changes(self) -> int:
        """A counter of the changes by all processes; costs next to nothing to read.

        The own ones are counted as soon as they are written.
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
        """Take the keys back that an erasure has scheduled."""

    def end_erasure(self, erasure: str) -> None:
        """Note that an erasure has ended; its pending rest is for `adopt_erasures`."""

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

    def deliverers(self, destination: str) -> list[Deliverer]:
        """Return the deliverer of each shard to a destination, and its health or the last known."""

    def publish_health(self, destination: str, health: DestinationHealth) -> None:
        """Publish how deliveries of this process to a destination go, for others to read."""

    def leave(self) -> set[str]:
        """Take no more leases; return the destinations that other processes can deliver to."""

    def take_rest(self) -> bool:
        """Take the leases that are free, after `leave`, of those that nobody else could take.

        Returns whether this process has all of them.
        """

    def stop(self) -> None:
        """Look no more, and keep the leases."""

    def close(self) -> None:
        """Give up all leases, and leave. Their deliveries have ended."""


class Outbox(Protocol):
    """Events in the transactions of applications, before they are accepted."""

    def post(self, connection: Any, at: int, body: bytes) -> None:
        """Write a row in the transaction of a connection of the application.

        `at`: the stamp of the push. Raises SpoolError for a connection that is none, that cannot
        write, or is of another database.
        """

    def take(self, limit: int) -> list[OutboxRow]:
        """Return the next committed rows; none if another process has them.

        The order is that of the commits, as far as the database tells it. Raises SpoolError.
        """

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove rows that were accepted, or are not to be. Raises SpoolError."""

    def rows(self) -> Iterator[OutboxRow]:
        """Yield all committed rows in the order of their numbers, whoever takes them."""

    def with_text(self, text: str) -> list[OutboxRow]:
        """Return the committed rows with this string in their JSON, such as the id of an event."""

    def figures(self) -> tuple[int, int]:
        """Return the number of committed rows, and the stamp of the oldest push; 0: none."""


class VolatileSpool(EventStore, Protocol):
    """A spool that ends with its process: waiting and held entries live in the queues alone."""

    durable: Literal[False]


class DurableSpool(EventStore, PeopleStore, PositionStore, Protocol):
    """A spool that outlives its process."""

    durable: Literal[True]

    @property
    def trouble(self) -> str:
        """The reason why the store cannot be used just now, with the remedy; "" if it can.

        That of the last attempt, for some time if nobody writes, as the next one may succeed. A
        lost server, and a file that was deleted or replaced, are looked for first.
        """

    @property
    def outbox(self) -> Outbox | None:
        """The outbox; None: applications have no transactions in this store."""

    @property
    def sample_table(self) -> SampleTable:
        """The table of live figures and samples, for viewers."""

    def load(
        self,
        destination: str,
        after: int,
        limit: int,
        limit_bytes: int = sys.maxsize,
        *,
        held: bool = False,
        shards: Collection[int] | None = None,
        up_to: int = LAST_SEQ,
    ) -> list[StoredEntry]:
        """Return up to `limit` waiting entries numbered above `after`, up to `up_to`, in order.

        The last one is that with which their JSON has `limit_bytes`. `held`: held ones among them.
        `shards`: those of the people of these shards; None: of all.
        """

    def held(self, destination: str, shards: Collection[int] | None = None) -> list[StoredEntry]:
        """Return the entries held for consent, in order, of these shards or of all."""

    def of_person(self, destination: str, person: str, up_to: int) -> list[StoredEntry]:
        """Return the waiting and held entries of a person, under whichever key, up to a number."""

    def recent_event(self, id_: str, now: int) -> RecentEvent | None:
        """Return the trace of an event that came with an id lately, as of `now` (ms)."""

    def write_unstored(self) -> None:
        """Write the events of `keep_unstored`, if there are any. Called several times a second."""

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

    def heard_newest(self) -> int:
        """Return the number of a stored event up to which all are committed: the last that this
        process knows of. Costs next to nothing.
        """

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
