"""The durable spool: one SQLite file in WAL mode, written in groups."""

import itertools
import json
import sqlite3
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from attrs import evolve

from walker_collector.config import SpoolConfig
from walker_collector.errors import SpoolError, SpoolFull
from walker_collector.moments import now_ms
from walker_collector.offsets import Position
from walker_collector.spool import damage, people_log
from walker_collector.spool.base import (
    LAST_SEQ,
    RECENT,
    Claimed,
    ConsentRecord,
    DeadLetter,
    DefaultConsent,
    Deliveries,
    Entry,
    EntryRun,
    Erased,
    Fate,
    KnownKeys,
    Lease,
    LeaseLost,
    NewEvent,
    OnCommitted,
    PeopleNews,
    PeopleUpdate,
    SpoolUpdate,
    State,
    StoredEntry,
    assign_seqs,
)
from walker_collector.spool.engine_protocol import Membership
from walker_collector.spool.processes.members import living_processes
from walker_collector.spool.processes.membership import SpoolMembership
from walker_collector.spool.processes.observer import LockObserver
from walker_collector.spool.processes.page import BYTES, ERASURES, EVENTS, PEOPLE, SEQ
from walker_collector.spool.repeats import (
    OutcomeAt,
    RecentEvent,
    Unstored,
    marks_of,
    note_repeats,
    outcome_at,
    outcome_of_deleted,
    possible_marks,
    without_repeats,
)
from walker_collector.spool.room import lack_of_room
from walker_collector.spool.rows import default_of, known_keys, letter_of, stored_entry
from walker_collector.spool.shards import shard_of
from walker_collector.spool.sqlite import (
    claim_tables,
    event_tables,
    people_tables,
    position_tables,
    recent_tables,
    shard_tables,
)
from walker_collector.spool.sqlite.catalog import CachedCatalog
from walker_collector.spool.sqlite.event_tables import Deleted
from walker_collector.spool.sqlite.group_commit import Tally
from walker_collector.spool.sqlite.open_files import LAST_STAMP, OpenFiles
from walker_collector.spool.sqlite.sample_tables import DELETE_SAMPLES, SqliteSampleTable
from walker_collector.spool.sqlite.spool_reader import Fetch, fetch_all
from walker_collector.spool.sqlite.stored_events import StoredEvents

_STATES: Final = frozenset(State)
_UNSTORED_MAX: Final = 500
"""Events that no destination takes which wait to be written; a commit for each would cost more than
all the rest of them."""


class SqliteSpool:
    """A spool that survives its process, and that every process of the machine may open.

    `sync="normal"` survives a crash of the process at any moment, `sync="full"` also a loss of
    power. `shards`: the number that a new file is made with, and that any other must have; None:
    any, and one for a new file. `recent` is the time (ms) for which ids are remembered, `wait` how
    long (s) to wait for other processes that write.
    Raises SpoolError if the file cannot be used: corrupt, not a spool, of another version, or in a
    folder that cannot be written.
    """

    durable: Literal[True] = True
    trouble = ""
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
        self._recent = recent
        self._config = config
        self._on_foreign: Callable[[], None] = lambda: None
        self._membership: SpoolMembership | None = None
        self._uncounted = 0
        """1 while an erasure is written that the page does not count yet."""
        self._files = files = OpenFiles(config, shards=shards, read_only=read_only, wait=wait)
        self.shards = files.shards
        self.page = files.page
        """The figures that all processes of the spool share."""
        self._commits, self._reader = files.commits, files.reader
        self._checkpointer, self._erasure_locks = files.checkpointer, files.erasure_locks
        try:
            self._catalog = CachedCatalog(self._commits)
        except BaseException:
            files.close()
            raise
        self._words = self.page.words
        self._last_old = self.page.seq
        self._expected = self._last_old + 1
        self._numbers = itertools.count(1)
        self._ended: deque[int] = deque()
        self._unstored: list[Unstored] = []
        self._foreign = False

    # --- accepting -------------------------------------------------------------------------

    def append(
        self,
        events: Sequence[NewEvent],
        on_committed: OnCommitted,
        learned: PeopleUpdate | None = None,
        positions: Sequence[Position] = (),
    ) -> Sequence[int]:
        count, words = len(events), self._words
        size = len(events[0].body) if count == 1 else sum([len(event.body) for event in events])
        self._check_room(count, size)
        for states in _different(events):
            self._catalog.ensure(frozenset(states))
        marks = marks_of(events) if count > 1 or events[0].mark else []
        new, seqs = events, range(0)
        runs: list[EntryRun] = []

        def insert(db: sqlite3.Connection) -> range:
            nonlocal new, seqs
            if seqs and event_tables.has(db, seqs[0], new[0].body):
                # Committed already, by a thread that was interrupted before it noted so.
                return seqs
            if count > 1 or events[0].as_of != words[ERASURES] + self._uncounted:
                people_tables.check_not_overtaken(db, events, words[ERASURES], self._uncounted)
            seqs = self._take_numbers(count)
            new = self._keep_marks(db, events, marks, seqs) if marks else events
            seqs = self._give_back(seqs, len(new))
            runs[:] = assign_seqs(new, seqs.start)
            try:
                self._insert(db, runs)
            except sqlite3.IntegrityError:
                # Somebody has deleted the lock files, and another process given these numbers.
                seqs = range(0)
                self._files.recount(db)
                raise
            if learned is not None:
                self._learn(db, learned)
            position_tables.advance(db, positions)
            return seqs

        def hand_over(_: object) -> None:
            if learned is not None:
                self._people_changed(learned)
            if self._foreign:
                self._foreign = False
                self._on_foreign()
            on_committed(runs)

        def tally(seqs: range) -> Tally:
            return len(seqs), size if len(seqs) == count else sum(len(event.body) for event in new)

        alone = learned is None and count == 1 and not marks and not positions
        result: range = self._commits.run(
            insert,
            hand_over,
            tally,
            single=alone and not any(events[0].states.values()),
        )
        return result

    def came_before(self, marks: Collection[bytes], now: int) -> set[bytes]:
        rows = self._rows(*recent_tables.find(marks, now, self._recent))
        return {mark for mark, _ in rows}

    def keep_mark(self, mark: bytes, now: int) -> None:
        row = (mark, now, 0, 0, None)
        self._commits.run(lambda db: recent_tables.insert(db, [row], self._recent))

    def keep_unstored(self, events: Sequence[Unstored]) -> None:
        self._unstored.extend(events)
        if len(self._unstored) >= _UNSTORED_MAX:
            self.write_unstored()

    def keep_positions(self, positions: Sequence[Position]) -> None:
        self._commits.run(lambda db: position_tables.advance(db, positions))

    def take_over_position(self, before: Position | None, position: Position) -> None:
        self._commits.run(lambda db: position_tables.take_over(db, before, position))

    def position_of(self, input: str) -> Position | None:
        return position_tables.position_of(self._rows(position_tables.POSITION, (input,)))

    def write_unstored(self) -> None:
        events, self._unstored = self._unstored, []
        if events:
            self._commits.run(lambda db: recent_tables.insert_unstored(db, events, self._recent))

    def recent_event(self, id_: str, now: int) -> RecentEvent | None:
        args = (*possible_marks(id_), now - self._recent, now + self._recent)
        return recent_tables.recent_event(self._rows(recent_tables.EVENT, args))

    def _keep_marks(
        self,
        db: sqlite3.Connection,
        events: Sequence[NewEvent],
        marks: Sequence[bytes],
        seqs: range,
    ) -> Sequence[NewEvent]:
        """Remember the marks of events, in their order with these numbers; return those to store.

        These are all but the repeated ones.
        """
        catalog = self._catalog.current
        if recent_tables.insert_new(db, catalog, events, seqs, self._recent):
            return events
        known = recent_tables.numbers_of(db, marks, events[0].at, self._recent)
        new = without_repeats(events, known)
        stored = recent_tables.insert_events(db, catalog, new, seqs[: len(new)], self._recent)
        note_repeats(events, stored, known)
        return new

    def _take_numbers(self, count: int) -> range:
        """Reserve numbers before events are written: none is ever given twice."""
        words = self._words
        first = words[SEQ] + 1
        words[SEQ] += count
        if first != self._expected:
            self._foreign = True
        self._expected = first + count
        return range(first, first + count)

    def _give_back(self, seqs: range, used: int) -> range:
        """Give back the last numbers just reserved, which nothing was written under."""
        left = len(seqs) - used
        self._words[SEQ] -= left
        self._expected -= left
        return seqs[:used]

    def _insert(self, db: sqlite3.Connection, runs: Iterable[EntryRun]) -> None:
        shard = shard_tables.shard_in(db, self.shards) if self.shards > 1 else None
        for entries, states in runs:
            event_tables.insert(db, self._catalog.current, entries, states, shard)

    def _check_room(self, count: int, added: int) -> None:
        words = self._words
        if lack := lack_of_room(words[EVENTS], words[BYTES], count, added, self._config):
            raise SpoolFull(f"spool {self.path} {lack}")

    # --- delivering ------------------------------------------------------------------------

    def settle(self, destination: str, updates: Sequence[SpoolUpdate]) -> None:
        self._catalog.ensure(frozenset((destination,)))
        self._delete(
            lambda db: event_tables.settle(db, self._catalog.current, destination, updates),
            [outcome_at(destination, item) for item in updates if item.outcome],
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
        up_to: int = LAST_SEQ,
    ) -> list[StoredEntry]:
        sql = shard_tables.only(event_tables.PENDING if held else event_tables.WAITING, shards)
        fetch = partial(event_tables.fetch_up_to, limit_bytes)
        return self._entries(sql, destination, after, limit, up_to, fetch=fetch)

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
            for shard in self._shards_of(entries):
                if not member.holds(Lease(destination, shard)):
                    raise LeaseLost(f"destination {destination}: another process delivers now")
            return claim_tables.claim(db, call, destination, entries, version, number)

        claimed: Claimed = self._commits.run(work)
        return claimed

    def _shards_of(self, entries: Mapping[int, str]) -> set[int]:
        if self.shards == 1:
            return {0}
        return {shard_of(key, seq, self.shards) for seq, key in entries.items()}

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
        path = self._files.real
        self._commits.run(lambda db: claim_tables.keep_calls_of(db, living_processes(path)))

    def calls_of(self, people: Collection[str] | None) -> set[tuple[str, int]]:
        calls = claim_tables.calls_of(self._rows(claim_tables.CALLS), people)
        if not calls:
            return calls
        living = self._files.living()
        return {(process, number) for process, number in calls if process in living}

    def newest(self) -> int:
        ((seq,),) = self._rows(event_tables.NEWEST)
        return int(seq)

    def heard_newest(self) -> int:
        return self.newest()

    @property
    def inherited(self) -> int | None:
        return self._last_old if self._files.is_first else None

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
        lock = self._files.lock
        if lock is None:
            raise SpoolError(f"spool {self.path}: it is open to be read, and delivers nothing")
        self._on_foreign = on_foreign
        self._membership = SpoolMembership(
            self._files.real,
            lock,
            self._commits.turn,
            destinations,
            self.shards,
            deliveries,
            on_change,
            self._files.loss,
        )
        return self._membership

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
            lambda db: event_tables.delete_dead(db, self._catalog.current, wanted),
            [outcome_of_deleted(item, now_ms()) for item in wanted],
        ).letters

    def announce(self) -> None:
        self._commits.run(people_tables.log_moved, lambda _: self.page.people_changed())

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
        """Return two figures for each destination with waiting events.

        They are the time of acceptance of the oldest (ms), and the number of those that wait for a
        retry.
        """
        rows = self._rows(event_tables.OLDEST)
        return {destination: (damage.number(at), due) for destination, at, due in rows}

    @property
    def observer(self) -> LockObserver:
        """The deliverers of the spool."""
        return LockObserver(self.path)

    @property
    def sample_table(self) -> SqliteSampleTable:
        """The table of live figures and samples, for viewers."""
        return SqliteSampleTable(self._commits, self._reader)

    def stored_events(self) -> StoredEvents:
        """Return the queries over single events and people."""
        return StoredEvents(self._rows)

    @property
    def is_full(self) -> bool:
        words, config = self._words, self._config
        return words[EVENTS] >= config.max_events or words[BYTES] >= config.max_bytes

    def size(self) -> int:
        return self.page.events

    def usage(self) -> tuple[int, int]:
        return self.page.events, self.page.bytes

    # --- people ----------------------------------------------------------------------------

    def learn(self, update: PeopleUpdate, positions: Sequence[Position] = ()) -> None:
        def work(db: sqlite3.Connection) -> PeopleUpdate:
            self._learn(db, update)
            position_tables.advance(db, positions)
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
        return people_log.news_of(version, self._rows(people_tables.SINCE, (version,)))

    def consent_of(self, person: str) -> ConsentRecord:
        rows = self._rows(people_tables.CONSENT, (person,))
        return {key: (granted == 1, damage.number(at, LAST_STAMP)) for key, granted, at in rows}

    def default_consent(self) -> DefaultConsent | None:
        return default_of(self._rows(people_tables.DEFAULT))

    def has_consent(self) -> bool:
        return bool(self._rows("SELECT 1 FROM consents LIMIT 1"))

    def has_claimed_people(self) -> bool:
        return bool(self._rows(people_tables.HAS_CLAIMED))

    def last_stamp(self) -> int:
        return self.page.last_stamp

    def link(self, key: str) -> tuple[str | None, str | None]:
        ((owner, signed_in),) = self._rows(people_tables.LINK, (key,))
        return owner, signed_in

    def aliases_of(self, person: str) -> list[str]:
        rows = self._rows("SELECT alias FROM aliases WHERE person = ?", (person,))
        return [alias for (alias,) in rows]

    def known_of(self, keys: Collection[str]) -> KnownKeys:
        rows = self._rows(people_tables.KNOWN_OF, (json.dumps(list(keys)),))
        return known_keys(keys, rows, LAST_STAMP)

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
            db.execute(DELETE_SAMPLES)  # of everybody: they are for those who watch just now
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
        self._checkpointer.compact(self._files.real.parent)

    # --- the end ---------------------------------------------------------------------------

    def is_at_path(self) -> bool:
        return self._files.is_at_path()

    def close(self) -> None:
        self._files.close()
        self._words = self.page.words

    def pause(self) -> None:
        if self._membership is not None:
            self._membership.pause()
        self._files.pause()

    def resume(self) -> None:
        if not self._files.is_paused:
            return
        try:
            self._files.resume()
        finally:
            if self._membership is not None:
                self._membership.resume()

    def abandon(self) -> None:
        self._files.abandon()
        if self._membership is not None:
            self._membership.abandon()

    # --- private ---------------------------------------------------------------------------

    def _delete(
        self, work: Callable[[sqlite3.Connection], Deleted], outcomes: Sequence[OutcomeAt] = ()
    ) -> Deleted:
        """Run a write that may delete events; note the outcomes of undelivered ones first."""

        def delete(db: sqlite3.Connection) -> tuple[Deleted, list[int]]:
            nonlocal outcomes
            if outcomes:
                # Not when this is repeated: deleting needs no room on a full disk, a note may.
                found, outcomes = outcomes, ()
                recent_tables.note_outcomes(db, found)
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
