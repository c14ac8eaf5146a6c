"""What waits for a destination, between memory and disk: races that are rare in life."""

import itertools
import logging
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.core.support import PATIENCE, Clock, Record, flow, plugin, until
from walker_collector import RetryLater, SpoolError
from walker_collector.config import BreakerConfig, RetryConfig, SpoolConfig
from walker_collector.delivery.backoff import Breaker
from walker_collector.delivery.destination import build_destinations
from walker_collector.delivery.entries_in_flight import Batch
from walker_collector.delivery.health import Health
from walker_collector.delivery.keyed_queue import BusyPeople
from walker_collector.delivery.log_limiter import LogLimiter
from walker_collector.delivery.pending import PendingEvents
from walker_collector.delivery.pending_state import PendingState
from walker_collector.delivery.progress import EntryProgress
from walker_collector.moments import SteadyClock
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import (
    DeliveryState,
    Entry,
    EntryRun,
    NewEvent,
    SpoolUpdate,
    State,
    UpdateKind,
)
from walker_collector.spool.memory import MemorySpool
from walker_collector.spool.sqlite import SqliteSpool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SqliteSpool]:
    spool = SqliteSpool(SpoolConfig(path=str(tmp_path / "spool.db")))
    yield spool
    spool.close()


def accept(spool: SqliteSpool, *states: State) -> None:
    """Have events in the spool that nobody was offered, as after a restart."""
    spool.append(
        [NewEvent("id:a", Clock()(), b"{}", {"there": s}) for s in states], lambda accepted: None
    )


def pending_of(spool: SqliteSpool, thawed: list[int]) -> PendingEvents:
    (destination,) = build_destinations(flow(plugin(Record().push)))
    consents = ConsentStore(spool, {}, 10, Clock())
    log = LogLimiter(logging.getLogger(), time.monotonic)
    pending = PendingEvents(
        PendingState(
            destination, spool, consents, SteadyClock(Clock()), log, lambda: thawed.append(1)
        )
    )
    pending.shards.take_over()
    return pending


def refill(pending: PendingEvents) -> bool:
    """Have the next slice read if it may be; return whether there was any."""
    before = len(pending.state.queue)
    pending._refill.run(Clock()())
    return len(pending.state.queue) > before


def taken(pending: PendingEvents) -> list[int]:
    batch = pending.flight.take(lambda: pending.state.queue.take(10, None))
    return [entry[0] for entry in batch.entries] if batch else []


class Going:
    """A batch of which everything may be sent."""

    def may_proceed(self, at: int) -> bool:
        return True


def progress_of(pending: PendingEvents, entry: Entry) -> EntryProgress:
    return EntryProgress(pending.state, entry, {}, {}, Going(), 0)


def test_released_event_that_is_not_yet_so_on_disk_is_not_passed_over(spool: SqliteSpool) -> None:
    accept(spool, State.HELD, State.WAITING)
    thawed: list[int] = []
    pending = pending_of(spool, thawed)
    with spool.core.commits.turn:  # whoever writes has to wait
        with pending.lock:
            pending.holds.unhold(pending.state.held.of(None))
        # Another thread records it, before the one that released it comes to do so.
        other = threading.Thread(target=pending.state.unacked.write, args=([],))
        other.start()
        until(lambda: not pending.state.unacked.updates)
        assert not refill(pending)
        assert thawed == []
    other.join(PATIENCE)
    assert thawed == [1]
    assert refill(pending)
    assert taken(pending) == [1, 2]
    assert pending.state.waiting == 2


def test_released_event_that_could_not_be_recorded_is_not_passed_over(spool: SqliteSpool) -> None:
    accept(spool, State.HELD, State.WAITING)
    pending = pending_of(spool, [])
    spool.core.commits.alone(lambda db: db.execute("PRAGMA query_only = ON"))
    pending.holds.release(None)
    assert not refill(pending)
    spool.core.commits.alone(lambda db: db.execute("PRAGMA query_only = OFF"))
    pending.holds.expire()
    assert refill(pending)
    assert taken(pending) == [1, 2]


def test_nothing_is_read_twice_while_it_is_set_aside_and_queued_again(spool: SqliteSpool) -> None:
    accept(spool, *[State.WAITING] * 3)
    pending = pending_of(spool, [])
    with pending.state.refill_paused():
        assert not refill(pending)
    assert refill(pending)
    assert not refill(pending), "all is read"
    assert taken(pending) == [1, 2, 3]


def test_results_that_are_written_while_the_spool_is_counted_are_counted_once(
    spool: SqliteSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(spool, *[State.WAITING] * 3)
    pending = pending_of(spool, [])
    assert refill(pending)
    batch = pending.flight.take(lambda: pending.state.queue.take(10, None))
    assert batch is not None
    count = spool.counts

    def counts(up_to: int) -> dict[str, dict[State, int]]:
        found = count(up_to)
        monkeypatch.setattr(spool, "counts", count)
        dead = DeliveryState(count=1, reason="refused")
        spool.settle(
            "there", [SpoolUpdate(entry, UpdateKind.DEAD, dead) for entry in batch.entries]
        )
        return found

    monkeypatch.setattr(spool, "counts", counts)
    with pending.lock:
        pending.state.count_again()
    assert spool.counts(9) == {"there": {State.DEAD: 3}}
    assert pending.state.places() == {"waiting": 3, "held": 0, "dead": 0}, "until they are settled"


def test_events_that_come_while_the_spool_is_counted_are_counted_once(
    spool: SqliteSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(spool, State.WAITING)
    pending = pending_of(spool, [])
    newest = spool.newest

    def then_one_more() -> int:
        found = newest()
        accept(spool, State.WAITING)
        return found

    monkeypatch.setattr(spool, "newest", then_one_more)
    with pending.lock:
        pending.state.count_again()
    monkeypatch.undo()
    assert pending.state.waiting == 1, "the other is counted as it is read"
    assert refill(pending)
    assert (len(pending.state.queue), pending.state.waiting) == (2, 2)


def test_part_of_a_delivery_that_was_given_up_is_not_recorded(spool: SqliteSpool) -> None:
    accept(spool, State.WAITING)
    pending = pending_of(spool, [])
    refill(pending)
    batch = pending.flight.take(lambda: pending.state.queue.take(1, None))
    assert batch
    (entry,) = batch.entries
    progress = progress_of(pending, entry)
    progress.begin("mail")
    pending.flight.settle_delivered(batch)
    with pytest.raises(RetryLater, match="given up"):
        progress.finish("mail")


@pytest.fixture
def in_flight(spool: SqliteSpool) -> tuple[PendingEvents, Batch]:
    """Pending events, one of them in flight and with an update that is not written yet."""
    accept(spool, State.WAITING)
    pending = pending_of(spool, [])
    refill(pending)
    batch = pending.flight.take(lambda: pending.state.queue.take(1, None))
    assert batch
    older = SpoolUpdate(batch.entries[0], UpdateKind.RETRIED, DeliveryState(count=1))
    pending.state.unacked.add([older])
    return pending, batch


def test_older_update_that_just_fails_to_be_written_does_not_replace_a_part(
    spool: SqliteSpool, in_flight: tuple[PendingEvents, Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    pending, batch = in_flight
    settle = spool.settle
    progress = progress_of(pending, batch.entries[0])
    marking = threading.Thread(target=progress.begin, args=("mail",))

    def failing_once(destination: str, updates: Sequence[SpoolUpdate]) -> None:
        monkeypatch.setattr(spool, "settle", settle)
        marking.start()
        marking.join(0.2)  # it has to wait for this very call
        raise SpoolError("the disk is full")

    monkeypatch.setattr(spool, "settle", failing_once)
    pending.state.unacked.write()
    marking.join(PATIENCE)
    pending.state.unacked.write()
    assert [item.delivery.parts for item in spool.load("there", 0, 9)] == [{"mail": "begun"}]


def test_part_that_waits_for_older_updates_while_its_delivery_is_given_up_is_not_recorded(
    spool: SqliteSpool, in_flight: tuple[PendingEvents, Batch]
) -> None:
    pending, batch = in_flight
    progress = progress_of(pending, batch.entries[0])
    errors: list[RetryLater] = []

    def begin() -> None:
        try:
            progress.begin("mail")
        except RetryLater as error:
            errors.append(error)

    marking = threading.Thread(target=begin)
    with pending.state.unacked.writing:
        marking.start()
        until(lambda: pending.state.attempts)
        with pending.lock:
            pending.flight.retry_later(batch, 0)
    marking.join(PATIENCE)
    assert [error.reason for error in errors] == ["this delivery was given up"]
    assert [item.delivery.parts for item in spool.load("there", 0, 9)] == [{}]


def test_sign_in_while_a_batch_is_taken_lets_nothing_overtake() -> None:
    """The visitor's first event waits for a retry; the second is looked at as they sign in."""
    spool = MemorySpool()
    consents = ConsentStore(spool, {}, 10, Clock())
    (destination,) = build_destinations(flow(plugin(Record().push)))
    log = LogLimiter(logging.getLogger(), time.monotonic)
    pending = PendingEvents(
        PendingState(destination, spool, consents, SteadyClock(Clock()), log, lambda: None)
    )
    queue = pending.state.queue
    pending.add([(1, "session:s", 0, b"{}"), (2, "session:s", 0, b"{}")], State.WAITING)
    first = pending.flight.take(lambda: queue.take(1, None))
    assert first
    queue.retries.add(10**15, first.entries[0])

    def signing_in() -> list[Entry]:
        if not consents.keys_of({"id": "ana"}) & {"session:s"}:
            consents.identify({"id": "ana", "session": "s"})
        return queue.take(9, None)

    assert pending.flight.take(signing_in) is None


def test_sign_in_in_another_process_lets_nothing_overtake(spool: SqliteSpool) -> None:
    """Its event is read from disk before the sign-in, while the visitor's earlier one is sent."""
    pending = pending_of(spool, [])
    consents, health = (
        pending.state.consents,
        Health(RetryConfig(), Breaker(BreakerConfig()), random.random),
    )
    visit = NewEvent("session:s", Clock()(), b"{}", {"there": State.WAITING})

    def next_() -> list[int]:
        with pending.lock:
            found = pending.next(Clock()(), health, hurried=True)
        return [entry[0] for entry in found.entries] if isinstance(found, Batch) else []

    spool.append([visit], lambda accepted: None)
    assert next_() == [1]
    with closing(SqliteSpool(SpoolConfig(path=str(spool.path)))) as theirs:
        person, _ = ConsentStore(theirs, {}, 10, Clock()).identify({"id": "ana", "session": "s"})
        order = NewEvent(person, Clock()(), b"{}", {"there": State.WAITING})
        theirs.append([order], lambda accepted: None)
    pending.note_foreign()
    assert next_() == []
    consents.refresh()
    assert next_() == []  # it waits for the visitor's event
    assert len(pending.state.queue) == 1


def test_entries_that_are_read_before_they_are_handed_over_are_counted_once(
    spool: SqliteSpool,
) -> None:
    pending = pending_of(spool, [])
    assert not refill(pending)
    entries: list[Entry] = []

    def read_first(runs: Sequence[EntryRun]) -> None:  # another process's commit makes it read on
        entries.extend(entry for found, _ in runs for entry in found)
        pending.note_foreign()
        pending._refill.run(Clock()())

    events = [NewEvent("id:a", Clock()(), b"{}", {"there": State.WAITING}) for _ in range(2)]
    spool.append(events, read_first)
    for entry in entries:
        pending.add([entry], State.WAITING)
    assert pending.state.waiting == len(pending.state.queue) == 2


def test_who_asks_whether_an_entry_may_proceed_has_the_lock(
    spool: SqliteSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The people of a batch that is alone are noted when somebody asks: another may take one."""
    accept(spool, State.WAITING)
    pending = pending_of(spool, [])
    assert refill(pending)
    batch = pending.flight.take(lambda: pending.state.queue.take(10, None))
    assert batch is not None
    locked = []
    note_each = BusyPeople._note_each

    def noted(people: BusyPeople) -> None:
        locked.append(pending.lock._is_owned())  # type: ignore[attr-defined]  # of an RLock
        note_each(people)

    monkeypatch.setattr(BusyPeople, "_note_each", noted)
    assert pending.erasures.may_proceed(batch.entries[0])
    assert locked == [True]


def test_results_that_cannot_be_written_are_tried_less_and_less_as_a_shard_is_given_up(
    spool: SqliteSpool, in_flight: tuple[PendingEvents, Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    pending, batch = in_flight
    settle, tried, now = spool.settle, list[float](), [1000.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("walker_collector.delivery.owned_shards.time", clock)

    def failing(destination: str, updates: Sequence[SpoolUpdate]) -> None:
        tried.append(now[0])
        raise SpoolError("the disk is full")

    monkeypatch.setattr(spool, "settle", failing)
    (entry,) = batch.entries
    pending.state.in_flight.clear()
    pending.state.unacked.add([SpoolUpdate(entry, UpdateKind.ACKED)])
    for _ in range(4 * 60):  # looks of a minute
        assert not pending.shards.abandon()
        with pytest.raises(SpoolError, match="results of deliveries are not in the spool yet"):
            pending.shards.take_over()
        now[0] += 0.25
    waits = [later - earlier for earlier, later in itertools.pairwise(tried)]
    assert waits[:4] == [0.5, 1, 2, 4]
    assert set(waits[4:]) == {5}
    monkeypatch.setattr(spool, "settle", settle)
    now[0] += 5
    assert pending.shards.abandon()
    assert spool.size() == 0
