"""Positions in files of events: written with the events, and taken over by the next run."""

import pytest

from tests.core.spool_contract.engines import Process
from tests.core.spool_contract.test_events import append, event
from walker_collector.spool import NewEvent, PeopleUpdate, Position, PositionLost

FILE = "/data/events.ndjson"
FIRST = Position(FILE, "run-1")


def at(line: int, run: str = "run-1") -> Position:
    return Position(FILE, run, line, 7 * line)


def placed(position: Position) -> NewEvent:
    made = event()
    made.position = position
    return made


def test_position_is_that_of_the_last_event_for_all_processes(
    process: Process, other: Process
) -> None:
    assert process.spool.position_of(FILE) is None
    process.spool.take_over_position(None, FIRST)
    append(process, placed(at(3)), placed(at(4)))
    assert other.spool.position_of(FILE) == at(4)
    append(process, placed(at(5)))
    process.spool.keep_position(at(6))
    assert other.spool.position_of(FILE) == at(6)
    process.spool.learn(PeopleUpdate(consents={"id:a": {"ads": (True, 1)}}), at(7))
    assert other.spool.position_of(FILE) == at(7)
    assert process.spool.position_of("/data/another.ndjson") is None


def test_run_that_was_replaced_writes_nothing_more(process: Process, other: Process) -> None:
    process.spool.take_over_position(None, FIRST)
    append(process, placed(at(4)))
    other.spool.take_over_position(at(4), at(4, "run-2"))
    newest = process.spool.newest()
    statement = PeopleUpdate(consents={"id:a": {"ads": (True, 1)}})
    for write in (
        lambda: append(process, placed(at(5))),
        lambda: append(process, placed(at(5)), placed(at(6))),
        lambda: process.spool.keep_position(at(5)),
        lambda: process.spool.learn(statement, at(5)),
    ):
        with pytest.raises(PositionLost, match="has begun later"):
            write()
    assert process.spool.newest() == newest
    assert process.spool.consent_of("id:a") == {}
    append(other, placed(at(5, "run-2")))
    assert process.spool.position_of(FILE) == at(5, "run-2")


def test_position_that_has_moved_is_not_taken_over(process: Process, other: Process) -> None:
    process.spool.take_over_position(None, FIRST)
    before = other.spool.position_of(FILE)
    append(process, placed(at(4)))
    with pytest.raises(PositionLost):
        other.spool.take_over_position(before, at(0, "run-2"))
    append(process, placed(at(5)))
