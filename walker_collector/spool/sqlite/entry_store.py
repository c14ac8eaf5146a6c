"""The entries of destinations in a spool file: read, acknowledged, dead, and counted."""

import sqlite3
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Final

from walker_collector.moments import now_ms
from walker_collector.spool import damage
from walker_collector.spool.base import (
    LAST_SEQ,
    DeadLetter,
    Entry,
    Fate,
    SpoolUpdate,
    State,
    StoredEntry,
)
from walker_collector.spool.repeats import OutcomeAt, outcome_at, outcome_of_deleted
from walker_collector.spool.rows import letter_of
from walker_collector.spool.sqlite import event_tables, people_tables, recent_tables, shard_tables
from walker_collector.spool.sqlite.call_claims import CallClaims
from walker_collector.spool.sqlite.event_tables import Deleted
from walker_collector.spool.sqlite.file_core import FileCore
from walker_collector.spool.sqlite.group_commit import Tally

_STATES: Final = frozenset(State)


class EntryStore:
    """Implements the parts of `EventStore` and `DurableSpool` that are about entries."""

    core: FileCore
    claims: CallClaims

    # --- deliveries ------------------------------------------------------------------------

    def settle(self, destination: str, updates: Sequence[SpoolUpdate]) -> None:
        catalog = self.core.catalog
        catalog.ensure(frozenset((destination,)))
        self._delete(
            lambda db: event_tables.settle(db, catalog.current, destination, updates),
            [outcome_at(destination, item) for item in updates if item.outcome],
        )

    def ack(self, destination: str, entries: Sequence[Entry]) -> None:
        catalog = self.core.catalog
        catalog.ensure(frozenset((destination,)))
        self._delete(lambda db: event_tables.ack(db, catalog.current, destination, entries))

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
        return self.core.entries(sql, destination, after, limit, up_to, fetch=fetch)

    def held(self, destination: str, shards: Collection[int] | None = None) -> list[StoredEntry]:
        return self.core.entries(shard_tables.only(event_tables.HELD, shards), destination)

    def of_person(self, destination: str, person: str, up_to: int) -> list[StoredEntry]:
        return self.core.entries(event_tables.OF_PERSON, destination, person, up_to)

    def fates(self, destination: str, seqs: Collection[int]) -> dict[int, Fate]:
        number, marks = self.core.number_of(destination), ", ".join("?" * len(seqs))
        rows = self.core.rows(event_tables.FATES.format(marks), (number, *seqs))
        return {seq: Fate(State(state), count, reason) for seq, state, count, reason in rows}

    def newest(self) -> int:
        ((seq,),) = self.core.rows(event_tables.NEWEST)
        return int(seq)

    def heard_newest(self) -> int:
        return self.newest()

    @property
    def inherited(self) -> int | None:
        return self.core.last_old if self.core.files.is_first else None

    def has_waiting(self, destination: str, first: int, last: int) -> bool:
        number = self.core.number_of(destination)
        if number is None:
            return False
        return bool(self.core.rows(event_tables.HAS_WAITING, (number, first, last)))

    # --- dead letters ----------------------------------------------------------------------

    def requeue(
        self, letters: Iterable[DeadLetter], without: Collection[str] = ()
    ) -> list[StoredEntry]:
        core, wanted = self.core, list(letters)
        core.catalog.ensure_each({item.destination for item in wanted})
        result: list[StoredEntry] = core.commits.run(
            lambda db: event_tables.requeue(db, core.catalog.current, wanted, without),
            lambda _: core.page.people_changed(),
        )
        return result

    def delete_dead(self, letters: Iterable[DeadLetter]) -> int:
        catalog, wanted = self.core.catalog, list(letters)
        catalog.ensure_each({item.destination for item in wanted})
        return self._delete(
            lambda db: event_tables.delete_dead(db, catalog.current, wanted),
            [outcome_of_deleted(item, now_ms()) for item in wanted],
        ).letters

    def announce(self) -> None:
        page = self.core.page
        self.core.commits.run(people_tables.log_moved, lambda _: page.people_changed())

    def dead(self, destination: str | None = None, limit: int | None = None) -> list[DeadLetter]:
        rows = self.core.rows(event_tables.DEAD, (destination, -1 if limit is None else limit))
        return [letter_of(row) for row in rows]

    # --- figures ---------------------------------------------------------------------------

    def counts(self, up_to: int = LAST_SEQ) -> dict[str, dict[State, int]]:
        result: dict[str, dict[State, int]] = {}
        for destination, state, count in self.core.rows(event_tables.COUNTS, (up_to,)):
            if state in _STATES:  # others are damaged; whoever opens the spool to write mends them
                result.setdefault(destination, {})[State(state)] = count
        return result

    def destinations(self) -> set[str]:
        """Return every destination that an event was ever stored for."""
        return {id_ for (id_,) in self.core.rows("SELECT id FROM destinations")}

    def oldest(self) -> dict[str, tuple[int, int]]:
        """Return two figures for each destination with waiting events.

        They are the time of acceptance of the oldest (ms), and the number of those that wait for a
        retry.
        """
        rows = self.core.rows(event_tables.OLDEST)
        return {destination: (damage.number(at), due) for destination, at, due in rows}

    # --- private ---------------------------------------------------------------------------

    def _delete(
        self, work: Callable[[sqlite3.Connection], Deleted], outcomes: Sequence[OutcomeAt] = ()
    ) -> Deleted:
        """Run a write that may delete events; note the outcomes of undelivered ones first.

        The calls that are over are deleted with it.
        """
        core, claims = self.core, self.claims

        def delete(db: sqlite3.Connection) -> tuple[Deleted, list[int]]:
            nonlocal outcomes
            if outcomes:
                # Not when this is repeated: deleting needs no room on a full disk, a note may.
                found, outcomes = outcomes, ()
                recent_tables.note_outcomes(db, found)
            return work(db), claims.delete_ended(db) if claims.ended else []

        def note(result: tuple[Deleted, list[int]]) -> None:
            deleted, numbers = result
            claims.note_written(numbers)
            if deleted.catalog is not core.catalog.current:
                core.catalog.update(deleted.catalog)

        deleted: Deleted
        deleted, _ = core.commits.run(delete, note, _tally)
        core.checkpointer.maintain()
        return deleted


def _tally(result: tuple[Deleted, list[int]]) -> Tally:
    deleted, _ = result
    return -deleted.events, -deleted.size
