"""The durable spool: one SQLite file in WAL mode, written in groups."""

import itertools
import os
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from attrs import evolve

from walker_collector.config import SpoolConfig
from walker_collector.errors import SpoolError, SpoolFull
from walker_collector.spool import damage
from walker_collector.spool.base import (
    Claimed,
    ConsentRecord,
    DeadLetter,
    DefaultConsent,
    Deliveries,
    Entry,
    EntryRun,
    Erased,
    Fate,
    Lease,
    LeaseLost,
    Membership,
    NewEvent,
    OnCommitted,
    PeopleNews,
    PeopleUpdate,
    SpoolUpdate,
    State,
    StoredEntry,
    assign_seqs,
)
from walker_collector.spool.processes.disk import require_local_disk
from walker_collector.spool.processes.erasure_locks import ErasureLocks
from walker_collector.spool.processes.files import Loss, require_locks
from walker_collector.spool.processes.members import living_processes
from walker_collector.spool.processes.membership import SpoolMembership
from walker_collector.spool.processes.page import BYTES, ERASURES, EVENTS, PEOPLE, SEQ, SharedPage
from walker_collector.spool.processes.presence import Presence
from walker_collector.spool.processes.write_lock import WriteLock
from walker_collector.spool.rows import letter_of, stored_entry
from walker_collector.spool.shards import shard_of
from walker_collector.spool.sqlite import (
    claim_tables,
    event_tables,
    mend,
    people_tables,
    shard_tables,
)
from walker_collector.spool.sqlite.catalog import CachedCatalog
from walker_collector.spool.sqlite.checkpointer import Checkpointer
from walker_collector.spool.sqlite.event_tables import Deleted
from walker_collector.spool.sqlite.failure import spool_error
from walker_collector.spool.sqlite.group_commit import GroupCommit, Tally, scrub
from walker_collector.spool.sqlite.schema import configure, prepare, shards_of
from walker_collector.spool.sqlite.spool_file import SpoolFile
from walker_collector.spool.sqlite.spool_reader import Fetch, SpoolReader, fetch_all
from walker_collector.text import get_logger

logger = get_logger("walker_collector")

_LAST: Final = 2**62
"""The last stamp of a statement that is taken for one."""
_OPENING: Final = 20.0
"""Seconds to wait for another process that checks the file as it opens it."""
_STATES: Final = frozenset(State)
_INHERITED: Final[dict[Path, SpoolFile]] = {}
"""Files with open connections of the parent, which a child must neither use nor close."""


class SqliteSpool:
    """A spool that survives its process, and that every process of the machine may open.

    `sync="normal"` survives a crash of the process at any moment, `sync="full"` also a loss of
    power. `shards`: the number that a new file is made with, and that any other must have; None:
    any, and one for a new file. `wait` is how long (s) to wait for other processes that write.
    Raises SpoolError if the file cannot be used: corrupt, not a spool, of another version, or in a
    folder that cannot be written.
    """

    durable: Literal[True] = True

    def __init__(
        self,
        config: SpoolConfig,
        *,
        shards: int | None = None,
        read_only: bool = False,
        wait: float = 5.0,
    ) -> None:
        self.path = Path(config.path)
        self.shards = shards or 1
        self._wanted_shards = shards
        self._on_foreign: Callable[[], None] = lambda: None
        self._membership: SpoolMembership | None = None
        self._config = config
        self._uncounted = 0
        """1 while an erasure is written that the page does not count yet."""
        self._read_only = read_only
        self._probing = threading.Lock()
        """Held while lock files of others are open: a forked child would keep them locked."""
        self._paused = False
        self._is_first = False
        """Whether no other process used the spool when it was opened."""
        self._wait = wait
        if not read_only:
            require_locks(self.path)
            require_local_disk(Path(os.path.realpath(self.path)))
        self._spool_file = SpoolFile(self.path, read_only=read_only)
        self._erasure_locks = ErasureLocks(self._spool_file.real)
        self._pause = self._hold_turns()
        try:
            self._open()
        except BaseException:
            self._spool_file.close()
            raise

    @property
    def page(self) -> SharedPage:
        """The figures that all processes of the spool share."""
        return self._commits.page

    def _open(self) -> None:
        if self._spool_file.real in _INHERITED:
            raise SpoolError(
                f"spool {self.path}: this process was forked within a call of the collector, and "
                "cannot use the spool; fork elsewhere"
            )
        self._lock: WriteLock | None = None
        self._presence: Presence | None = None
        self._killed = False
        try:
            if not self._read_only:
                self._lock = WriteLock(self._spool_file.real, _OPENING, self._on_killed)
                self._spool_file.locks = [self._lock]
            page = self._lock.page if self._lock else SharedPage()
            self._commits = GroupCommit(
                self._spool_file.connect(), self.path, self._spool_file.check, page, self._lock
            )
            self._reader = SpoolReader(self._spool_file.connect(), self.path)
            self._checkpointer = Checkpointer(
                self._commits, self._spool_file.connect(), self._spool_file.descriptor
            )
            # It reads little text, so that a tolerant factory costs little; see SpoolReader.
            self._commits.connection.text_factory = damage.decoded
            self._commits.alone(self._prepare)
            self._spool_file.note_companions()
            self._catalog = CachedCatalog(self._commits)
            if self._lock is not None:
                self._lock.bound = self._wait
        except BaseException as error:
            self._close_locks()
            if isinstance(error, sqlite3.Error):
                raise spool_error(self.path, error) from error
            raise
        self._words = self.page.words
        self._last_old = self.page.seq
        self._expected = self._last_old + 1
        self._numbers = itertools.count(1)
        self._ended: deque[int] = deque()
        self._foreign = False

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Check and repair the file, unless another process has it open and has done so."""
        if self._read_only:
            prepare(self._spool_file.real, db, self._config.sync, read_only=True, is_first=False)
            self.shards = shards_of(db)
            self._recount(db)
            return
        self._presence = presence = Presence(self._spool_file.real)
        self._is_first = presence.is_first
        try:
            self._check_and_mend(db, first=presence.is_first)
        except BaseException:
            presence.close()  # with the write lock held: the next one checks the file itself
            raise
        self._spool_file.locks.append(presence)

    def _check_and_mend(self, db: sqlite3.Connection, *, first: bool) -> None:
        self._spool_file.check_companions()
        if self.page.seq and self._spool_file.is_empty:
            logger.error(
                "spool %s: the file is empty and had events; somebody has emptied it, and they are "
                "lost",
                self.path,
            )
        prepare(
            self._spool_file.real,
            db,
            self._config.sync,
            read_only=False,
            is_first=first,
            shards=self._wanted_shards,
        )
        self.shards = shards_of(db)
        if first:
            mend.mend(self.path, db, self.shards)
            claim_tables.keep_calls_of(db, living_processes(self._spool_file.real))
        if first or self._killed or not self.page.seq:
            self._recount(db)

    def _on_killed(self) -> None:
        """Count anew after a process was killed while it wrote."""
        self._killed = self._presence is None  # the tables may not be there yet
        if not self._killed:
            self._recount(self._commits.connection)

    def _recount(self, db: sqlite3.Connection) -> None:
        ((seq, events, size),) = db.execute(event_tables.SIZE).fetchall()
        ((stamp,),) = db.execute(people_tables.LAST_STAMP).fetchall()
        stamp = damage.number(stamp, _LAST)
        self.page.set(seq=seq, events=events, size=size, stamp=stamp)

    # --- accepting -------------------------------------------------------------------------

    def append(
        self,
        events: Sequence[NewEvent],
        on_committed: OnCommitted,
        learned: PeopleUpdate | None = None,
    ) -> Sequence[int]:
        count, words = len(events), self._words
        size = sum([len(event.body) for event in events])  # a list is faster for one
        self._check_room(count, size)
        for states in _different(events):
            self._catalog.ensure(frozenset(states))
        seqs = range(0)
        runs: list[EntryRun] = []

        def insert(db: sqlite3.Connection) -> range:
            nonlocal seqs
            if seqs and event_tables.has(db, seqs[0], events[0].body):
                # Committed already, by a thread that was interrupted before it noted so.
                return seqs
            people_tables.check_not_overtaken(db, events, words[ERASURES], self._uncounted)
            first = words[SEQ] + 1
            words[SEQ] += count  # before they are written: no number is ever given twice
            if first != self._expected:
                self._foreign = True
            self._expected = first + count
            seqs = range(first, first + count)
            runs[:] = assign_seqs(events, seqs.start)
            shard = shard_tables.shard_in(db, self.shards) if self.shards > 1 else None
            try:
                for entries, states in runs:
                    event_tables.insert(db, self._catalog.current, entries, states, shard)
            except sqlite3.IntegrityError:
                # Somebody has deleted the lock files, and another process given these numbers.
                seqs = range(0)
                self._recount(db)
                raise
            if learned is not None:
                self._learn(db, learned)
            return seqs

        def hand_over(_: object) -> None:
            if learned is not None:
                self._people_changed(learned)
            if self._foreign:
                self._foreign = False
                self._on_foreign()
            on_committed(runs)

        alone = learned is None and count == 1
        result: range = self._commits.run(
            insert,
            hand_over,
            lambda _: (count, size),
            single=alone and not any(events[0].states.values()),
        )
        return result

    def _check_room(self, count: int, added: int) -> None:
        words = self._words
        events, size = words[EVENTS], words[BYTES]
        if events + count > self._config.max_events:
            raise SpoolFull(
                f"spool {self.path} holds {events:,} events of at most "
                f"{self._config.max_events:,} (spool.maxEvents)"
            )
        if size + added > self._config.max_bytes:
            raise SpoolFull(
                f"spool {self.path} holds {size:,} bytes of events of at most "
                f"{self._config.max_bytes:,} (spool.maxBytes)"
            )

    # --- delivering ------------------------------------------------------------------------

    def settle(self, destination: str, updates: Sequence[SpoolUpdate]) -> None:
        self._catalog.ensure(frozenset((destination,)))
        self._delete(
            lambda db: event_tables.settle(db, self._catalog.current, destination, updates)
        )

    def ack(self, destination: str, entries: Sequence[Entry]) -> None:
        self._catalog.ensure(frozenset((destination,)))
        self._delete(lambda db: event_tables.ack(db, self._catalog.current, destination, entries))

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
        sql = shard_tables.only(event_tables.PENDING if held else event_tables.WAITING, shards)
        fetch = partial(event_tables.fetch_up_to, limit_bytes)
        return self._entries(sql, destination, after, limit, fetch=fetch)

    def held(self, destination: str, shards: Collection[int] | None = None) -> list[StoredEntry]:
        return self._entries(shard_tables.only(event_tables.HELD, shards), destination)

    def of_person(self, destination: str, person: str, up_to: int) -> list[StoredEntry]:
        return self._entries(event_tables.OF_PERSON, destination, person, up_to)

    def fates(self, destination: str, seqs: Collection[int]) -> dict[int, Fate]:
        number, marks = self._number(destination), ", ".join("?" * len(seqs))
        rows = self._rows(event_tables.FATES.format(marks), (number, *seqs))
        return {seq: Fate(State(state), count, reason) for seq, state, count, reason in rows}

    def claim(self, destination: str, entries: Mapping[int, str], version: int) -> Claimed:
        member = self._membership
        if member is None:
            raise LeaseLost(f"spool {self.path}: no deliveries have begun")
        call = (member.token, next(self._numbers))
        number = self._number(destination) if self.shards > 1 else None

        def work(db: sqlite3.Connection) -> Claimed:
            # Within the transaction: nobody can have taken a lease over and claimed since.
            for shard in {shard_of(key, seq, self.shards) for seq, key in entries.items()}:
                if not member.holds(Lease(destination, shard)):
                    raise LeaseLost(f"destination {destination}: another process delivers now")
            return claim_tables.claim(db, call, destination, entries, version, number)

        claimed: Claimed = self._commits.run(work)
        return claimed

    def end_claim(self, number: int) -> None:
        self._ended.append(number)

    def write_ended(self) -> None:
        if self._ended:
            self._commits.run(self._end_claims, self._claims_ended)

    def _end_claims(self, db: sqlite3.Connection) -> list[int]:
        numbers = list(self._ended)
        if numbers and self._membership is not None:
            claim_tables.end(db, self._membership.token, numbers)
        return numbers

    def _claims_ended(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            with suppress(ValueError):  # written by two writes of a group
                self._ended.remove(number)

    def end_calls_of_the_dead(self) -> None:
        # Looked for within the transaction: whoever has a call in the table was there before it.
        path = self._spool_file.real
        self._commits.run(lambda db: claim_tables.keep_calls_of(db, living_processes(path)))

    def calls_of(self, people: Collection[str] | None) -> set[tuple[str, int]]:
        calls = claim_tables.calls_of(self._rows(claim_tables.CALLS), people)
        if not calls:
            return calls
        with self._probing:
            living = living_processes(self._spool_file.real)
        return {(process, number) for process, number in calls if process in living}

    def newest(self) -> int:
        ((seq,),) = self._rows(event_tables.NEWEST)
        return int(seq)

    @property
    def inherited(self) -> int | None:
        return self._last_old if self._is_first else None

    def has_waiting(self, destination: str, first: int, last: int) -> bool:
        number = self._number(destination)
        if number is None:
            return False
        return bool(self._rows(event_tables.HAS_WAITING, (number, first, last)))

    def join(
        self,
        destinations: Collection[str],
        deliveries: Deliveries,
        on_foreign: Callable[[], None],
        on_change: Callable[[], None],
    ) -> Membership:
        if self._lock is None:
            raise SpoolError(f"spool {self.path}: it is open to be read, and delivers nothing")
        self._on_foreign = on_foreign
        self._membership = SpoolMembership(
            self._spool_file.real,
            self._lock,
            self._commits.turn,
            destinations,
            self.shards,
            deliveries,
            on_change,
            self._loss,
        )
        return self._membership

    def _loss(self) -> Loss:
        return self._spool_file.loss

    # --- dead letters ----------------------------------------------------------------------

    def requeue(
        self, letters: Iterable[DeadLetter], without: Collection[str] = ()
    ) -> list[StoredEntry]:
        wanted = list(letters)
        self._catalog.ensure_each({item.destination for item in wanted})
        result: list[StoredEntry] = self._commits.run(
            lambda db: event_tables.requeue(db, self._catalog.current, wanted, without),
            lambda _: self.page.people_changed(),
        )
        return result

    def delete_dead(self, letters: Iterable[DeadLetter]) -> int:
        wanted = list(letters)
        self._catalog.ensure_each({item.destination for item in wanted})
        return self._delete(
            lambda db: event_tables.delete_dead(db, self._catalog.current, wanted)
        ).letters

    def dead(self, destination: str | None = None, limit: int | None = None) -> list[DeadLetter]:
        rows = self._rows(event_tables.DEAD, (destination, -1 if limit is None else limit))
        return [letter_of(row) for row in rows]

    # --- figures ---------------------------------------------------------------------------

    def counts(self) -> dict[str, dict[State, int]]:
        result: dict[str, dict[State, int]] = {}
        for destination, state, count in self._rows(event_tables.COUNTS):
            if state in _STATES:  # others are damaged; whoever opens the spool to write mends them
                result.setdefault(destination, {})[State(state)] = count
        return result

    def destinations(self) -> set[str]:
        """Return every destination that an event was ever stored for."""
        return {id_ for (id_,) in self._rows("SELECT id FROM destinations")}

    def oldest(self) -> dict[str, tuple[int, int]]:
        """Return two figures for each destination with waiting or held events.

        They are the time of acceptance of the oldest (ms), and the number of those that wait for a
        retry.
        """
        rows = self._rows(event_tables.OLDEST)
        return {destination: (damage.number(at), due) for destination, at, due in rows}

    def size(self) -> int:
        return self.page.events

    # --- people ----------------------------------------------------------------------------

    def learn(self, update: PeopleUpdate) -> None:
        def work(db: sqlite3.Connection) -> PeopleUpdate:
            self._learn(db, update)
            return update

        self._commits.run(work, self._people_changed)

    def _learn(self, db: sqlite3.Connection, update: PeopleUpdate) -> None:
        people_tables.learn(db, update)
        if self.shards > 1 and update.aliases:
            shard_tables.move(db, update.aliases, self.shards)

    def _people_changed(self, update: PeopleUpdate) -> None:
        self.page.stated(update.last_stamp)
        self.page.people_changed()

    @property
    def people_changes(self) -> int:
        return self._words[PEOPLE]

    def people_since(self, version: int) -> PeopleNews:
        return people_tables.news_of(version, self._rows(people_tables.SINCE, (version,)))

    def consent_of(self, person: str) -> ConsentRecord:
        rows = self._rows(people_tables.CONSENT, (person,))
        return {key: (granted == 1, damage.number(at, _LAST)) for key, granted, at in rows}

    def default_consent(self) -> DefaultConsent | None:
        return people_tables.default_of(self._rows(people_tables.DEFAULT))

    def has_consent(self) -> bool:
        return bool(self._rows("SELECT 1 FROM consents LIMIT 1"))

    def last_stamp(self) -> int:
        return self.page.last_stamp

    def link(self, key: str) -> tuple[str | None, str | None]:
        ((owner, signed_in),) = self._rows(people_tables.LINK, (key,))
        return owner, signed_in

    def aliases_of(self, person: str) -> list[str]:
        rows = self._rows("SELECT alias FROM aliases WHERE person = ?", (person,))
        return [alias for (alias,) in rows]

    # --- erasure ---------------------------------------------------------------------------

    @property
    def erasures(self) -> int:
        return self._words[ERASURES]

    def begin_erasure(self) -> str:
        return self._erasure_locks.begin()

    def schedule_erasure(self, keys: Iterable[str], erasure: str = "") -> None:
        rows = [(key, erasure) for key in keys]
        # Counted as news of people: claims are made again, and others look after it.
        self._commits.run(
            lambda db: db.executemany(event_tables.SCHEDULE_ERASURE, rows),
            lambda _: self.page.people_changed(),
        )

    def cancel_erasure(self, erasure: str) -> None:
        self._commits.run(lambda db: db.execute(event_tables.CANCEL_ERASURE, (erasure,)))

    def end_erasure(self, erasure: str) -> None:
        self._erasure_locks.end(erasure)

    def adopt_erasures(self, erasure: str) -> set[str]:
        found = {str(name) for (name,) in self._rows(event_tables.ERASURES)} - {erasure}
        ended = [name for name in found if not self._erasure_locks.is_under_way(name)]

        def work(db: sqlite3.Connection) -> set[str]:
            # Of several processes that look at once, one finds them.
            db.executemany(event_tables.ADOPT_ERASURE, [(erasure, name) for name in ended])
            return {key for (key,) in db.execute(event_tables.ERASED_BY, (erasure,)).fetchall()}

        adopted: set[str] = self._commits.run(work) if ended else set()
        return adopted

    def pending_erasures(self) -> set[str]:
        return {person for (person,) in self._rows("SELECT person FROM pending_erasures")}

    def erase(self, keys: Iterable[str]) -> Erased:
        wanted = list(keys)

        def work(db: sqlite3.Connection) -> tuple[Erased, int]:
            self._uncounted = 1  # an event of the same transaction must not pass unnoticed
            return event_tables.erase(db, wanted)

        erased: Erased
        try:
            erased, _ = self._commits.run(
                work, self._count_erasure, lambda result: (-len(result[0].seqs), -result[1])
            )
        finally:
            self._uncounted = 0
        return evolve(erased, scrubbed=self._checkpointer.scrub())

    def _count_erasure(self, _: object) -> None:
        self.page.erased()
        self._uncounted = 0

    def scrub(self) -> bool:
        return self._checkpointer.scrub()

    def compact(self) -> None:
        """Write the file anew, with the stored rows alone; see `scrub`. Raises SpoolError."""
        self._checkpointer.compact(self._spool_file.real.parent)

    # --- the end ---------------------------------------------------------------------------

    def is_at_path(self) -> bool:
        return self._spool_file.is_at_path()

    def close(self) -> None:
        with self._turns():
            if not self._spool_file.is_in_place():  # else SQLite itself does so as it closes
                with suppress(sqlite3.Error):
                    scrub(self._commits.connection)
            self._close_files()

    def _close_files(self) -> None:
        self._erasure_locks.close()
        self._spool_file.close()
        self._close_locks()
        self._words = self.page.words

    def _close_locks(self) -> None:
        if self._presence is not None:
            self._presence.close()
        if self._lock is not None:
            self._lock.close()

    def pause(self) -> None:
        """Close the file before a fork: SQLite would take its locks in a child for the child's.

        They are the process's own, and a child that opens the file beside inherited connections
        would have none: the last other process to close would delete the log under it.
        """
        if self._membership is not None:
            self._membership.pause()
        self._probing.acquire()
        self._erasure_locks.pause()
        self._pause = self._hold_turns()
        next(self._pause)
        self._paused = True
        self._spool_file.close()

    def resume(self) -> None:
        """Open the file again, in the parent."""
        if not self._paused:
            return
        self._paused = False
        try:
            self._spool_file.reopen()
            self._commits.connection = self._spool_file.connect()
            self._commits.connection.text_factory = damage.decoded
            configure(self._commits.connection, self._config.sync)
            self._spool_file.note_companions()
            self._reader.connection = self._spool_file.connect()
            self._checkpointer.connection = self._spool_file.connect()
            self._checkpointer.descriptor = self._spool_file.descriptor
        finally:
            self._pause.close()
            self._erasure_locks.resume()
            self._probing.release()
            if self._membership is not None:
                self._membership.resume()

    def _hold_turns(self) -> Generator[None, None, None]:
        """Keep every other thread out until this is closed, or interrupted halfway."""
        with self._checkpointer.turn, self._commits.turn, self._reader.turn:
            yield

    _turns = contextmanager(_hold_turns)

    def abandon(self) -> None:
        """Close the copies of lock files, in a forked child: the locks stay the parent's."""
        self._close_locks()
        self._erasure_locks.abandon()
        if self._membership is not None:
            self._membership.abandon()
        if not self._paused:  # forked within a call of the collector: see `pause`
            _INHERITED[self._spool_file.real] = self._spool_file

    # --- private ---------------------------------------------------------------------------

    def _delete(self, work: Callable[[sqlite3.Connection], Deleted]) -> Deleted:
        """Run a write that may delete events."""

        def delete(db: sqlite3.Connection) -> tuple[Deleted, list[int]]:
            return work(db), self._end_claims(db) if self._ended else []

        deleted: Deleted
        deleted, _ = self._commits.run(delete, self._note_deleted, _tally)
        self._checkpointer.maintain()
        return deleted

    def _note_deleted(self, result: tuple[Deleted, list[int]]) -> None:
        deleted, numbers = result
        self._claims_ended(numbers)
        if deleted.catalog is not self._catalog.current:
            self._catalog.update(deleted.catalog)

    def _rows(self, sql: str, args: Sequence[Any] = (), fetch: Fetch = fetch_all) -> list[Any]:
        return self._reader.rows(sql, args, fetch)

    def _number(self, destination: str) -> int | None:
        number = self._catalog.current.numbers.get(destination)
        if number is None:  # another process may have registered it since
            for (number,) in self._rows(event_tables.NUMBER, (destination,)):
                return int(number)
        return number

    def _entries(
        self, sql: str, destination: str, *args: int | str, fetch: Fetch = fetch_all
    ) -> list[StoredEntry]:
        number = self._number(destination)
        if number is None:
            return []
        # The JSON of events that were accepted since the opening is not checked for damage.
        old = self._last_old
        rows = self._rows(sql, (number, *args), fetch)
        return [stored_entry(row, parse=row[0] <= old) for row in rows]


def _different(events: Sequence[NewEvent]) -> list[Mapping[str, State]]:
    """Return the first states of these events, once where they are shared."""
    if len(events) == 1:
        return [events[0].states]
    return list({id(event.states): event.states for event in events}.values())


def _tally(result: tuple[Deleted, list[int]]) -> Tally:
    deleted, _ = result
    return -deleted.events, -deleted.size
