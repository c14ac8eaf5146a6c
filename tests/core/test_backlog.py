"""What waits for a destination, between memory and disk: races that are rare in life."""

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.support import PATIENCE, Clock, Record, flow, plugin, until
from walker_collector import RetryLater
from walker_collector.config import SpoolConfig
from walker_collector.consent import Ledger
from walker_collector.delivery.backlog import Backlog
from walker_collector.delivery.throttle import Throttle
from walker_collector.destination import build_destinations
from walker_collector.spool import Record as Accepted
from walker_collector.spool import State
from walker_collector.spool.sqlite import SqliteSpool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SqliteSpool]:
    spool = SqliteSpool(SpoolConfig(path=str(tmp_path / "spool.db")))
    yield spool
    spool.close()


def accept(spool: SqliteSpool, *states: State) -> None:
    """Have events in the spool that nobody was offered, as after a restart."""
    spool.append(
        [Accepted("id:a", Clock()(), b"{}", {"there": s}) for s in states], lambda accepted: None
    )


def backlog_of(spool: SqliteSpool, thawed: list[int]) -> Backlog:
    (destination,) = build_destinations(flow(plugin(Record().push)))
    return Backlog(
        destination,
        spool,
        Ledger(spool, {}, 10, Clock()),
        Clock(),
        Throttle(logging.getLogger(), time.monotonic),
        lambda: thawed.append(1),
    )


def taken(backlog: Backlog) -> list[int]:
    batch = backlog.take(10, None)
    return [entry[0] for entry in batch.entries] if batch else []


def test_released_event_that_is_not_yet_so_on_disk_is_not_passed_over(spool: SqliteSpool) -> None:
    accept(spool, State.HELD, State.WAITING)
    thawed: list[int] = []
    backlog = backlog_of(spool, thawed)
    with spool._writer.turn:  # whoever writes has to wait
        with backlog.lock:
            backlog._unhold(backlog.held.of(None))
        # Another thread records it, before the one that released it comes to do so.
        other = threading.Thread(target=backlog.record, args=([],))
        other.start()
        until(lambda: not backlog._unsettled)
        assert not backlog.refill()
        assert thawed == []
    other.join(PATIENCE)
    assert thawed == [1]
    assert backlog.refill()
    assert taken(backlog) == [1, 2]
    assert backlog.waiting == 2


def test_released_event_that_could_not_be_recorded_is_not_passed_over(spool: SqliteSpool) -> None:
    accept(spool, State.HELD, State.WAITING)
    backlog = backlog_of(spool, [])
    spool._writer.alone(lambda db: db.execute("PRAGMA query_only = ON"))
    backlog.release(None)
    assert not backlog.refill()
    spool._writer.alone(lambda db: db.execute("PRAGMA query_only = OFF"))
    backlog.tidy()
    assert backlog.refill()
    assert taken(backlog) == [1, 2]


def test_nothing_is_read_twice_while_it_is_set_aside_and_queued_again(spool: SqliteSpool) -> None:
    accept(spool, *[State.WAITING] * 3)
    backlog = backlog_of(spool, [])
    with backlog.reading_paused():
        assert not backlog.refill()
    assert backlog.refill()
    assert not backlog.refill(), "all is read"
    assert taken(backlog) == [1, 2, 3]


def test_part_of_a_delivery_that_was_given_up_is_not_recorded(spool: SqliteSpool) -> None:
    accept(spool, State.WAITING)
    backlog = backlog_of(spool, [])
    backlog.refill()
    batch = backlog.take(1, None)
    assert batch
    (entry,) = batch.entries
    backlog.mark(entry, "mail", "begun")
    backlog.finish_all(batch.entries)
    with pytest.raises(RetryLater, match="given up"):
        backlog.mark(entry, "mail", "done")
