"""The durable spool: one SQLite file in WAL mode, written in groups."""

import contextlib
import sqlite3
import sys
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from walker_collector.config import SpoolConfig
from walker_collector.errors import SpoolFull
from walker_collector.spool import damage
from walker_collector.spool.base import (
    ConsentRecord,
    DeadLetter,
    Entry,
    EntryRun,
    Erased,
    NewEvent,
    OnCommitted,
    PeopleUpdate,
    SpoolUpdate,
    State,
    StoredEntry,
    assign_seqs,
    check_not_overtaken,
)
from walker_collector.spool.rows import letter_of, stored_entry
from walker_collector.spool.sqlite import adoption, event_tables, mend, people_tables
from walker_collector.spool.sqlite.catalog import CachedCatalog
from walker_collector.spool.sqlite.checkpointer import Checkpointer
from walker_collector.spool.sqlite.event_tables import Deleted
from walker_collector.spool.sqlite.failure import spool_error
from walker_collector.spool.sqlite.group_commit import GroupCommit, Tally, scrub
from walker_collector.spool.sqlite.lock import keep_inherited
from walker_collector.spool.sqlite.schema import prepare
from walker_collector.spool.sqlite.spool_file import SpoolFile
from walker_collector.spool.sqlite.spool_reader import Fetch, SpoolReader, fetch_all

_LAST: Final = 2**62
"""The last stamp of a statement that is taken for one."""
_STATES: Final = frozenset(State)


class SqliteSpool:
    """A spool that survives its process.

    `sync="normal"` survives a crash of the process at any moment, `sync="full"` also a loss of
    power. Raises SpoolError if the file cannot be used: locked by another process, corrupt,
    not a spool, of another version, or in a folder that cannot be written.
    """

    durable: Literal[True] = True

    def __init__(self, config: SpoolConfig, *, read_only: bool = False) -> None:
        self.path = Path(config.path)
        self._config = config
        self.erasures = 0
        self._spool_file = SpoolFile(self.path, read_only=read_only)
        self._pause = self._hold_turns()
        try:
            self._commits = GroupCommit(
                self._spool_file.connect(), self.path, self._spool_file.check
            )
            self._reader = SpoolReader(self._spool_file.connect(), self.path)
            self._checkpointer = Checkpointer(
                self._commits, self._spool_file.connect(), self._spool_file.descriptor
            )
            # It reads little text, so that a tolerant factory costs little; see SpoolReader.
            self._commits.connection.text_factory = damage.decoded
            prepare(
                self._spool_file.real, self._commits.connection, config.sync, read_only=read_only
            )
            if not read_only:
                mend.mend(self.path, self._commits)
            self._look_up()
        except BaseException as error:
            self._spool_file.close()
            if isinstance(error, sqlite3.Error):
                raise spool_error(self.path, error) from error
            raise

    def _look_up(self) -> None:
        """Read the catalog and the figures from disk."""
        self._catalog = CachedCatalog(self._commits)
        ((self._seq, self._commits.events, self._commits.bytes),) = self._rows(event_tables.SIZE)
        self._last_old = self._seq

    # --- accepting -------------------------------------------------------------------------

    def append(
        self,
        events: Sequence[NewEvent],
        on_committed: OnCommitted,
        learned: PeopleUpdate | None = None,
    ) -> Sequence[int]:
        size = sum([len(event.body) for event in events])  # a list is faster for one
        self._check_room(len(events), size)
        for states in _different(events):
            self._catalog.ensure(frozenset(states))
        seqs = range(0)
        runs: list[EntryRun] = []

        def insert(db: sqlite3.Connection) -> range:
            nonlocal seqs
            if seqs and event_tables.has(db, seqs[0]):
                # Committed already, by a thread that was interrupted before it noted so.
                return seqs
            check_not_overtaken(events, self.erasures)
            seqs = range(self._seq + 1, self._seq + 1 + len(events))
            self._seq += len(events)  # before they are written: no number is ever given twice
            runs[:] = assign_seqs(events, seqs.start)
            for entries, states in runs:
                event_tables.insert(db, self._catalog.current, entries, states)
            if learned is not None:
                people_tables.learn(db, learned)
            return seqs

        alone = learned is None and len(events) == 1
        result: range = self._commits.run(
            insert,
            lambda _: on_committed(runs),
            lambda _: (len(events), size),
            single=alone and not any(events[0].states.values()),
        )
        return result

    def _check_room(self, count: int, added: int) -> None:
        events, size = self._commits.events, self._commits.bytes
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
        self, destination: str, after: int, limit: int, limit_bytes: int = sys.maxsize
    ) -> list[StoredEntry]:
        fetch = partial(event_tables.fetch_up_to, limit_bytes)
        return self._entries(event_tables.WAITING, destination, after, limit, fetch=fetch)

    def held(self, destination: str) -> list[StoredEntry]:
        return self._entries(event_tables.HELD, destination)

    # --- dead letters ----------------------------------------------------------------------

    def requeue(
        self, letters: Iterable[DeadLetter], without: Collection[str] = ()
    ) -> list[StoredEntry]:
        wanted = list(letters)
        self._catalog.ensure_each({item.destination for item in wanted})
        result: list[StoredEntry] = self._commits.run(
            lambda db: event_tables.requeue(db, self._catalog.current, wanted, without)
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
        return self._commits.events

    # --- people ----------------------------------------------------------------------------

    def learn(self, update: PeopleUpdate) -> None:
        self._commits.run(lambda db: people_tables.learn(db, update))

    def consent_of(self, person: str) -> ConsentRecord:
        rows = self._rows(people_tables.CONSENT, (person,))
        return {key: (granted == 1, damage.number(at, _LAST)) for key, granted, at in rows}

    def has_consent(self) -> bool:
        return bool(self._rows("SELECT 1 FROM consents LIMIT 1"))

    def last_stamp(self) -> int:
        ((stamp,),) = self._rows("SELECT coalesce(max(stamp), 0) FROM consents")
        return int(stamp)

    def link(self, key: str) -> tuple[str | None, str | None]:
        ((owner, signed_in),) = self._rows(people_tables.LINK, (key,))
        return owner, signed_in

    def aliases_of(self, person: str) -> list[str]:
        rows = self._rows("SELECT alias FROM aliases WHERE person = ?", (person,))
        return [alias for (alias,) in rows]

    # --- erasure ---------------------------------------------------------------------------

    def schedule_erasure(self, keys: Iterable[str]) -> None:
        rows = [(key,) for key in keys]
        self._commits.run(
            lambda db: db.executemany("INSERT OR IGNORE INTO pending_erasures VALUES (?)", rows)
        )

    def pending_erasures(self) -> set[str]:
        return {person for (person,) in self._rows("SELECT person FROM pending_erasures")}

    def erase(self, keys: Iterable[str]) -> Erased:
        wanted = list(keys)
        self.erasures += 1
        erased: Erased
        erased, _ = self._commits.run(
            lambda db: event_tables.erase(db, wanted),
            tally=lambda result: (-len(result[0].seqs), -result[1]),
        )
        self._checkpointer.scrub()
        return erased

    def compact(self) -> None:
        """Write the file anew, with the stored rows alone. Raises SpoolError."""
        self._checkpointer.compact(self._spool_file.real.parent)

    # --- other spools ----------------------------------------------------------------------

    def adopt(self, path: Path) -> int:
        """Take over the rows of another spool, and delete it. Return the number of its events.

        The other file is deleted after this one has everything, so a crash in between delivers
        twice rather than never. Raises SpoolError if the other file cannot be read.
        """
        other = SqliteSpool(attrs.evolve(self._config, path=str(path)))
        try:
            left: adoption.Contents = other._commits.alone(adoption.contents)
            self._commits.run(lambda db: adoption.take_over(db, left, self._seq))
        except BaseException:
            other.close()
            raise
        self._look_up()
        with other._turns():
            other._spool_file.remove()
        return len(left.events)

    # --- the end ---------------------------------------------------------------------------

    def is_at_path(self) -> bool:
        return self._spool_file.is_at_path()

    def close(self) -> None:
        with self._turns():
            if not self._spool_file.is_in_place():  # else SQLite itself does so as it closes
                with contextlib.suppress(sqlite3.Error):
                    scrub(self._commits.connection)
            self._spool_file.close()

    def pause(self) -> None:
        self._pause = self._hold_turns()
        next(self._pause)

    def resume(self) -> None:
        self._pause.close()

    def _hold_turns(self) -> Generator[None, None, None]:
        """Keep every other thread out until this is closed, or interrupted halfway."""
        with self._checkpointer.turn, self._commits.turn, self._reader.turn:
            yield

    _turns = contextmanager(_hold_turns)

    def abandon(self) -> None:
        keep_inherited(self._pause)
        self._spool_file.abandon()

    # --- private ---------------------------------------------------------------------------

    def _delete(self, work: Callable[[sqlite3.Connection], Deleted]) -> Deleted:
        """Run a write that may delete events."""
        deleted: Deleted = self._commits.run(work, self._note_deleted, _tally)
        self._checkpointer.maintain()
        return deleted

    def _note_deleted(self, deleted: Deleted) -> None:
        if deleted.catalog is not self._catalog.current:
            self._catalog.update(deleted.catalog)

    def _rows(self, sql: str, args: Sequence[Any] = (), fetch: Fetch = fetch_all) -> list[Any]:
        return self._reader.rows(sql, args, fetch)

    def _entries(
        self, sql: str, destination: str, *args: int, fetch: Fetch = fetch_all
    ) -> list[StoredEntry]:
        number = self._catalog.current.numbers.get(destination)
        if number is None:
            return []
        # The JSON of events that this process itself has accepted is not checked for damage.
        old = self._last_old
        rows = self._rows(sql, (number, *args), fetch)
        return [stored_entry(row, parse=row[0] <= old) for row in rows]


def _different(events: Sequence[NewEvent]) -> list[Mapping[str, State]]:
    """Return the first states of these events, once where they are shared."""
    if len(events) == 1:
        return [events[0].states]
    return list({id(event.states): event.states for event in events}.values())


def _tally(deleted: Deleted) -> Tally:
    return -deleted.events, -deleted.size
