"""Events that wait behind their person's earlier ones go in full batches, and not too late."""

import logging
import random
import time
from collections.abc import Sequence

import pytest

from tests.core.support import Clock, Record, config, flow, plugin
from walker_collector.config import BreakerConfig, RetryConfig
from walker_collector.delivery.backoff import Breaker
from walker_collector.delivery.destination import build_destinations
from walker_collector.delivery.entries_in_flight import Batch
from walker_collector.delivery.health import Health
from walker_collector.delivery.log_limiter import LogLimiter
from walker_collector.delivery.pending import PendingEvents
from walker_collector.delivery.pending_state import PendingState
from walker_collector.moments import SteadyClock
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import Entry, State
from walker_collector.spool.memory import MemorySpool

SIZE, LINGER = 4, 100


class Worker:
    """One destination's pending events, taken and settled by hand. Its clock begins at 0 ms."""

    def __init__(self) -> None:
        self.clock = Clock(1_700_000_000_000)
        cls = plugin(None, Record().push_batch, linger=LINGER, batch_size=SIZE)
        (destination,) = build_destinations(flow({"there": (cls, config())}))
        consents = ConsentStore(MemorySpool(), {}, 100, self.clock)
        log = LogLimiter(logging.getLogger(), time.monotonic)
        now = SteadyClock(self.clock)
        self._state = PendingState(destination, MemorySpool(), consents, now, log, lambda: None)
        self._pending = PendingEvents(self._state)
        self._health = Health(RetryConfig(), Breaker(BreakerConfig()), random.Random(1).random)
        self._count = 0

    def add(self, people: str) -> None:
        """Accept an event of each person, a letter."""
        entries: list[Entry] = []
        for person in people:
            self._count += 1
            entries.append((self._count, f"id:{person}", self.clock(), b"{}"))
        self._pending.add(entries, State.WAITING)

    def next(self, *, hurried: bool = False) -> Batch | int | None:
        """Take a batch; else return how many ms to wait for one."""
        found = self._pending.next(self._state.now(), self._health, hurried=hurried)
        return found if isinstance(found, Batch) else found.ms

    def take(self, *, hurried: bool = False) -> Batch:
        batch = self.next(hurried=hurried)
        assert isinstance(batch, Batch)
        return batch

    def settle(self, batch: Batch) -> None:
        self._pending.flight.settle_delivered(batch)

    def retry(self, batch: Batch, ms: int) -> None:
        """Have the entries of a batch wait for a retry in so many ms."""
        self._pending.flight.retry_later(batch, self._state.now() + ms)


def people(batch: Batch) -> str:
    return "".join(entry[1].removeprefix("id:") for entry in batch.entries)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def busy(worker: Worker, groups: Sequence[str]) -> list[Batch]:
    """Accept full batches and take them."""
    batches = []
    for group in groups:
        worker.add(group)
        batches.append(worker.take())
    return batches


def test_too_few_beside_people_under_way_wait_for_more(worker: Worker) -> None:
    (first,) = busy(worker, ["abcd"])
    worker.add("abcxy")
    assert worker.next() == LINGER
    worker.settle(first)
    assert people(worker.take()) == "abcx"


def test_freed_events_linger_while_others_are_in_flight(worker: Worker) -> None:
    first, second = busy(worker, ["abcd", "efgh"])
    worker.add("abefx")
    assert worker.next() == LINGER
    worker.settle(first)
    assert worker.next() == LINGER, "a, b and x are too few"
    worker.settle(second)
    assert people(worker.take()) == "abef"


def test_freed_events_go_at_once_when_nothing_more_is_in_flight(worker: Worker) -> None:
    first, second = busy(worker, ["abcd", "efgh"])
    worker.add("abe")
    worker.clock.advance(LINGER)
    assert worker.next() is None, "all of their people are busy"
    worker.settle(first)
    assert worker.next() == LINGER
    worker.settle(second)
    assert people(worker.take()) == "abe"


def test_freed_events_wait_no_longer_than_the_linger(worker: Worker) -> None:
    first, _ = busy(worker, ["abcd", "efgh"])
    worker.add("ab")
    worker.clock.advance(3 * LINGER)
    assert worker.next() is None, "all of their people are busy"
    worker.settle(first)
    assert worker.next() == LINGER
    worker.clock.advance(LINGER)
    assert people(worker.take()) == "ab"


def test_an_idle_person_waits_for_no_backlog_of_others(worker: Worker) -> None:
    (under_way,) = busy(worker, ["abcd"])
    worker.add("abcd" * 20 + "x")
    began = worker.clock()
    while not isinstance(found := worker.next(), Batch):  # an idle thread's; bounded: by the linger
        assert worker.clock() - began <= LINGER
        worker.clock.advance(LINGER // 2)
        worker.settle(under_way)
        under_way = worker.take()
        assert people(under_way) == "abcd"
    assert people(found) == "x"


def test_a_retry_that_is_due_waits_for_no_linger(worker: Worker) -> None:
    worker.add("ab")
    worker.retry(worker.take(hurried=True), LINGER // 2)
    worker.add("x")
    assert worker.next() == LINGER // 2


def test_flush_takes_freed_events_at_once(worker: Worker) -> None:
    first, _ = busy(worker, ["abcd", "efgh"])
    worker.add("ab")
    worker.settle(first)
    assert people(worker.take(hurried=True)) == "ab"
