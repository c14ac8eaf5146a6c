"""The durable spool in PostgreSQL, for processes on any number of machines."""

from collections.abc import Callable, Collection, Mapping
from typing import Literal

from walker_collector.errors import SpoolError
from walker_collector.interrupts import uninterrupted
from walker_collector.spool.base import RECENT, Claimed, Deliveries, LeaseLost
from walker_collector.spool.engine_protocol import Membership
from walker_collector.spool.postgres import session_claims
from walker_collector.spool.postgres.access import require_one_database
from walker_collector.spool.postgres.erasure_sessions import ErasureSessions
from walker_collector.spool.postgres.event_search import EventSearch
from walker_collector.spool.postgres.lease_session import member_key
from walker_collector.spool.postgres.listener import Watcher
from walker_collector.spool.postgres.outbox_table import PostgresOutbox
from walker_collector.spool.postgres.roster import RosterObserver
from walker_collector.spool.postgres.sample_rows import PostgresSampleTable
from walker_collector.spool.postgres.server_errors import READ_ONLY
from walker_collector.spool.postgres.session_membership import (
    AcceptingMembership,
    DeliveringMembership,
)
from walker_collector.spool.postgres.sessions import Session
from walker_collector.spool.postgres.spool_core import SpoolCore
from walker_collector.spool.postgres.spool_place import Place
from walker_collector.spool.postgres.stored_entries import StoredEntries
from walker_collector.spool.postgres.stored_people import StoredPeople
from walker_collector.spool.postgres.stored_traces import StoredTraces
from walker_collector.spool.repeats import UnstoredEvents


class PostgresSpool(StoredEntries, StoredPeople, StoredTraces):
    """A spool in a schema of a database, which every process of every machine may open.

    `shards`: the number that a new spool is made with (64 if None), and that any other must have.
    `recent` is the time (ms) for which ids are remembered, `wait` how long (s) to wait for a server
    that cannot be reached, and for other processes that write. Raises SpoolError if the spool
    cannot be used.
    """

    durable: Literal[True] = True

    def __init__(
        self,
        place: Place,
        *,
        shards: int | None = None,
        recent: int = RECENT,
        read_only: bool = False,
        wait: float = 5.0,
    ) -> None:
        self.place = place
        self.on_foreign: Callable[[], None] = lambda: None
        self._unstored = UnstoredEvents(self._insert_unstored)
        self._found = {}
        self._sharing = set()
        self.core = core = SpoolCore(
            place, shards=shards, recent=recent, read_only=read_only, wait=wait
        )
        self.shards = core.shards
        self._expected = core.figures.last.seq + 1
        self._direct = Session(
            place,
            place.direct_url,
            core.queries,
            outage=core.session.outage,
            watchdog=core.watchdog,
        )
        self.erasure_sessions = ErasureSessions(self._direct, wait)
        self.outbox = PostgresOutbox(core.name, core.queries, self._direct, core.ask)
        self._read_only = read_only
        self._membership: AcceptingMembership | DeliveringMembership | None = None

    @property
    def inherited(self) -> int | None:
        return self.core.inherited

    @property
    def trouble(self) -> str:
        core = self.core
        if core.takes_no_writes:
            return f"{core.name}: {READ_ONLY}"
        if core.session.trouble or core.session.database is None:
            core.figures.ask_soon()
        return core.writes.trouble or core.session.trouble

    # --- deliveries of this process --------------------------------------------------------

    def join(
        self,
        destinations: Collection[str],
        deliveries: Deliveries,
        on_foreign: Callable[[], None],
        on_change: Callable[[], None],
    ) -> Membership:
        if self._read_only:
            raise SpoolError(f"{self.core.name}: it is open to be read, and delivers nothing")
        self.on_foreign = on_foreign
        core, direct = self.core, self._direct
        if not destinations:  # the session of the writer is the only one that it needs
            self._membership = AcceptingMembership(core, on_change, deliveries.look)
            return self._membership
        watcher = Watcher(direct, core.figures, on_change, listens=True)
        self._membership = membership = DeliveringMembership(
            self.place,
            core.queries,
            watcher,
            destinations,
            self.shards,
            deliveries,
            wait=core.wait,
            outage=core.session.outage,
            watchdog=core.watchdog,
        )
        if self.place.lease_url is not None:
            self._require_one_database(membership)
        core.claims = membership.claims
        direct.is_kept = True
        return membership

    def _require_one_database(self, membership: DeliveringMembership) -> None:
        """Raise SpoolError if the leases are in another database, where nobody would see them."""
        key = member_key(self.place.schema, membership.token)
        try:
            require_one_database(self.core.session, key, self._direct.name)
        except SpoolError:
            membership.close()
            raise

    def claim(self, destination: str, entries: Mapping[int, str], version: int) -> Claimed:
        if self.core.claims is None:
            raise LeaseLost(f"{self.core.name}: no deliveries have begun")
        return self.core.claims.claim(destination, entries, version)

    def end_claim(self, number: int) -> None:
        if self.core.claims is not None:
            self.core.claims.end(number)

    def write_ended(self) -> None:
        if self.core.claims is not None:
            self.core.claims.write_ended()

    def end_calls_of_the_dead(self) -> None:
        self.core.ask(session_claims.end_calls_of_the_dead)

    def calls_of(self, people: Collection[str] | None) -> set[tuple[str, int]]:
        return self.core.ask(lambda database: session_claims.calls_of(database, people))

    # --- what commands ask -----------------------------------------------------------------

    @property
    def observer(self) -> RosterObserver:
        """The deliverers of the spool, as a process without a part in it sees them."""
        return RosterObserver(self.core.session)

    @property
    def sample_table(self) -> PostgresSampleTable:
        """The table of live figures and samples, for viewers."""
        return PostgresSampleTable(self.core)

    def stored_events(self) -> EventSearch:
        """Return the queries over single events and people."""
        return EventSearch(self.core.rows)

    def compact(self) -> None:
        """Have the server clear the room of deleted rows. Raises SpoolError."""
        self.core.ask(lambda database: database.run("vacuum"))

    # --- the end, and a fork ---------------------------------------------------------------

    def is_at_path(self) -> bool:
        return True

    def close(self) -> None:
        uninterrupted(self._close)

    def _close(self) -> None:
        self.erasure_sessions.close()
        self.core.close()

    def pause(self) -> None:
        if self._membership is not None:
            self._membership.pause()
        self.core.writes.order.acquire()
        self.core.session.turn.acquire()
        self.erasure_sessions.pause()

    def resume(self) -> None:
        self.erasure_sessions.resume()
        self.core.session.turn.release()
        self.core.writes.order.release()
        if self._membership is not None:
            self._membership.resume()

    def abandon(self) -> None:
        self.core.session.abandon()
        self.erasure_sessions.abandon()
        if self._membership is not None:
            self._membership.abandon()
