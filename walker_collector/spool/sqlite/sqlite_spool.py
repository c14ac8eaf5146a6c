"""The durable spool: one SQLite file in WAL mode, written in groups."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Literal

from walker_collector.config import SpoolConfig
from walker_collector.errors import SpoolError
from walker_collector.spool.base import RECENT, Claimed, Deliveries
from walker_collector.spool.engine_protocol import Membership
from walker_collector.spool.processes.membership import SpoolMembership
from walker_collector.spool.processes.observer import LockObserver
from walker_collector.spool.repeats import UnstoredEvents
from walker_collector.spool.sqlite.accepted_ids import AcceptedIds
from walker_collector.spool.sqlite.call_claims import CallClaims
from walker_collector.spool.sqlite.entry_store import EntryStore
from walker_collector.spool.sqlite.event_appends import EventAppends
from walker_collector.spool.sqlite.event_numbers import EventNumbers
from walker_collector.spool.sqlite.file_core import FileCore, Settings
from walker_collector.spool.sqlite.people_store import FilePeopleStore
from walker_collector.spool.sqlite.sample_tables import SqliteSampleTable
from walker_collector.spool.sqlite.stored_events import StoredEvents


class SqliteSpool(EventAppends, AcceptedIds, EntryStore, FilePeopleStore):
    """A spool that survives its process, and that every process of the machine may open.

    `sync="normal"` survives a crash of the process at any moment, `sync="full"` also a loss of
    power. `shards`: the number that a new file is made with, and that any other must have; None:
    any, and one for a new file. `recent` is the time (ms) for which ids are remembered, `wait` how
    long (s) to wait for other processes that write.
    Raises SpoolError if the file cannot be used: corrupt, not a spool, of another version, or in a
    folder that cannot be written.
    """

    durable: Literal[True] = True
    outbox: None = None

    def __init__(
        self,
        config: SpoolConfig,
        *,
        shards: int | None = None,
        recent: int = RECENT,
        read_only: bool = False,
        wait: float = 5.0,
    ) -> None:
        self.path = Path(config.path)
        self.core = core = FileCore(Settings(config, shards, recent, read_only, wait))
        self.shards = core.shards
        self.page = core.page
        self.claims = CallClaims(core)
        self.numbers = EventNumbers(core)
        self._unstored = UnstoredEvents(self._insert_unstored)

    # --- deliveries of this process --------------------------------------------------------

    def join(
        self,
        destinations: Collection[str],
        deliveries: Deliveries,
        on_foreign: Callable[[], None],
        on_change: Callable[[], None],
    ) -> Membership:
        files = self.core.files
        if files.lock is None:
            raise SpoolError(f"spool {self.path}: it is open to be read, and delivers nothing")
        self.numbers.on_foreign = on_foreign
        self.claims.membership = membership = SpoolMembership(
            files.real,
            files.lock,
            self.core.commits.turn,
            destinations,
            self.shards,
            deliveries,
            on_change,
            files.loss,
        )
        return membership

    def claim(self, destination: str, entries: Mapping[int, str], version: int) -> Claimed:
        return self.claims.claim(destination, entries, version)

    def end_claim(self, number: int) -> None:
        self.claims.ended.append(number)

    def write_ended(self) -> None:
        self.claims.write_ended()

    def end_calls_of_the_dead(self) -> None:
        self.claims.end_calls_of_the_dead()

    def calls_of(self, people: Collection[str] | None) -> set[tuple[str, int]]:
        return self.claims.calls_of(people)

    # --- what commands ask -----------------------------------------------------------------

    @property
    def observer(self) -> LockObserver:
        """The deliverers of the spool."""
        return LockObserver(self.path)

    @property
    def sample_table(self) -> SqliteSampleTable:
        """The table of live figures and samples, for viewers."""
        return SqliteSampleTable(self.core.commits, self.core.reader)

    def stored_events(self) -> StoredEvents:
        """Return the queries over single events and people."""
        return StoredEvents(self.core.rows)

    def compact(self) -> None:
        """Write the file anew, with the stored rows alone; see `scrub`. Raises SpoolError."""
        self.core.checkpointer.compact(self.core.files.real.parent)

    @property
    def trouble(self) -> str:
        return self.core.files.trouble

    # --- the end, and a fork ---------------------------------------------------------------

    def is_at_path(self) -> bool:
        return self.core.files.is_at_path()

    def close(self) -> None:
        self.core.close()

    def pause(self) -> None:
        if self.claims.membership is not None:
            self.claims.membership.pause()
        self.core.files.pause()

    def resume(self) -> None:
        if not self.core.files.is_paused:
            return
        try:
            self.core.files.resume()
        finally:
            if self.claims.membership is not None:
                self.claims.membership.resume()

    def abandon(self) -> None:
        self.core.files.abandon()
        if self.claims.membership is not None:
            self.claims.membership.abandon()
