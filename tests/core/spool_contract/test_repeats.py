"""Events that are sent again: stored once, whichever process takes them."""

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.core.spool_contract.conftest import Store
from tests.core.spool_contract.engines import Process
from walker_collector.spool import EntryRun, NewEvent, State
from walker_collector.spool.base import RECENT
from walker_collector.spool.repeats import mark_of_id

EXAMPLES = itertools.count()


def event(id_: str, at: int = 1_000, body: bytes = b"{}") -> NewEvent:
    return NewEvent("id:a", at, body, {"crm": State.WAITING}, mark=mark_of_id(id_) if id_ else b"")


def append(process: Process, *events: NewEvent) -> list[int]:
    """Append events; return the number of each, that of a repeat negative."""
    taken: list[int] = []

    def take(runs: Sequence[EntryRun]) -> None:
        taken.extend(entry[0] for entries, _ in runs for entry in entries)

    new = iter(process.spool.append(events, take))
    numbers = [-event.repeats or next(new) for event in events]
    assert taken == [number for number in numbers if number > 0]
    return numbers


def stored(process: Process) -> list[int]:
    return [item.entry[0] for item in process.spool.load("crm", 0, 10_000)]


def test_an_event_with_an_id_that_came_before_is_not_stored(process: Process) -> None:
    (first,) = append(process, event("a"))
    assert append(process, event("a", 2_000)) == [-first]
    assert append(process, event("b"), event("a"), event("c")) == [first + 1, -first, first + 2]
    assert stored(process) == [first, first + 1, first + 2]
    assert process.spool.size() == 3


def test_other_processes_know_the_ids_too(process: Process, other: Process) -> None:
    (first,) = append(process, event("a"))
    assert append(other, event("b"), event("a")) == [first + 1, -first]
    assert append(process, event("b")) == [-first - 1]


def test_ids_outlive_the_delivery_of_their_events_and_the_process(store: Store) -> None:
    process = store.open()
    append(process, event("a"))
    (item,) = process.spool.load("crm", 0, 10)
    process.spool.ack("crm", [item.entry])
    assert process.spool.size() == 0
    process.close()
    assert append(store.open(), event("a")) == [-1]


def test_an_erasure_leaves_an_id_known_so_that_a_repeat_brings_nobody_back(
    process: Process,
) -> None:
    append(process, event("a"))
    process.spool.erase(["id:a"])
    assert append(process, event("a")) == [-1]
    assert stored(process) == []


STEPS = st.lists(
    st.tuples(
        st.booleans(),  # which process takes the events
        st.integers(0, RECENT // 2),  # the time that has passed
        st.lists(st.sampled_from(["", "a", "b", "c", "d"]), max_size=6),
    ),
    max_size=8,
)


@given(STEPS)
def test_every_event_is_new_or_repeats_the_first_of_its_id_in_time(
    process: Process, other: Process, steps: list[tuple[bool, int, list[str]]]
) -> None:
    example = f"{next(EXAMPLES)}-"
    now, known = 1_000, dict[str, tuple[int, int]]()
    for first, passed, ids in steps:
        now += passed
        marks = [example + id_ if id_ else "" for id_ in ids]
        if not marks:
            continue
        got = append(process if first else other, *[event(mark, now) for mark in marks])
        for id_, number in zip(ids, got, strict=True):
            seq, at = known.get(id_, (0, 0))
            if id_ and seq and now - at <= RECENT:
                assert number == -seq
            else:
                assert number > max([0, *(seq for seq, _ in known.values())])
                known[id_ or f"none {number}"] = (number, now)
