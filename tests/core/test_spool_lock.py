"""One process per spool; forked workers and restarts get or leave the right one."""

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.core.support import PATIENCE, in_threads, until
from tests.support import exit_status, in_fork, program
from walker_collector import SpoolError
from walker_collector.config import SpoolConfig
from walker_collector.spool import PeopleUpdate
from walker_collector.spool.sqlite import SqliteSpool
from walker_collector.spool.sqlite.lock import SpoolLock, holder, lock_is_free
from walker_collector.spool.sqlite.slots import left_behind, open_free_slot, open_own, slot_path

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from walker_collector.spool.sqlite.lock import SpoolLock
lock = SpoolLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@contextmanager
def held_elsewhere(spool: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", HOLD, str(spool)]
    with program(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_second_process_is_refused_and_told_who_has_it(spool: Path) -> None:
    with held_elsewhere(spool) as process:
        with pytest.raises(SpoolError) as caught:
            SpoolLock(spool)
        message = str(caught.value)
        assert f"spool {spool}: in use by process {process.pid} on " in message
        assert "stop that process, or give this one a spool of its own" in message
        assert not lock_is_free(spool)


def test_lock_goes_with_a_process_that_is_killed(spool: Path) -> None:
    with held_elsewhere(spool) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
        assert lock_is_free(spool)
        SpoolLock(spool).release()


def test_same_process_is_refused_a_second_time(spool: Path) -> None:
    lock = SpoolLock(spool)
    with pytest.raises(SpoolError, match=f"process {os.getpid()}"):
        SpoolLock(spool)
    lock.release()
    lock.release()
    SpoolLock(spool).release()


def test_lock_file_says_who_and_since_when(spool: Path) -> None:
    lock = SpoolLock(spool)
    about = json.loads(lock.path.read_text())
    assert about["pid"] == os.getpid()
    assert about["since"].endswith("Z")
    lock.release()


def test_unreadable_lock_file_still_refuses(spool: Path) -> None:
    lock = SpoolLock(spool)
    lock.path.write_text("{")
    assert holder(lock.path) == "another process"
    with pytest.raises(SpoolError, match="in use by another process"):
        SpoolLock(spool)
    lock.release()


def test_full_disk_does_not_keep_a_spool_from_being_held(spool: Path) -> None:
    def child() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        lock = SpoolLock(spool)
        assert not lock_is_free(spool)
        assert holder(spool.with_name("spool.db.lock")) == "another process"
        lock.release()

    assert exit_status(in_fork(child)) == 0


def test_lock_that_nobody_made_is_free(spool: Path) -> None:
    assert lock_is_free(spool)
    assert list(spool.parent.iterdir()) == []


def test_removed_lock_never_has_two_holders(spool: Path) -> None:
    holders, most = [0], [0]
    guard = threading.Lock()

    def compete() -> None:
        for _ in range(300):
            try:
                lock = SpoolLock(spool)
            except SpoolError:
                continue
            with guard:
                holders[0] += 1
                most[0] = max(most[0], holders[0])
            with guard:
                holders[0] -= 1
            lock.remove()

    in_threads(*[compete] * 4)
    assert most == [1]


def test_child_keeps_neither_the_lock_nor_its_parent_from_it(spool: Path) -> None:
    lock = SpoolLock(spool)
    reading, writing = os.pipe()

    def child() -> None:
        os.close(writing)
        lock.abandon()
        os.read(reading, 1)  # until the parent is done

    pid = in_fork(child)
    os.close(reading)
    try:
        assert not lock_is_free(spool)
        lock.release()
        until(lambda: lock_is_free(spool), "the lock is free although the child lives")
    finally:
        os.close(writing)
        assert exit_status(pid) == 0


# --- slots -----------------------------------------------------------------------------------


def test_slots_lie_beside_the_spool(spool: Path) -> None:
    assert slot_path(str(spool), 0) == str(spool)
    assert slot_path(str(spool), 3) == str(spool.with_name("spool.3.db"))
    assert slot_path("/x/spool", 1) == "/x/spool.1"


def test_each_worker_has_the_first_slot_that_is_free(spool: Path) -> None:
    config = SpoolConfig(path=str(spool))
    first, second, third = (open_free_slot(config) for _ in range(3))
    assert [s.path.name for s in (first, second, third)] == [
        "spool.db",
        "spool.1.db",
        "spool.2.db",
    ]
    second.close()
    assert [path.name for path in left_behind(config)] == ["spool.1.db"]
    again = open_free_slot(config)
    assert again.path == second.path
    for one in (first, third, again):
        one.close()


def test_unusable_slot_is_passed_over(spool: Path) -> None:
    config = SpoolConfig(path=str(spool))
    spool.write_bytes(b"no database at all" * 50)
    slot = open_free_slot(config)
    assert slot.path.name == "spool.1.db"
    slot.close()


def test_error_of_the_last_slot_is_shown_when_none_can_be_opened(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="cannot write its lock file"):
        open_free_slot(SpoolConfig(path=str(tmp_path / "no" / "spool.db")))


def test_shared_spool_is_the_first_slot_that_is_free(spool: Path) -> None:
    config = SpoolConfig(path=str(spool), shared=True)
    first, second = open_own(config), open_own(config)
    assert [s.path.name for s in (first, second)] == ["spool.db", "spool.1.db"]
    second.learn(PeopleUpdate(aliases={"alias": "person"}))
    second.close()
    first.close()
    first = open_own(config)
    assert first.link("alias") == ("person", None)
    assert not spool.with_name("spool.1.db").exists()
    first.close()


def test_spool_that_is_not_shared_is_refused_to_a_second(spool: Path) -> None:
    config = SpoolConfig(path=str(spool))
    first = open_own(config)
    with pytest.raises(SpoolError, match="in use by process"):
        open_own(config)
    first.close()


def test_slot_that_cannot_be_taken_over_is_left_and_reported(
    spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    beside = spool.with_name("spool.1.db")
    beside.write_bytes(b"no database at all" * 50)
    open_own(SpoolConfig(path=str(spool))).close()
    assert f"the events in {beside} stay there: spool {beside}: " in caplog.text
    assert beside.exists()


def test_abandoned_spool_stays_its_parents(spool: Path) -> None:
    parent = SqliteSpool(SpoolConfig(path=str(spool)))

    def child() -> None:
        parent.abandon()
        own = open_free_slot(SpoolConfig(path=str(spool)))
        assert own.path.name == "spool.1.db"
        own.close()

    assert exit_status(in_fork(child)) == 0
    assert parent.counts() == {}
    parent.learn(PeopleUpdate(aliases={"a": "b"}))
    assert parent.link("a") == ("b", None)
    parent.close()


def test_who_looks_at_the_lock_of_a_free_spool_keeps_nobody_from_it(spool: Path) -> None:
    SpoolLock(spool).release()
    looking = os.open(spool.with_name("spool.db.lock"), os.O_RDWR)
    fcntl.flock(looking, fcntl.LOCK_EX)
    threading.Timer(0.02, os.close, [looking]).start()
    SpoolLock(spool).release()
