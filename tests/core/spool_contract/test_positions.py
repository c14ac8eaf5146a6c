"""Positions in inputs: written with the events, and taken over by the next run."""

import pytest

from tests.core.spool_contract.engines import Process
from tests.core.spool_contract.test_events import event
from walker_collector.spool import (
    NewEvent,
    PeopleUpdate,
    Position,
    PositionLost,
    positions_after,
)

FILE = "/data/events.ndjson"
FIRST = Position(FILE, "run-1")


def at(line: int, run: str = "run-1") -> Position:
    return Position(FILE, run, line, 7 * line)


def placed(position: Position) -> NewEvent:
    made = event()
    made.position = position
    return made


def append(process: Process, *events: NewEvent) -> None:
    process.spool.append(events, lambda runs: None, positions=positions_after(events))


def of_partition(number: int, offset: int = 0, run: str = "run-1") -> Position:
    return Position(f"kafka:shop/events/{number}", run, offset)


def test_position_is_that_of_the_last_event_for_all_processes(
    process: Process, other: Process
) -> None:
    assert process.spool.position_of(FILE) is None
    process.spool.take_over_position(None, FIRST)
    append(process, placed(at(3)), placed(at(4)))
    assert other.spool.position_of(FILE) == at(4)
    append(process, placed(at(5)))
    process.spool.keep_positions([at(6)])
    assert other.spool.position_of(FILE) == at(6)
    process.spool.learn(PeopleUpdate(consents={"id:a": {"ads": (True, 1)}}), [at(7)])
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
        lambda: process.spool.keep_positions([at(5)]),
        lambda: process.spool.learn(statement, [at(5)]),
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


def test_each_input_of_a_group_has_its_position(process: Process, other: Process) -> None:
    for number in range(3):
        process.spool.take_over_position(None, of_partition(number))
    append(
        process,
        placed(of_partition(0, 5)),
        placed(of_partition(1, 8)),
        event(),
        placed(of_partition(0, 6)),
    )
    found = [other.spool.position_of(of_partition(number).input) for number in range(3)]
    assert found == [of_partition(0, 6), of_partition(1, 8), of_partition(2)]
    process.spool.keep_positions([of_partition(2, 1), of_partition(1, 9)])
    found = [other.spool.position_of(of_partition(number).input) for number in range(3)]
    assert found == [of_partition(0, 6), of_partition(1, 9), of_partition(2, 1)]


def test_group_with_a_lost_input_is_not_stored(process: Process, other: Process) -> None:
    for number in range(2):
        process.spool.take_over_position(None, of_partition(number))
    other.spool.take_over_position(of_partition(1), of_partition(1, 0, "run-2"))
    newest = process.spool.newest()
    with pytest.raises(PositionLost) as lost:
        append(process, placed(of_partition(0, 1)), placed(of_partition(1, 1)))
    assert lost.value.input == of_partition(1).input
    with pytest.raises(PositionLost):
        process.spool.keep_positions([of_partition(0, 1), of_partition(1, 1)])
    assert process.spool.newest() == newest
    assert process.spool.position_of(of_partition(0).input) == of_partition(0)
