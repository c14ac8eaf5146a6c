"""Calls of a destination that answers at once share a claim and an acknowledgement."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.core.support import PATIENCE, QUICK, Record, event, one, plugin, running
from walker_collector import Item, RetryLater
from walker_collector.delivery import quick_calls
from walker_collector.delivery.quick_calls import QuickCalls

SIZE = 4
"""Events of one call."""
COUNT = 10 * SIZE


class Calls(Record):
    """What each call was given; the first of them waits until `go` is set."""

    def __init__(self, busy_at: int = 0) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.go = threading.Event()
        self.began = threading.Event()
        self._busy_at = busy_at

    def push_batch(self, batch: Sequence[Item]) -> Mapping[int, Exception] | None:
        self.began.set()
        assert self.go.wait(PATIENCE)
        self.sizes.append(len(batch))
        if len(self.sizes) == self._busy_at:
            raise RetryLater("for one call")
        super().push_batch(batch)
        return None


@pytest.fixture(autouse=True)
def seconds_are_quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(quick_calls, "_QUICK", PATIENCE)  # however busy the machine is
    return


def delivered(calls: Calls, spool: Path | None, limit: int | None = None, **settings: Any) -> int:
    """Have events delivered that waited for the first call; return the number of batches.

    `limit`: the bytes of a call.
    """
    there = plugin(None, calls.push_batch, batch_size=SIZE, batch_bytes=limit, linger=0)
    flow = one(there, spool, **settings)
    with running(flow) as collector:
        collector.push(event(0, "u0"))
        assert calls.began.wait(PATIENCE)
        collector.push_many(event(n, f"u{n % 3}") for n in range(1, COUNT + 1))
        calls.go.set()
        assert collector.flush(PATIENCE)
        status = collector.status_of("there")
        assert status.delivered == COUNT + 1
        return status.batches


def test_quick_calls_share_batches_and_none_is_larger(tmp_path: Path) -> None:
    calls = Calls()
    batches = delivered(calls, tmp_path / "spool.db")
    assert calls.numbers == [*range(COUNT + 1)]
    assert calls.sizes == [1, *[SIZE] * 10]
    assert batches < len(calls.sizes) / 2


def test_slow_calls_have_a_batch_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_calls, "_QUICK", 0)
    calls = Calls()
    assert delivered(calls, tmp_path / "spool.db") == len(calls.sizes) == 11


@pytest.mark.parametrize("limited", [False, True], ids=["in memory", "with a rate limit"])
def test_calls_share_none_where_it_gains_nothing_or_has_to_wait(
    limited: bool, tmp_path: Path
) -> None:
    calls = Calls()
    batches = (
        delivered(calls, tmp_path / "spool.db", rate_limit=1_000_000)
        if limited
        else delivered(calls, None)
    )
    assert batches == len(calls.sizes) == 11


def test_calls_after_one_that_finds_the_destination_busy_are_not_made(tmp_path: Path) -> None:
    calls = Calls(busy_at=3)
    delivered(calls, tmp_path / "spool.db", retry=QUICK)
    # What was sent before is acknowledged, and all the rest comes in its order, once.
    assert calls.numbers == [*range(COUNT + 1)]


def test_no_call_has_to_wait_for_others_that_became_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls()
    monkeypatch.setattr(QuickCalls, "note", lambda self, seconds: setattr(self, "count", 4))
    monkeypatch.setattr(quick_calls, "_QUICK", 0)
    # Each batch that was taken for four calls is given back after the first.
    assert delivered(calls, tmp_path / "spool.db") >= len(calls.sizes) == 11
    assert calls.numbers == [*range(COUNT + 1)]


def test_calls_that_have_a_limit_of_bytes_are_as_large_as_it_allows(tmp_path: Path) -> None:
    calls = Calls()
    delivered(calls, tmp_path / "spool.db", limit=1_500 * SIZE // 4)
    assert calls.sizes == [1, *[SIZE] * 10]


def test_number_grows_while_calls_are_quick_and_ends_with_a_slow_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quick_calls, "_QUICK", 0.005)
    found = QuickCalls()
    seen = []
    for seconds in (0.001, 0.001, 0.001, 0.02, 0.001):
        found.note(seconds)
        seen.append(found.count)
    assert seen == [2, 4, 4, 1, 2]
    found.end()
    assert found.count == 1
