"""Claims: the check before a call, which comes before or after whatever others decide."""

import signal

import pytest

from tests.core.spool_contract.conftest import Store
from tests.core.spool_contract.engines import Process
from tests.support import wait_until
from walker_collector.spool import (
    LeaseLost,
    PeopleUpdate,
    SpoolUpdate,
    StalePeople,
    UpdateKind,
    shard_of,
)


@pytest.fixture
def delivering(process: Process) -> Process:
    process.deliver("crm")
    return process


def first(process: Process, kind: str) -> str:
    """Return the key of somebody to whom a process delivers."""
    shards = {lease.shard for lease in process.leases}
    keys = (f"{kind}:{n}" for n in range(100))
    return next(key for key in keys if shard_of(key, 0, process.spool.shards) in shards)


def test_only_the_process_with_the_lease_claims(delivering: Process, other: Process) -> None:
    (seq,) = other.accept("id:a")
    with pytest.raises(LeaseLost):  # it takes no part
        other.spool.claim("crm", {seq: "id:a"}, other.version())
    other.deliver("crm")
    with pytest.raises(LeaseLost):
        other.spool.claim("crm", {seq: "id:a"}, other.version())
    with pytest.raises(LeaseLost):
        delivering.spool.claim("file", {seq: "id:a"}, delivering.version())
    claimed = delivering.spool.claim("crm", {seq: "id:a"}, delivering.version())
    assert (claimed.gone, claimed.erasing, claimed.busy) == (set(), set(), set())


def test_of_several_shards_every_one_has_to_be_held(store: Store) -> None:
    store.shards = 2
    process, other = store.open(), store.open()
    process.deliver("crm")
    other.deliver("crm")
    wait_until(lambda: len(process.leases) == len(other.leases) == 1)
    mine, theirs = first(process, "id"), first(other, "id")
    one, two = process.accept(mine, theirs)
    process.spool.claim("crm", {one: mine}, process.version())
    other.spool.claim("crm", {two: theirs}, other.version())
    for item in (process, other):
        with pytest.raises(LeaseLost):
            item.spool.claim("crm", {one: mine, two: theirs}, item.version())


def test_who_knows_less_of_people_than_others_does_not_claim(
    delivering: Process, other: Process
) -> None:
    (seq,), version = delivering.accept("id:a"), delivering.version()
    other.spool.learn(PeopleUpdate(consents={"id:a": {"marketing": (False, 7)}}))
    with pytest.raises(StalePeople):
        delivering.spool.claim("crm", {seq: "id:a"}, version)
    delivering.spool.claim("crm", {seq: "id:a"}, delivering.version())


def test_events_that_are_gone_and_people_under_erasure_are_told(
    delivering: Process, other: Process
) -> None:
    gone, left, erased = delivering.accept("id:a", "id:b", "id:c")
    other.spool.erase(["id:a"])
    other.spool.schedule_erasure(["id:c"], other.spool.begin_erasure())
    people = {gone: "id:a", left: "id:b", erased: "id:c"}
    claimed = delivering.spool.claim("crm", people, delivering.version())
    assert (claimed.gone, claimed.erasing) == ({gone}, {"id:c"})
    assert other.spool.calls_of(["id:c"]) == set()  # an erasure need not wait for it


def test_events_with_others_between_them_are_claimed_without_these(
    delivering: Process, other: Process
) -> None:
    one, between, two = delivering.accept("id:a", "id:b", "id:c")
    people = {one: "id:a", two: "id:c"}
    assert delivering.spool.claim("crm", people, delivering.version()).gone == set()
    assert other.spool.calls_of(["id:b"]) == set()
    assert len(other.spool.calls_of(["id:a", "id:c"])) == 1
    other.spool.settle(
        "crm", [SpoolUpdate(other.spool.load("crm", between, 1)[0].entry, UpdateKind.ACKED)]
    )
    assert delivering.spool.claim("crm", people, delivering.version()).gone == {two}


def test_an_event_that_a_process_without_the_lease_drops_is_gone(
    delivering: Process, other: Process
) -> None:
    dropped, left = delivering.accept("id:a", "id:b")
    people = {dropped: "id:a", left: "id:b"}
    assert delivering.spool.claim("crm", people, delivering.version()).gone == set()
    first, _ = other.spool.load("crm", 0, 9)
    other.spool.settle("crm", [SpoolUpdate(first.entry, UpdateKind.ACKED)])
    assert delivering.spool.claim("crm", people, delivering.version()).gone == {dropped}


def test_a_person_of_an_erasure_that_was_called_off_is_claimed_again(
    delivering: Process, other: Process
) -> None:
    (seq,) = delivering.accept("id:a")
    erasure = other.spool.begin_erasure()
    other.spool.schedule_erasure(["id:a"], erasure)
    version = delivering.version()
    assert delivering.spool.claim("crm", {seq: "id:a"}, version).erasing == {"id:a"}
    other.spool.cancel_erasure(erasure)
    version = delivering.version()
    assert delivering.spool.claim("crm", {seq: "id:a"}, version).erasing == set()


def test_a_call_is_seen_until_it_has_ended(delivering: Process, other: Process) -> None:
    call = delivering.claim("id:a", "id:b")
    assert len(other.spool.calls_of(["id:b", "id:z"])) == 1
    assert other.spool.calls_of(["id:z"]) == set()
    delivering.spool.end_claim(call)
    delivering.spool.write_ended()
    assert other.spool.calls_of(["id:a", "id:b"]) == set()


def test_a_person_with_a_call_under_way_elsewhere_is_left_out(store: Store) -> None:
    store.shards = 2
    process, other = store.open(), store.open()
    process.deliver("crm")
    other.deliver("crm")
    wait_until(lambda: len(process.leases) == len(other.leases) == 1)
    session, person = first(process, "session"), first(other, "id")
    call = process.claim(session)
    process.spool.learn(PeopleUpdate(aliases={session: person}))
    (seq,) = other.accept(person)
    assert other.spool.claim("crm", {seq: person}, other.version()).busy == {person}
    process.spool.end_claim(call)
    process.spool.write_ended()
    assert other.spool.claim("crm", {seq: person}, other.version()).busy == set()


def test_an_event_that_one_destination_alone_still_needs_is_gone_for_the_others(
    store: Store,
) -> None:
    store.shards = 2
    process = store.open()
    process.deliver("crm")
    (seq,) = process.accept("id:a")
    version = process.version()
    assert process.spool.claim("crm", {seq: "id:a"}, version).gone == set()
    (stored,) = process.spool.load("crm", 0, 9)
    process.spool.ack("crm", [stored.entry])
    assert process.spool.claim("crm", {seq: "id:a"}, version).gone == {seq}


def test_calls_of_a_killed_process_are_over_when_it_is_replaced(
    store: Store, process: Process
) -> None:
    with store.elsewhere("id:a") as killed:
        assert len(process.spool.calls_of(["id:a"])) == 1
        process.deliver("crm")
        killed.send_signal(signal.SIGKILL)
        killed.wait(timeout=20)
        # A server ends the session of a killed process a moment later; whoever waits asks again.
        wait_until(lambda: process.spool.calls_of(["id:a"]) == set())
        wait_until(lambda: process.leases)
        process.claim("id:a")
