"""The events in memory are bounded by their bytes as well as by their number."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.core.support import PATIENCE, Record, event, flow, one, plugin, running, until
from walker_collector import Collector, Item, RetryLater, SpoolFull
from walker_collector.delivery.pending_state import PendingState
from walker_collector.delivery.window import EVENT_BYTES

BIG = "x" * 20 * EVENT_BYTES


def state_of(collector: Collector) -> PendingState:
    state: PendingState = collector._life.runtime.workers["there"].pending.state
    return state


def big(n: int) -> dict[str, Any]:
    return event(n, f"u{n}", context={"text": [BIG, 0]})


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let the window hold a hundred events; return how many bytes that admits."""
    monkeypatch.setattr("walker_collector.delivery.window.WINDOW", 100)
    return 100 * EVENT_BYTES


def test_window_holds_no_more_bytes_than_its_number_of_events_admits(
    small_window: int, tmp_path: Path
) -> None:
    record, go_on = Record(), threading.Event()

    def push(event: dict[str, Any], context: Any) -> None:
        assert go_on.wait(PATIENCE)
        record.push(event, context)

    with running(one(plugin(push), tmp_path / "spool.db")) as collector:
        for n in range(30):
            collector.push(big(n))
        state = state_of(collector)
        assert 0 < state.bytes <= small_window
        assert state.window.more_on_disk, "the others are on disk"
        go_on.set()
        record.wait_for(30)
        assert collector.flush(PATIENCE)
        assert record.numbers == list(range(30))
        assert state.bytes == 0


def test_slices_that_are_read_from_disk_are_bounded_by_bytes(
    small_window: int, tmp_path: Path
) -> None:
    def down(event: dict[str, Any], context: Any) -> None:
        raise RetryLater("busy")

    with running(one(plugin(down), tmp_path / "spool.db")) as collector:
        collector.push_many([big(n) for n in range(30)])
    record, most = Record(), [0]

    def push(event: dict[str, Any], context: Any) -> None:
        most[0] = max(most[0], state_of(collector).bytes)
        record.push(event, context)

    with running(one(plugin(push), tmp_path / "spool.db")) as collector:
        record.wait_for(30)
        assert collector.flush(PATIENCE)
        # The entry that reaches the bound of a slice is still read.
        assert most[0] <= small_window + 21 * EVENT_BYTES
        assert sorted(record.numbers) == list(range(30))
        assert state_of(collector).bytes == 0


def test_queue_in_memory_is_bounded_by_bytes() -> None:
    record, go_on = Record(), threading.Event()

    def push(event: dict[str, Any], context: Any) -> None:
        assert go_on.wait(PATIENCE)
        record.push(event, context)

    bounded = flow(plugin(push), queue_max=100, queue_wait=10)
    with running(bounded) as collector:
        results = collector.push_many([big(n) for n in range(6)])
        for n in range(6, 30):
            results += collector.push_many([big(n)])
        refused = [result for result in results if isinstance(result, SpoolFull)]
        assert len(refused) > 10
        assert "bytes wait already" in str(refused[0])
        assert state_of(collector).bytes <= 100 * EVENT_BYTES + 21 * EVENT_BYTES
        go_on.set()
        assert collector.flush(PATIENCE)
        collector.push(big(99), wait=True, timeout=PATIENCE)
        assert state_of(collector).bytes == 0


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "spool"])
def test_no_byte_is_counted_any_more_when_nothing_waits(durable: bool, tmp_path: Path) -> None:
    """Whatever way the events have gone: delivered, retried, held, erased, dead, replayed."""
    fail = [True]

    def push_batch(batch: Sequence[Item]) -> dict[int, Exception]:
        kinds: dict[int, Any] = {1: RetryLater("busy"), 2: ValueError("bug")}
        failed = {at: kinds.get(item.event["data"]["n"] % 4) for at, item in enumerate(batch)}
        return {at: error for at, error in failed.items() if error and fail[0]}

    cls = plugin(None, push_batch, linger=0)
    spool = tmp_path / "spool.db" if durable else None
    with running(one(cls, spool, consent={"marketing": True})) as collector:
        for n in range(80):
            consent = {"marketing": n % 3 > 0}
            collector.push(event(n, f"u{n % 20}", consent=consent))
        until(lambda: collector.status().destinations["there"].died > 0)
        collector.forget({"id": "u1"})
        for n in range(20):
            collector.consent({"marketing": True}, user={"id": f"u{n}"})
        fail[0] = False
        assert collector.flush(PATIENCE)
        collector.replay(collector.dead())
        assert collector.flush(PATIENCE)
        until(lambda: state_of(collector).waiting == 0)
        assert state_of(collector).bytes == 0
