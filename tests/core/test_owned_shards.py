"""The shards of one process, while another merges people whose events wait here, or come here."""

import logging
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from attrs import define

from tests.core.support import Clock, Record, flow, plugin
from walker_collector.config import SpoolConfig
from walker_collector.delivery.destination import build_destinations
from walker_collector.delivery.entries_in_flight import Batch
from walker_collector.delivery.log_limiter import LogLimiter
from walker_collector.delivery.outcome import NOT_ATTEMPTED, Disposition
from walker_collector.delivery.pending import PendingEvents
from walker_collector.delivery.pending_state import PendingState
from walker_collector.moments import SteadyClock
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import FRESH, EntryRun, NewEvent, PeopleUpdate, State, shard_of
from walker_collector.spool.sqlite import SqliteSpool

MINE, THEIRS = 0, 1


def in_shard(shard: int, kind: str) -> str:
    """Return the key of somebody in a shard."""
    keys = (f"{kind}:{n}" for n in range(100))
    return next(key for key in keys if shard_of(key, 0, 2) == shard)


@define
class Process:
    """One that delivers to the people of the first of two shards, and the spool of another."""

    spool: SqliteSpool
    other: SqliteSpool
    consents: ConsentStore
    pending: PendingEvents

    def accept(self, *people: str, state: State = State.WAITING) -> None:
        """Have the other process accept events, and read them here."""
        events = [NewEvent(person, Clock()(), b"{}", {"there": state}) for person in people]
        self.other.append(events, lambda runs: None)
        self.pending.note_foreign()
        self.pending._refill.run(Clock()())

    def accept_here(self, *people: str) -> None:
        """Have this process accept events; they are in memory, and have not had their turn."""

        def add(runs: Sequence[EntryRun]) -> None:
            with self.pending.lock:
                for entries, states in runs:
                    self.pending.add(entries, states["there"])

        events = [NewEvent(person, Clock()(), b"{}", {"there": State.WAITING}) for person in people]
        self.spool.append(events, add)

    def merge(self, key: str, person: str) -> None:
        """Have the other process merge two people, and learn of it here."""
        self.other.learn(PeopleUpdate(aliases={key: person}))
        self.consents.refresh()

    def take(self) -> Batch | None:
        """Take all entries that are ready, as a worker does."""
        return self.pending.flight.take(self.pending.state.queue.take_ready, 100, None)

    def people(self) -> list[tuple[int, str]]:
        """Take all entries that are ready; return their numbers and people."""
        batch = self.take()
        return [entry[:2] for entry in batch.entries] if batch else []


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    config = SpoolConfig(path=str(tmp_path / "spool.db"))
    spool, other = SqliteSpool(config, shards=2), SqliteSpool(config, shards=2)
    (destination,) = build_destinations(flow(plugin(Record().push)))
    consents = ConsentStore(spool, {}, 10, Clock())
    log = LogLimiter(logging.getLogger(), time.monotonic)
    state = PendingState(destination, spool, consents, SteadyClock(Clock()), log, lambda: None)
    pending = PendingEvents(state)
    pending.shards.take_over(MINE)
    yield Process(spool, other, consents, pending)
    other.close()
    spool.close()


def test_only_the_people_of_its_shards_are_read(process: Process) -> None:
    mine, theirs = in_shard(MINE, "id"), in_shard(THEIRS, "id")
    process.accept(theirs, mine, theirs, mine)
    assert process.people() == [(2, mine), (4, mine)]
    assert process.pending.state.waiting == 2


def test_waiting_entries_whose_person_is_anothers_now_are_left_to_it(process: Process) -> None:
    session, person = in_shard(MINE, "session"), in_shard(THEIRS, "id")
    bystander = in_shard(MINE, "id")
    process.accept(session, bystander, session)
    process.merge(session, person)
    assert process.people() == [(2, bystander)]
    assert process.pending.state.waiting == 1


def test_entries_that_become_a_persons_of_this_process_are_read_in_their_place(
    process: Process,
) -> None:
    session, person = in_shard(THEIRS, "session"), in_shard(MINE, "id")
    process.accept(session, person, session, person)
    process.merge(session, person)
    assert process.people() == [(1, session), (2, person), (3, session), (4, person)]
    assert process.pending.state.waiting == 4


def test_an_entry_in_flight_does_not_overtake_those_that_become_its_persons(
    process: Process,
) -> None:
    session, person = in_shard(THEIRS, "session"), in_shard(MINE, "id")
    process.accept(session, person)
    batch = process.take()
    assert batch is not None
    process.merge(session, person)
    process.pending.shards.note_joins()  # as a claim does
    (entry,) = batch.entries
    assert not process.pending.erasures.may_proceed(entry)
    with process.pending.lock:
        process.pending.flight.settle(batch, [NOT_ATTEMPTED], [Disposition(None, FRESH)])
    assert process.people() == [(1, session), (2, person)]


def test_held_entries_whose_person_is_anothers_now_are_left_to_it(process: Process) -> None:
    session, person = in_shard(MINE, "session"), in_shard(THEIRS, "id")
    held = process.pending.state.held
    with process.pending.lock:
        process.pending.holds.hold([(1, session, 0, b"{}"), (2, in_shard(MINE, "id"), 0, b"{}")])
    process.merge(session, person)
    assert process.people() == []
    assert list(held.entries) == [2]


def test_a_shard_that_is_given_up_leaves_the_others_as_they_are(process: Process) -> None:
    mine, theirs = in_shard(MINE, "id"), in_shard(THEIRS, "id")
    process.pending.shards.take_over(THEIRS)
    process.accept(mine, theirs)
    assert process.pending.shards.abandon(THEIRS)
    assert process.people() == [(1, mine)]
    assert process.pending.shards.abandon(MINE) is False  # it is in flight
    process.pending.shards.take_over(THEIRS)
    process.pending._refill.run(Clock()())
    assert process.people() == [(2, theirs)]


# --- own events, which are taken from memory -----------------------------------------------------


@pytest.fixture
def reading(process: Process) -> Process:
    """The process, with everything read: what it accepts next comes from memory."""
    process.pending._refill.run(Clock()())
    assert not process.pending.state.window.more_on_disk
    return process


def test_own_events_come_from_memory_and_those_of_other_shards_are_left(reading: Process) -> None:
    mine, theirs = in_shard(MINE, "id"), in_shard(THEIRS, "id")
    reading.accept_here(mine, theirs, mine)
    with sqlite3.connect(reading.spool.path) as db:
        db.execute("DELETE FROM events")
    reading.pending._refill.run(Clock()())
    assert reading.people() == [(1, mine), (3, mine)]
    assert reading.pending.state.waiting == 2


def test_own_events_that_become_a_persons_of_this_process_come_once(reading: Process) -> None:
    session, person = in_shard(THEIRS, "session"), in_shard(MINE, "id")
    reading.accept_here(session, person, session)
    reading.merge(session, person)
    reading.pending._refill.run(Clock()())
    assert reading.people() == [(1, session), (2, person), (3, session)]
    reading.pending.note_foreign()
    reading.pending._refill.run(Clock()())
    assert reading.people() == []


def test_own_events_whose_person_is_anothers_now_are_left_to_it(reading: Process) -> None:
    session, bystander = in_shard(MINE, "session"), in_shard(MINE, "id")
    reading.accept_here(session, bystander)
    reading.merge(session, in_shard(THEIRS, "id"))
    reading.pending._refill.run(Clock()())
    assert reading.people() == [(2, bystander)]


def test_own_events_of_people_whom_another_process_erases_are_not_taken(reading: Process) -> None:
    gone, left = [key for key in map("id:{}".format, range(100)) if shard_of(key, 0, 2) == MINE][:2]
    reading.accept_here(gone, left)
    reading.other.erase([gone])
    reading.pending.shards.reload()
    reading.pending._refill.run(Clock()())
    assert reading.people() == [(2, left)]


def test_own_events_are_there_after_a_shard_was_taken_over(reading: Process) -> None:
    mine, theirs = in_shard(MINE, "id"), in_shard(THEIRS, "id")
    reading.accept_here(mine, theirs)
    reading.pending.shards.take_over(THEIRS)
    reading.pending._refill.run(Clock()())
    assert reading.people() == [(1, mine), (2, theirs)]
