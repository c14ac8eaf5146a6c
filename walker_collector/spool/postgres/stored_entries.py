"""The events of a spool in PostgreSQL: accepted, delivered, counted."""

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, TypeVar

from walker_collector.errors import SpoolFull
from walker_collector.moments import now_ms
from walker_collector.offsets import Position
from walker_collector.spool import people_log
from walker_collector.spool.base import (
    LAST_SEQ,
    DeadLetter,
    Entry,
    EntryRun,
    Fate,
    NewEvent,
    OnCommitted,
    PeopleUpdate,
    SpoolUpdate,
    State,
    StoredEntry,
    assign_seqs,
)
from walker_collector.spool.postgres import event_rows, mark_rows, people_rows, position_rows
from walker_collector.spool.postgres.heard import Figures
from walker_collector.spool.postgres.number_chunks import chunks_of
from walker_collector.spool.postgres.spool_core import SpoolCore
from walker_collector.spool.postgres.transactions import Needs, Transaction
from walker_collector.spool.repeats import outcome_at, outcome_of_deleted
from walker_collector.spool.room import lack_of_room
from walker_collector.spool.rows import letter_of, stored_entry

T = TypeVar("T")

_FEW: Final = 4
"""Shards that are read one by one; of more, all events are read, and those of others left out."""


class StoredEntries:
    """Implements the parts of `EventStore` and `DurableSpool` that are about events."""

    core: SpoolCore
    on_foreign: Callable[[], None]
    _expected: int
    """The next number if no other process appends."""
    _sharing: set[int]
    """Destinations whose last events had other subscribers as well, by number."""

    def append(
        self,
        events: Sequence[NewEvent],
        on_committed: OnCommitted,
        learned: PeopleUpdate | None = None,
        positions: Sequence[Position] = (),
    ) -> Sequence[int]:
        core = self.core
        size = sum([len(event.body) for event in events])
        self._check_room(len(events), size)
        numbers = core.numbers_of({id_ for event in events for id_ in event.states})
        marks = [event.mark for event in events if event.mark]
        people = {event.person for event in events} if core.shards > 1 else ()
        needs = Needs(
            events=len(events),
            size=size,
            people=learned is not None,
            marks=marks,
            keys=people_rows.keys_to_look_up(people),
        )

        def insert(tx: Transaction) -> tuple[range, list[EntryRun]]:
            people_log.check_not_erased(events, tx.erasures, lambda count: _last_erased(tx, count))
            new: Sequence[NewEvent] = events
            if marks:
                new, seqs = mark_rows.keep_events(tx, numbers, events, core.recent)
            else:
                seqs = tx.take(len(events))
            if len(new) < len(events):
                tx.give_back(len(events) - len(new), size - sum(len(item.body) for item in new))
            runs = assign_seqs(new, seqs.start)
            event_rows.add(tx, numbers, runs, core.shards)
            if learned is not None:
                people_rows.learn(tx, learned, core.shards)
            position_rows.advance(tx, positions)
            return seqs, runs

        def hand_over(result: tuple[range, list[EntryRun]]) -> None:
            seqs, runs = result
            if seqs:
                foreign, self._expected = seqs.start != self._expected, seqs.stop
                if foreign:
                    self.on_foreign()
            on_committed(runs)

        seqs: range = core.writes.run(insert, hand_over, needs)[0]
        return seqs

    def _check_room(self, count: int, added: int) -> None:
        place, figures = self.core.place, self.core.figures.current()
        if lack := lack_of_room(figures.events, figures.size, count, added, place):
            raise SpoolFull(f"{self.core.name}: {lack}")

    @property
    def is_full(self) -> bool:
        place, figures = self.core.place, self.core.figures.current()
        return figures.events >= place.max_events or figures.size >= place.max_bytes

    def size(self) -> int:
        return self.core.figures.current().events

    def usage(self) -> tuple[int, int]:
        figures = self.core.figures.current()
        return figures.events, figures.size

    # --- delivering ------------------------------------------------------------------------

    def settle(self, destination: str, updates: Sequence[SpoolUpdate]) -> None:
        number = self.core.numbers_of([destination])[destination]
        outcomes = [outcome_at(destination, item) for item in updates if item.outcome]

        def work(tx: Transaction) -> None:
            mark_rows.note_outcomes(tx, outcomes)
            event_rows.settle(tx, number, updates)

        self._settle(work)

    def ack(self, destination: str, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        number = self.core.numbers_of([destination])[destination]
        seqs = [entry[0] for entry in entries]
        if number not in self._sharing and self._ack_at_once(number, seqs):
            return
        if self._settle(lambda tx: event_rows.ack(tx, number, seqs)):
            self._sharing.discard(number)
        else:
            self._sharing.add(number)

    def _ack_at_once(self, number: int, seqs: list[int]) -> bool:
        """Acknowledge events without other subscribers; return whether all of them were such."""
        values = {**chunks_of(seqs), "destination": number, "process": "", "slots": []}
        with self._ending() as ended:
            if ended is not None:
                values["process"], values["slots"] = ended
            ((count, size, *figures),) = self.core.writes.run_one("ack", values)
        before = Figures(*figures)
        after = before._replace(events=before.events - count, size=before.size - size)
        self.core.figures.hear(after)
        return bool(count == len(seqs))

    def _ending(self) -> AbstractContextManager[tuple[str, list[int]] | None]:
        """Give the calls that are over, if any, to be cleared within the block."""
        claims = self.core.claims
        return nullcontext() if claims is None else claims.ending()

    def _settle(self, work: Callable[[Transaction], T]) -> T:
        """Run a write about deliveries, which has the ends of their calls as well."""
        with self._ending() as ended:

            def both(tx: Transaction) -> T:
                if ended is not None:
                    tx.later("clear_calls", ended)
                return work(tx)

            result: T = self.core.writes.run(both)
            return result

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
        values = {"after": after, "up_to": up_to, "limit": limit, "bytes": limit_bytes}
        values["most"] = int(State.HELD if held else State.WAITING)
        if shards is not None and len(shards) <= _FEW:
            return self._entries("waiting_in_few", destination, **values, shards=_listed(shards))
        # To add the bytes up takes as long as to read them.
        is_within = self.core.figures.current().size <= limit_bytes
        query = "waiting" if is_within else "waiting_by_size"
        return self._entries(query, destination, **values, held=self._held(shards))

    def _held(self, shards: Collection[int] | None) -> str | None:
        """Return whether to read each shard, as an array of SQL; None: all of them."""
        if shards is None or len(shards) == self.core.shards:
            return None
        return f"{{{','.join('t' if at in shards else 'f' for at in range(self.core.shards))}}}"

    def held(self, destination: str, shards: Collection[int] | None = None) -> list[StoredEntry]:
        return self._entries("held", destination, shards=_listed(shards))

    def of_person(self, destination: str, person: str, up_to: int) -> list[StoredEntry]:
        return self._entries("of_person", destination, person=person, last=up_to)

    def _entries(self, query: str, destination: str, **values: Any) -> list[StoredEntry]:
        number = self.core.number_of(destination)
        if number is None:
            return []
        rows = self.core.rows(query, {"destination": number, **values})
        return [stored_entry(row, parse=False) for row in rows]

    def fates(self, destination: str, seqs: Collection[int]) -> dict[int, Fate]:
        number = self.core.number_of(destination)
        if number is None:
            return {}
        rows = self.core.rows("fates", {"destination": number, "seqs": list(seqs)})
        return {seq: Fate(State(state), count, reason) for seq, state, count, reason in rows}

    def has_waiting(self, destination: str, first: int, last: int) -> bool:
        number = self.core.number_of(destination)
        if number is None:
            return False
        values = {"destination": number, "first": first, "last": last}
        return bool(self.core.rows("has_waiting", values))

    def newest(self) -> int:
        ((seq,),) = self.core.rows("newest")
        return int(seq)

    def heard_newest(self) -> int:
        return self.core.figures.last.seq

    # --- dead letters, and figures for commands --------------------------------------------

    def requeue(
        self, letters: Iterable[DeadLetter], without: Collection[str] = ()
    ) -> list[StoredEntry]:
        wanted = list(letters)
        numbers = self.core.numbers_of({item.destination for item in wanted})

        def work(tx: Transaction) -> list[StoredEntry]:
            found = event_rows.requeue(tx, numbers, wanted, without)
            if found:
                people_rows.log(tx, [people_log.MOVED])
            return found

        found: list[StoredEntry] = self.core.writes.run(work, needs=Needs(people=True))
        return found

    def delete_dead(self, letters: Iterable[DeadLetter]) -> int:
        wanted = list(letters)
        numbers = self.core.numbers_of({item.destination for item in wanted})
        outcomes = [outcome_of_deleted(item, now_ms()) for item in wanted]

        def work(tx: Transaction) -> int:
            mark_rows.note_outcomes(tx, outcomes)
            return event_rows.delete_dead(tx, numbers, wanted)

        count: int = self.core.writes.run(work)
        return count

    def dead(self, destination: str | None = None, limit: int | None = None) -> list[DeadLetter]:
        rows = self.core.rows("dead", {"id": destination, "limit": limit})
        return [letter_of(row) for row in rows]

    def counts(self, up_to: int = LAST_SEQ) -> dict[str, dict[State, int]]:
        result: dict[str, dict[State, int]] = {}
        for destination, state, count in self.core.rows("counts", {"up_to": up_to}):
            result.setdefault(destination, {})[State(state)] = count
        return result

    def destinations(self) -> set[str]:
        """Return every destination that an event was ever stored for."""
        return {id_ for id_, _ in self.core.rows("destinations")}

    def oldest(self) -> dict[str, tuple[int, int]]:
        """Return two figures for each destination with waiting events.

        They are the time of acceptance of the oldest (ms), and the number of those that wait for a
        retry.
        """
        return {id_: (at, due) for id_, at, due in self.core.rows("oldest")}


def _last_erased(tx: Transaction, count: int) -> list[str]:
    return [text for (text,) in tx.rows("last_erased", (int(people_log.ERASED), count))]


def _listed(shards: Collection[int] | None) -> list[int] | None:
    return None if shards is None else sorted(shards)
