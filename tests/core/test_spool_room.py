"""The bounds of a spool: groups of events larger than it, and dead letters beyond `dlqMax`."""

import threading
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.core.support import PATIENCE, Record, config, event, flow, plugin, until
from walker_collector import Collector, DestinationDown, PushResult, Rejected, SpoolFull
from walker_collector.config import FlowConfig, SpoolConfig

EVENTS = 60


def down(event: Any, context: Any) -> None:
    raise DestinationDown("not yet")


def bounded(cls: type, path: Path, **bounds: int) -> FlowConfig:
    made = flow({"out": (cls, config())}, path)
    spool = SpoolConfig(path=str(path), **bounds)
    return attrs.evolve(made, collector=attrs.evolve(made.collector, spool=spool, queue_wait=200))


def group() -> list[dict[str, Any]]:
    return [event(n, f"u{n}") for n in range(EVENTS)]


@pytest.mark.parametrize("bounds", [{"max_events": 10}, {"max_events": 1}, {"max_bytes": 1_000}])
def test_group_larger_than_the_spool_is_accepted_bit_by_bit(
    bounds: dict[str, int], tmp_path: Path
) -> None:
    record = Record()
    with Collector(bounded(plugin(record.push), tmp_path / "spool.db", **bounds)) as collector:
        results = collector.push_many(group())
        assert all(isinstance(result, PushResult) for result in results)
        assert collector.flush(PATIENCE)
        assert collector.status().accepted == EVENTS
    assert record.numbers == [*range(EVENTS)]


@pytest.mark.parametrize("room", [1, 10, 59])
def test_events_of_a_group_beyond_the_room_are_refused_and_the_first_accepted(
    room: int, tmp_path: Path
) -> None:
    path = tmp_path / "spool.db"
    with Collector(bounded(plugin(down), path, max_events=room)) as collector:
        results = collector.push_many(group())
        assert [isinstance(result, PushResult) for result in results] == [
            n < room for n in range(EVENTS)
        ]
        assert all(isinstance(result, SpoolFull) for result in results[room:])
        assert (collector.status().stored, collector.status().accepted) == (room, room)
        collector.close(timeout=0)


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("limit", [0, 3, 100])
def test_dead_letters_are_as_many_as_allowed_however_many_die_at_once(
    durable: bool, limit: int, tmp_path: Path
) -> None:
    gate, count = threading.Event(), 400

    def push(event: Any, context: Any) -> None:
        gate.wait(PATIENCE)
        if event["data"]["n"] % 3:  # some succeed, or the destination would be taken for down
            raise Rejected("no")

    settings = config(dlq_max=limit, concurrency=8)
    spool = tmp_path / "spool.db" if durable else None
    with Collector(flow({"out": (plugin(push), settings)}, spool)) as collector:
        collector.push_many([event(n, f"u{n}") for n in range(count)])
        gate.set()
        assert collector.flush(PATIENCE)
        # Refusals after the last success are spared: they may be the beginning of an outage.
        collector.push(event(3 * count, "last"))
        assert collector.flush(PATIENCE)
        until(lambda: len(collector.dead()) == limit)
        died = collector.status_of("out").died
        until(lambda: collector.status_of("out").dead_dropped == died - limit)
        assert len(collector.dead()) == collector.status_of("out").dead == limit
