"""Events: numbered and kept, with a state at each destination, for all processes alike."""

import pytest

from tests.core.spool_contract.conftest import Store
from tests.core.spool_contract.engines import Process
from tests.support import wait_until
from walker_collector.errors import Overtaken, SpoolError
from walker_collector.spool import (
    DeliveryState,
    Entry,
    Fate,
    NewEvent,
    SpoolUpdate,
    State,
    UpdateKind,
)

WAITING, HELD, DEAD = State.WAITING, State.HELD, State.DEAD


def event(person: str = "id:a", body: bytes = b"{}", **states: State) -> NewEvent:
    return NewEvent(person, 1_000, body, states or {"crm": WAITING})


def append(process: Process, *events: NewEvent) -> list[int]:
    return list(process.spool.append(events, lambda runs: None))


def entries(process: Process, destination: str = "crm") -> list[Entry]:
    return [item.entry for item in process.spool.load(destination, 0, 100)]


def numbers(process: Process, destination: str = "crm") -> list[int]:
    return [entry[0] for entry in entries(process, destination)]


def settle(process: Process, seq: int, kind: UpdateKind, reason: str = "", count: int = 0) -> None:
    entry = next(item.entry for item in process.spool.load("crm", seq - 1, 1, held=True))
    update = SpoolUpdate(entry, kind, DeliveryState(count, reason=reason), at=5_000)
    process.spool.settle("crm", [update])


def test_numbers_are_in_the_order_of_commits_over_all_processes(
    process: Process, other: Process
) -> None:
    given = [seq for n in range(6) for seq in (process, other)[n % 2].accept(f"id:{n}")]
    assert given == sorted(set(given))
    assert [entry[:3] for entry in entries(other)] == [
        (seq, f"id:{n}", 1_000) for n, seq in enumerate(given)
    ]
    assert process.spool.newest() == other.spool.newest() == given[-1]


def test_a_process_is_told_before_its_entries_that_others_came_between(
    process: Process, other: Process
) -> None:
    process.deliver("crm")
    process.accept("id:a")
    before = process.foreign
    process.accept("id:a")
    assert process.foreign == before
    other.accept("id:b")
    given: list[int] = []
    process.spool.append([event()], lambda runs: given.append(process.foreign))
    assert given == [before + 1]


def test_entries_are_read_in_slices_by_number_and_bytes(process: Process) -> None:
    seqs = append(process, *[event(body=b"x" * 10) for _ in range(5)])
    load = process.spool.load
    assert [item.entry[0] for item in load("crm", seqs[1], 2)] == seqs[2:4]
    assert [item.entry[0] for item in load("crm", 0, 100, 25)] == seqs[:3]
    assert load("crm", seqs[-1], 100) == load("unknown", 0, 100) == []


def test_the_states_of_an_entry_are_what_every_process_sees(
    process: Process, other: Process
) -> None:
    seqs = append(process, *[event(crm=WAITING, file=WAITING) for _ in range(4)])
    settle(process, seqs[0], UpdateKind.RETRIED, "busy", 2)
    settle(process, seqs[1], UpdateKind.HELD)
    settle(process, seqs[2], UpdateKind.DEAD, "no", 3)
    settle(process, seqs[3], UpdateKind.ACKED)
    assert other.spool.fates("crm", seqs) == {
        seqs[0]: Fate(WAITING, 2, "busy"),
        seqs[1]: Fate(HELD, 0, ""),
        seqs[2]: Fate(DEAD, 3, "no"),
    }
    assert other.spool.counts() == {
        "crm": {WAITING: 1, HELD: 1, DEAD: 1},
        "file": {WAITING: 4},
    }
    assert other.spool.counts(seqs[1]) == {"crm": {WAITING: 1, HELD: 1}, "file": {WAITING: 2}}
    assert numbers(other) == [seqs[0]]
    assert [item.entry[0] for item in other.spool.held("crm")] == [seqs[1]]
    pending = other.spool.load("crm", 0, 100, held=True)
    assert [(item.entry[0], item.held) for item in pending] == [(seqs[0], False), (seqs[1], True)]
    assert other.spool.has_waiting("crm", seqs[0], seqs[0])
    assert not other.spool.has_waiting("crm", seqs[1], seqs[3])
    settle(process, seqs[1], UpdateKind.RELEASED)
    assert numbers(other) == seqs[:2]


def test_an_event_is_gone_when_every_destination_is_done_with_it(
    process: Process, other: Process
) -> None:
    append(process, event(crm=WAITING, file=WAITING))
    process.spool.ack("crm", entries(process))
    assert (numbers(other), len(numbers(other, "file"))) == ([], 1)
    wait_until(lambda: other.spool.size() == 1)
    other.spool.ack("file", entries(other, "file"))
    wait_until(lambda: process.spool.size() == 0)
    assert process.spool.counts() == {}


def test_dead_letters_are_replayed_or_deleted_once_by_whichever_process(
    process: Process, other: Process
) -> None:
    seqs = append(process, event(), event())
    for seq in seqs:
        settle(process, seq, UpdateKind.DEAD, "no", 3)
    one, two = other.spool.dead("crm")
    assert [(item.seq, item.reason, item.attempts) for item in (one, two)] == [
        (seqs[0], "no", 3),
        (seqs[1], "no", 3),
    ]
    assert other.spool.dead("crm", 1) == [one]
    assert other.spool.dead("file") == []
    version = process.version()
    assert [item.entry[0] for item in other.spool.requeue([one])] == [seqs[0]]
    assert process.spool.requeue([one]) == []
    assert process.spool.people_since(version).moved  # it is to be read again
    assert process.spool.delete_dead([two, two]) == 1
    assert other.spool.delete_dead([two]) == 0
    assert numbers(process) == [seqs[0]]


def test_an_event_is_refused_if_an_erasure_has_come_between(
    process: Process, other: Process
) -> None:
    before = process.spool.erasures
    other.spool.erase(["id:a"])
    late = NewEvent("id:a", 1_000, b"{}", {"crm": WAITING}, as_of=before)
    with pytest.raises(Overtaken):
        process.spool.append([late], lambda runs: None)
    assert process.spool.size() == 0
    timely = NewEvent("id:a", 1_000, b"{}", {"crm": WAITING}, as_of=process.spool.erasures)
    append(process, timely)


def test_events_of_earlier_processes_are_inherited_by_the_first_alone(store: Store) -> None:
    before = store.open()
    (seq,) = before.accept("id:a")
    before.close()

    def is_first() -> bool:
        process = store.open()
        if process.spool.inherited == seq:
            return True
        process.close()  # a server may take a moment to notice that a process has gone
        return False

    wait_until(is_first)
    assert store.open().spool.inherited is None


def test_another_number_of_shards_is_refused(store: Store, process: Process) -> None:
    assert process.spool.shards == 1
    store.shards = 8
    with pytest.raises(SpoolError, match=r"set collector\.shards to 1, or"):
        store.open()
