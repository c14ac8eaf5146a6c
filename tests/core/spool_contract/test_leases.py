"""Leases: each at one process, shared out, handed over, and taken over from the dead."""

import os
import signal
import time

from tests.core.spool_contract.conftest import Store
from tests.core.spool_contract.engines import Process
from tests.support import wait_until
from walker_collector.spool import Deliverer, DestinationHealth, Lease
from walker_collector.spool.deliverer import NOBODY
from walker_collector.spool.postgres.postgres_spool import PostgresSpool
from walker_collector.spool.sqlite import SqliteSpool


def test_a_free_lease_is_taken_at_the_start(process: Process, other: Process) -> None:
    process.deliver("crm")
    assert process.leases == {Lease("crm", 0)}
    other.deliver("crm", "file")
    assert other.leases == {Lease("file", 0)}


def test_every_process_knows_who_delivers(process: Process, other: Process) -> None:
    membership = other.deliver()
    assert membership.deliverers("crm") == [NOBODY]
    process.deliver("crm")
    (found,) = membership.deliverers("crm")
    assert found.member is not None
    assert found.member.delivers == {"crm"}
    assert not found.member.silent


def test_processes_that_only_accept_are_listed_until_they_close(
    process: Process, other: Process
) -> None:
    assert isinstance(process.spool, SqliteSpool | PostgresSpool)
    observer = process.spool.observer
    accepting = other.deliver()
    wait_until(lambda: observer.deliveries(()))
    process.deliver("crm")
    (one, nothing), (two, leases) = observer.deliveries(["crm"])
    assert (one.pid, one.delivers, nothing) == (os.getpid(), frozenset(), [])
    assert (two.delivers, leases) == ({"crm"}, ["crm"])
    assert not one.silent
    accepting.close()
    assert [member.delivers for member, _ in observer.deliveries(())] == [{"crm"}]


def test_the_last_failure_outlives_its_process_and_ends_with_a_success(
    store: Store, process: Process, other: Process
) -> None:
    down, idle = DestinationHealth("down", "no key", since=7, until=9), DestinationHealth("idle")
    membership, one = other.deliver(), process.deliver("crm")
    one.publish_health("crm", down)
    one.close()
    assert membership.deliverers("crm") == [Deliverer(None, down)]
    two = store.open().deliver("crm")
    two.publish_health("crm", idle)
    (found,) = two.deliverers("crm")
    assert found.member is not None
    assert found.health == DestinationHealth("idle", "no key", since=7)
    two.publish_health("crm", DestinationHealth("ready"))
    two.close()
    assert membership.deliverers("crm") == [Deliverer(None, DestinationHealth("ready"))]


def test_a_process_that_closes_is_replaced(process: Process, other: Process) -> None:
    membership = process.deliver("crm")
    other.deliver("crm")
    assert membership.leave() == {"crm"}
    membership.close()
    wait_until(lambda: other.leases)


def test_a_killed_process_is_replaced_within_two_seconds(store: Store, process: Process) -> None:
    with store.elsewhere() as killed:
        process.deliver("crm")
        assert not process.leases
        killed.send_signal(signal.SIGKILL)
        began = time.monotonic()
        wait_until(lambda: process.leases)
        assert time.monotonic() - began < 2


def test_the_last_process_to_leave_delivers_the_rest(process: Process, other: Process) -> None:
    one, two = process.deliver("crm"), other.deliver("crm")
    assert one.leave() == {"crm"}
    one.close()
    assert two.leave() == set()
    assert other.leases == {Lease("crm", 0)}


def test_shards_are_shared_out_once_nothing_is_in_flight(store: Store) -> None:
    store.shards = 4
    process, other = store.open(), store.open()
    process.busy = True
    process.deliver("crm")
    assert len(process.leases) == 4
    other.deliver("crm")
    asked = time.monotonic()
    wait_until(lambda: time.monotonic() - asked > 1.5)  # it counts from a second on
    assert other.leases == set()
    process.busy = False
    wait_until(lambda: len(process.leases) == len(other.leases) == 2)
    assert process.leases.isdisjoint(other.leases)


def test_commits_of_others_are_noticed(process: Process, other: Process) -> None:
    process.deliver("crm")
    before = process.changes
    other.accept("id:a")
    wait_until(lambda: process.changes > before)
