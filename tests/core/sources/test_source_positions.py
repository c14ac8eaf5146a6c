"""Positions of a source in its inputs: stored with its events, exact whatever becomes of these."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.core.support import Record, config, flow, plugin, running
from tests.support import PATIENCE
from walker_collector import (
    Collector,
    EventError,
    Position,
    PositionLost,
    Positions,
    PushResult,
    Received,
    SpoolFull,
)
from walker_collector.config import RuleConfig, SpoolConfig
from walker_collector.serving import _positions_of

FILE = "tape:1"
OTHER = "tape:2"


def at(offset: int, input: str = FILE, run: str = "run-1") -> Position:
    return Position(input, run, offset)


def received(offset: int, input: str = FILE, **parts: Any) -> Received:
    """An event with the position after it; that of item 0 is 1."""
    return Received({"name": "page view", **parts}, position=at(offset + 1, input))


@contextmanager
def reading(spool: Path) -> Iterator[tuple[Collector, Positions, Record]]:
    record = Record()
    with running(flow(plugin(record.push), spool)) as collector:
        positions = _positions_of(collector)
        assert positions is not None
        for input_ in (FILE, OTHER):
            positions.take_over(None, at(0, input_))
        yield collector, positions, record


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


def test_each_input_has_the_position_after_its_last_event(place: Path) -> None:
    with reading(place) as (collector, positions, record):
        collector.push_from(None, [received(0), received(0, OTHER), received(1)])
        assert [positions.of(FILE), positions.of(OTHER)] == [at(2), at(1, OTHER)]
        positions.keep([at(5), at(7, OTHER)])
        assert [positions.of(FILE), positions.of(OTHER)] == [at(5), at(7, OTHER)]
        record.wait_for(3)


def test_refused_event_is_passed_over_once_its_source_was_told(place: Path) -> None:
    told: list[tuple[str, Position | None]] = []
    with reading(place) as (collector, positions, _record):

        def tell(error: EventError) -> None:
            told.append((str(error), positions.of(FILE)))

        bad = Received({"name": ""}, position=at(2), refused=tell)
        results = collector.push_from(None, [received(0), bad])
        assert [type(result) for result in results] == [PushResult, EventError]
        assert positions.of(FILE) == at(2)
        # It was not passed over before the source could put it elsewhere.
        assert [before for _, before in told] == [at(0)]
        assert "name" in told[0][0]


def test_source_that_raises_for_a_refused_event_stays_before_it(place: Path) -> None:
    class DownError(Exception):
        pass

    def fail(error: EventError) -> None:
        raise DownError

    with reading(place) as (collector, positions, _record):
        bad = Received({"name": ""}, position=at(2), refused=fail)
        with pytest.raises(DownError):
            collector.push_from(None, [received(0), bad, received(2)])
        assert positions.of(FILE) == at(0)
        assert collector.status().accepted == 0


def test_events_that_no_destination_takes_move_the_position(place: Path) -> None:
    record = Record()
    ignoring = {"page": {"view": RuleConfig(ignore=True)}}
    settings = flow({"there": (plugin(record.push), config(mapping=ignoring))}, place)
    with running(settings) as collector:
        positions = _positions_of(collector)
        assert positions is not None
        positions.take_over(None, at(0))
        collector.push_from(None, [received(0)])
        assert positions.of(FILE) == at(1)
        command = Received({"name": "walker user", "data": {"language": "en"}}, position=at(2))
        collector.push_from(None, [command])
        assert positions.of(FILE) == at(2)
        statement = {
            "name": "walker consent",
            "data": {"ads": True},
            "user": {"id": "u"},
            "id": "c",
        }
        for offset in (2, 3):  # the second time it came before, and is not run
            collector.push_from(None, [Received(statement, position=at(offset + 1))])
            assert positions.of(FILE) == at(offset + 1)
    assert not record.events


def test_after_an_event_without_room_none_with_a_position_is_stored(place: Path) -> None:
    release = threading.Event()

    def wait(event: Any, context: Any) -> None:
        release.wait(PATIENCE)

    settings = flow(plugin(wait), place, queue_wait=1)
    spool = SpoolConfig(path=str(place), max_events=3)
    settings = evolve(settings, collector=evolve(settings.collector, spool=spool))
    with running(settings) as collector:
        positions = _positions_of(collector)
        assert positions is not None
        positions.take_over(None, at(0))
        command = Received({"name": "walker user", "data": {"language": "en"}}, position=at(6))
        results = collector.push_from(None, [*map(received, range(5)), command, received(6)])
        kinds = [type(result) for result in results]
        assert kinds == [PushResult] * 3 + [SpoolFull] * 4
        assert positions.of(FILE) == at(3)
        release.set()
        assert collector.flush(PATIENCE)
        results = collector.push_from(None, [received(3), received(4), command, received(6)])
        assert [type(result) for result in results] == [PushResult] * 4
        assert positions.of(FILE) == at(7)


def test_run_that_was_replaced_stores_nothing_of_any_input(place: Path) -> None:
    with reading(place) as (collector, positions, _record):
        positions.take_over(at(0), at(0, run="run-2"))
        results = collector.push_from(None, [received(0, OTHER), received(0)])
        assert [type(result) for result in results] == [PositionLost] * 2
        assert isinstance(results[0], PositionLost)
        assert results[0].input == FILE
        assert positions.of(OTHER) == at(0, OTHER)
        assert collector.status().accepted == 0
