"""Leases between real processes: shared out fairly, kept, and taken over from the dead."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.core.processes.peer import held, peer, until_held
from tests.support import exit_status, wait_until
from walker_collector.errors import SpoolError
from walker_collector.spool import Deliveries, Lease
from walker_collector.spool.processes.keeper import LeaseKeeper
from walker_collector.spool.processes.leases import Leases
from walker_collector.spool.processes.members import Members
from walker_collector.spool.processes.membership import file_keeper

CRM = Lease("crm", 0)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


def keeper(spool: Path, *destinations: str, shards: int = 1) -> LeaseKeeper:
    return file_keeper(
        spool, destinations, shards, Deliveries(lambda lease: None, lambda lease: True)
    )


def until_there(count: int, spool: Path) -> None:
    """Wait until so many processes have opened a spool."""
    folder = spool.parent / "spool.db.locks"
    wait_until(lambda: len(list(folder.glob("*.process"))) == count)


def test_a_single_process_delivers_at_once(spool: Path) -> None:
    alone = keeper(spool, "crm", "file")
    alone.look()
    assert alone.holds(CRM)
    assert alone.holds(Lease("file", 0))
    assert not alone.others_deliver()
    alone.close()


def test_three_processes_share_leases_fairly_and_then_nothing_moves(spool: Path) -> None:
    with (
        peer(spool, "crm", shards=8) as one,
        peer(spool, "crm", shards=8) as two,
        peer(spool, "crm", shards=8) as three,
    ):
        until_held([3, 3, 2], one, two, three)
        moves = one.moves + two.moves + three.moves
        time.sleep(1.0)  # of four looks each
        assert one.moves + two.moves + three.moves == moves
        two.close()
        until_held([4, 4], one, three)


def test_a_killed_holder_is_replaced_within_two_seconds(spool: Path) -> None:
    with peer(spool, "crm") as one:
        until_held([1], one)
        with peer(spool, "crm") as two:
            until_there(2, spool)
            one.process.send_signal(signal.SIGKILL)
            began = time.monotonic()
            until_held([1], two)
            assert time.monotonic() - began < 2


def test_a_process_that_closes_hands_over_at_once(spool: Path) -> None:
    with peer(spool, "crm") as one:
        until_held([1], one)
        with peer(spool, "crm") as two:
            until_there(2, spool)
            one.close()
            began = time.monotonic()
            until_held([1], two)
            assert time.monotonic() - began < 2


def test_a_lease_goes_only_when_nothing_is_in_flight(spool: Path) -> None:
    with peer(spool, "crm", shards=2, busy=True) as one:
        until_held([2], one)
        with peer(spool, "crm", shards=2) as two:
            wait_until(lambda: one.asked >= 2)
            assert held(one, two) == [2, 0]
            one.finish()
            until_held([1, 1], one, two)


def test_a_short_script_costs_the_deliverer_no_lease(spool: Path) -> None:
    with peer(spool, "crm", shards=4) as deliverer:
        until_held([4], deliverer)
        for _ in range(3):
            script = keeper(spool, "crm", shards=4)
            script.look()
            assert not script.holds(CRM)
            script.close()
        assert deliverer.moves == 4


def test_a_stopped_holder_keeps_its_lease_and_is_named(spool: Path) -> None:
    with peer(spool, "crm") as one:
        until_held([1], one)
        one.process.send_signal(signal.SIGSTOP)
        other = keeper(spool, "crm")
        wait_until(lambda: other.look() or other.holders([CRM])[CRM].silent)
        assert not other.holds(CRM)
        assert other.holders([CRM])[CRM].pid == one.process.pid
        one.process.send_signal(signal.SIGCONT)
        wait_until(lambda: not other.holders([CRM])[CRM].silent)
        other.close()


def test_a_lease_that_the_process_which_should_have_it_does_not_take_goes_to_another(
    spool: Path,
) -> None:
    with peer(spool, "crm") as holder, peer(spool, "crm") as stopped:
        until_held([1, 0], holder, stopped)
        if stopped.leases:
            stopped, holder = holder, stopped
        other = keeper(spool, "crm")
        wait_until(lambda: all(member.settled for member in other.living()))
        stopped.process.send_signal(signal.SIGSTOP)
        holder.process.send_signal(signal.SIGKILL)  # the next would be the other that came first
        holder.process.wait(timeout=20)
        looks = 0
        while not other.holds(CRM):  # bounded: by the assertion
            other.look()
            looks += 1
            assert looks < 5
        stopped.process.send_signal(signal.SIGCONT)
        other.close()


def test_a_stopped_process_gets_no_lease(spool: Path) -> None:
    with peer(spool, "crm") as stopped, peer(spool, "crm") as living:
        until_held([1, 0], stopped, living)
        until_there(2, spool)
        if stopped.leases:
            stopped, living = living, stopped
        stopped.process.send_signal(signal.SIGSTOP)
        other = keeper(spool, "crm", "file")
        wait_until(lambda: any(member.silent for member in other.living()))
        living.process.send_signal(signal.SIGKILL)
        wait_until(lambda: other.look() or other.holds(CRM))
        other.close()
        stopped.process.send_signal(signal.SIGCONT)


def test_a_forked_child_neither_holds_nor_frees_the_leases_of_its_parent(spool: Path) -> None:
    parent = keeper(spool, "crm")
    parent.look()
    goes_on, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(end)
        parent.abandon()
        child = keeper(spool, "crm")
        child.look()
        os.read(goes_on, 1)  # it lives on
        os._exit(child.holds(CRM))
    other = keeper(spool, "crm")
    wait_until(lambda: len(other.living()) == 3)
    assert parent.holds(CRM)
    parent.close()
    wait_until(lambda: other.look() or other.holders([CRM]))  # one of both has taken it over
    os.close(end)
    os.close(goes_on)
    assert exit_status(pid) == 0 or not other.holds(CRM)
    other.close()


def test_a_deleted_lease_file_ends_the_lease(spool: Path) -> None:
    one = keeper(spool, "crm")
    one.look()
    for path in (spool.parent / "spool.db.locks").glob("*.lease"):
        path.unlink()
    assert not one.holds(CRM)
    other = Leases(spool, spool.parent / "spool.db.locks", "0" * 16)
    assert other.acquire(CRM)
    one.look()
    assert not one.holds(CRM)
    other.close()
    wait_until(lambda: one.look() or one.holds(CRM))
    one.close()


def test_a_process_that_only_accepts_is_a_member_without_leases(spool: Path) -> None:
    accepting, delivering = keeper(spool), keeper(spool, "crm")
    accepting.look()
    delivering.look()
    assert delivering.holds(CRM)
    assert not delivering.others_deliver()
    assert accepting.others_deliver() == {"crm"}
    assert [sorted(member.delivers) for member in accepting.living()] == [[], ["crm"]]
    accepting.close()
    delivering.close()


def test_files_of_the_dead_are_deleted(spool: Path) -> None:
    with peer(spool, "crm") as one:
        until_held([1], one)
        one.process.send_signal(signal.SIGKILL)
        one.process.wait(timeout=20)
    members = Members(spool, ["crm"])
    assert [member.pid for member in members.living()] == [os.getpid()]
    assert len(list(members.folder.glob("*.process"))) == 1
    members.close()
    assert list(members.folder.glob("*.process")) == []


def test_what_is_known_of_processes_goes_with_them(spool: Path) -> None:
    members = Members(spool, ["crm"])
    for _ in range(5):  # as scripts come and go
        script = Members(spool, ["crm"])
        assert len(members.living()) == 2
        script.close()
    assert len(members.living()) == 1
    assert len(members._known) == 1
    members.close()


def test_destinations_with_odd_ids_have_leases(spool: Path) -> None:
    odd = ("../crm", "crm/0", "ünï\ud800", "x" * 500)
    one = keeper(spool, *odd)
    one.look()
    assert all(one.holds(Lease(id_, 0)) for id_ in odd)
    one.close()


@pytest.mark.parametrize(
    "text",
    ["[1]", "{", "5", '{"pid": "x"}', '{"pid": 1, "host": "\\u001b[2J"}', "\xff", "9" * 9_999],
)
def test_foreign_text_in_the_file_of_a_process_neither_stops_nor_shows(
    text: str, spool: Path
) -> None:
    one = keeper(spool, "crm")
    with peer(spool, "file") as other:
        until_held([1], other)
        for path in (spool.parent / "spool.db.locks").glob("*.process"):
            path.write_text(text, encoding="latin-1")
        one.look()
        assert one.holds(CRM)
        assert all(str(member).isprintable() for member in one.living())
    one.close()


def test_the_file_of_a_process_names_no_command(spool: Path) -> None:
    members = Members(spool, ["crm"])
    (path,) = members.folder.glob("*.process")
    assert set(json.loads(path.read_text())) == {"pid", "host", "since", "delivers"}
    members.close()


def test_of_processes_that_leave_at_once_one_delivers_the_rest(spool: Path) -> None:
    one, other = keeper(spool, "crm"), keeper(spool, "crm")
    one.look()
    other.look()
    assert one.holds(CRM)
    assert one.leave() == {"crm"}  # there is the other
    assert not other.leave()
    assert not other.holds(CRM)
    one.close()
    third = keeper(spool, "crm")
    third.look()
    assert third.holds(CRM)
    assert not third.leave()
    assert third.holds(CRM)
    other.close()
    third.close()
    assert not [*Members(spool, []).folder.glob("*.leaving")]


def test_a_lease_that_was_to_be_given_up_is_kept_if_nobody_takes_it(spool: Path) -> None:
    taken: list[Lease] = []
    asked: list[Lease] = []

    def abandon(lease: Lease) -> bool:
        asked.append(lease)
        return False  # there is always something in flight

    busy = file_keeper(spool, ["crm"], 2, Deliveries(taken.append, abandon))
    busy.look()
    with peer(spool, "crm", shards=2) as other:
        wait_until(lambda: busy.look() or asked)
        assert not busy.holds(asked[0])
        other.process.send_signal(signal.SIGKILL)
        other.process.wait(timeout=20)
    busy.look()
    assert busy.holds(asked[0])
    assert taken == [Lease("crm", 0), Lease("crm", 1), asked[0]]
    busy.close()


def test_a_lease_whose_deliveries_cannot_begin_is_given_back(spool: Path) -> None:
    def take_over(lease: Lease) -> None:
        raise SpoolError("the disk cannot be read")

    failing = file_keeper(spool, ["crm"], 1, Deliveries(take_over, lambda lease: True))
    with pytest.raises(SpoolError):
        failing.look()
    assert not failing.holds(CRM)
    other = keeper(spool, "crm")
    wait_until(lambda: other.look() or other.holds(CRM))
    other.close()
    failing.close()
