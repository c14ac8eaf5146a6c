"""Leases that come and go while entries are in flight: nothing is read twice, nothing is left."""

import logging
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.support import Clock, Record, flow, plugin
from tests.support import join
from walker_collector import SpoolError
from walker_collector.config import BreakerConfig, RetryConfig, SpoolConfig
from walker_collector.delivery.backoff import Breaker
from walker_collector.delivery.destination import build_destinations
from walker_collector.delivery.entries_in_flight import Batch
from walker_collector.delivery.health import Health
from walker_collector.delivery.log_limiter import LogLimiter
from walker_collector.delivery.outcome import Disposition, Outcome
from walker_collector.delivery.pending import PendingEvents
from walker_collector.delivery.pending_state import PendingState
from walker_collector.delivery.status import Answer
from walker_collector.delivery.worker import DestinationWorker
from walker_collector.moments import SteadyClock
from walker_collector.people.consent import ConsentStore
from walker_collector.results import Waiter
from walker_collector.spool import (
    FRESH,
    Deliveries,
    Entry,
    Lease,
    NewEvent,
    SpoolUpdate,
    State,
    UpdateKind,
)
from walker_collector.spool.processes.files import try_lock, unlock
from walker_collector.spool.processes.leases import Leases
from walker_collector.spool.processes.members import Members
from walker_collector.spool.processes.membership import file_keeper
from walker_collector.spool.sqlite import SqliteSpool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SqliteSpool]:
    spool = SqliteSpool(SpoolConfig(path=str(tmp_path / "spool.db")))
    yield spool
    spool.close()


@pytest.fixture
def pending(spool: SqliteSpool) -> PendingEvents:
    (destination,) = build_destinations(flow(plugin(Record().push)))
    consents = ConsentStore(spool, {}, 10, Clock())
    log = LogLimiter(logging.getLogger(), time.monotonic)
    state = PendingState(destination, spool, consents, SteadyClock(Clock()), log, lambda: None)
    pending = PendingEvents(state)
    pending.shards.take_over()
    return pending


def accept(spool: SqliteSpool, *people: str, state: State = State.WAITING) -> list[Entry]:
    """Have an event of each person in the spool, as another process has accepted it."""
    entries: list[Entry] = []
    for person in people:
        event = NewEvent(person, Clock()(), b"{}", {"there": state})
        spool.append([event], lambda runs: entries.extend(runs[0][0]))
    return entries


def take(pending: PendingEvents) -> Batch | None:
    """Read on, and take a batch of what there is."""
    pending.note_foreign()
    pending.state.consents.refresh()
    health = Health(RetryConfig(), Breaker(BreakerConfig()), random.random)
    with pending.lock:
        found = pending.next(Clock()(), health, hurried=True)
    return found if isinstance(found, Batch) else None


def numbers(batch: Batch | None) -> list[int]:
    return [entry[0] for entry in batch.entries] if batch else []


def deliver(pending: PendingEvents, batch: Batch) -> None:
    pending.state.unacked.ack(batch.entries, lambda: pending.flight.settle_delivered(batch))


def test_an_entry_in_flight_is_not_read_again_where_its_lease_comes_back(
    spool: SqliteSpool, pending: PendingEvents
) -> None:
    accept(spool, "id:a")
    first = take(pending)
    assert first is not None
    assert not pending.shards.abandon()
    accept(spool, "id:b")
    assert take(pending) is None
    pending.shards.take_over()
    rest = take(pending)
    assert rest is not None
    assert numbers(first) + numbers(rest) == [1, 2]
    deliver(pending, first)
    deliver(pending, rest)
    assert take(pending) is None
    assert pending.state.waiting == 0
    assert spool.size() == 0


def test_a_reload_without_the_lease_reads_nothing(
    spool: SqliteSpool, pending: PendingEvents
) -> None:
    accept(spool, "id:a")
    accept(spool, "id:b", state=State.HELD)
    assert pending.shards.abandon()
    pending.shards.reload()  # begun just before
    assert take(pending) is None
    assert len(pending.state.held) == 0


def test_a_lease_that_cannot_be_taken_over_is_not_held(
    spool: SqliteSpool, pending: PendingEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pending.shards.abandon()

    def unreadable(destination: str, shards: object) -> None:
        raise SpoolError("unreadable")

    with monkeypatch.context() as patched:
        patched.setattr(spool, "held", unreadable)
        with pytest.raises(SpoolError):
            pending.shards.take_over()
        assert not pending.state.leased
    pending.shards.take_over()
    assert pending.state.leased


def test_a_dead_letter_of_an_entry_in_flight_during_a_reload_is_replayed(
    spool: SqliteSpool, pending: PendingEvents
) -> None:
    accept(spool, "id:a")
    batch = take(pending)
    assert batch is not None
    pending.shards.reload()
    dead = SpoolUpdate(batch.entries[0], UpdateKind.DEAD)
    pending.state.unacked.write([dead])
    with pending.lock:
        pending.flight.settle(batch, [Outcome("rejected", "no")], [Disposition(dead, FRESH)])
    assert pending.dead_letters.replay(spool.dead()) == 1
    assert numbers(take(pending)) == [1]


def test_pushes_that_wait_are_answered_if_the_process_before_has_delivered_their_events(
    spool: SqliteSpool,
) -> None:
    answers: list[tuple[str, Answer]] = []

    class Noted(Waiter):
        def __call__(self, destination: str, answer: Answer) -> None:
            answers.append((destination, answer))

    waiter = Noted(1)
    (destination,) = build_destinations(flow(plugin(Record().push)))
    worker = DestinationWorker(
        destination, spool, ConsentStore(spool, {}, 10, Clock()), Clock(), random.random
    )
    entries = accept(spool, *[f"id:{n}" for n in range(501)])
    for entry in entries:
        worker.enqueue([entry], State.WAITING, {entry[0]: waiter})
    spool.ack("there", entries[-1:])  # the others wait on
    worker.read_on()
    assert answers == [("there", Answer("delivered"))]
    spool.ack("there", entries[:-1])
    worker.take_over(0)
    worker.stop(lambda: False)  # its threads use the spool
    assert answers == [("there", Answer("delivered"))] * 501


def test_a_lease_that_cannot_be_taken_over_is_kept_while_anything_is_in_flight(
    tmp_path: Path,
) -> None:
    in_flight = [True]

    def take_over(lease: Lease) -> None:
        raise SpoolError("unreadable")

    one = file_keeper(
        tmp_path / "spool.db", ["crm"], 1, Deliveries(take_over, lambda lease: not in_flight[0])
    )
    with pytest.raises(SpoolError):
        one.look()
    assert one.holders([Lease("crm", 0)])
    assert not one.holds(Lease("crm", 0))
    in_flight[0] = False
    with pytest.raises(SpoolError):
        one.look()
    assert not one.holders([Lease("crm", 0)])
    one.close()


def test_a_look_at_a_free_lease_does_not_keep_it_from_whoever_takes_it(tmp_path: Path) -> None:
    folder = Members(tmp_path / "spool.db", ["crm"]).folder
    one, other = (Leases(tmp_path / "spool.db", folder, token * 16) for token in "ab")
    lease = Lease("crm", 0)
    assert one.acquire(lease)
    one.release(lease)
    (path,) = folder.glob("*.lease")
    with path.open() as look:
        assert try_lock(look.fileno(), shared=True)
        end = threading.Timer(0.03, unlock, (look.fileno(),))
        end.start()
        assert one.acquire(lease)
        join(end)
    assert not other.acquire(lease)
    one.close()
