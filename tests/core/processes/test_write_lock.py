"""The write lock: one process writes at a time, and the others wait no longer than they may."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import PATIENCE, exit_status, program, wait_until
from walker_collector import SpoolError
from walker_collector.spool.processes.files import try_lock
from walker_collector.spool.processes.write_lock import WriteLock

ROOT = Path(__file__).parents[3]
HOLD = """
import sys
from pathlib import Path
from walker_collector.spool.processes.page import SEQ
from walker_collector.spool.processes.write_lock import WriteLock
lock = WriteLock(Path(sys.argv[1]), 10)
with lock as page:
    page.words[SEQ] += 5
    print("held", flush=True)
    sys.stdin.readline()
"""
ADD = """
import sys
from pathlib import Path
from walker_collector.spool.processes.page import BYTES, EVENTS
from walker_collector.spool.processes.write_lock import WriteLock
lock, counter = WriteLock(Path(sys.argv[1]), 10), Path(sys.argv[2])
for _ in range(200):
    with lock as page:
        counter.write_text(str(int(counter.read_text()) + 1))
        page.words[EVENTS] += 1
        page.words[BYTES] += 10
"""


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@contextmanager
def written_elsewhere(spool: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", HOLD, spool]
    with program(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def is_free(lock: WriteLock) -> bool:
    file = os.open(lock.path, os.O_RDWR)
    try:
        return try_lock(file)
    finally:
        os.close(file)


def test_processes_write_one_at_a_time(spool: Path, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", ADD, spool, counter]
    with program(command, cwd=ROOT) as one, program(command, cwd=ROOT) as other:
        assert (one.wait(timeout=PATIENCE), other.wait(timeout=PATIENCE)) == (0, 0)
    lock = WriteLock(spool, 1)
    assert counter.read_text() == "400"
    assert (lock.page.events, lock.page.bytes, lock.page.commits) == (400, 4_000, 400)
    lock.close()


def test_a_process_waits_for_another_no_longer_than_it_may(spool: Path) -> None:
    with written_elsewhere(spool) as other:
        lock = WriteLock(spool, 0.2)
        began = time.monotonic()
        message = rf"process {other.pid} has been writing for 200 ms"
        with pytest.raises(SpoolError, match=message), lock:
            pass
        assert 0.2 <= time.monotonic() - began < 5
        other.communicate("\n", timeout=PATIENCE)
        with lock:  # as soon as the other is done
            pass
        lock.close()


def test_a_process_that_is_killed_while_it_writes_leaves_the_lock_and_a_mark(spool: Path) -> None:
    killed: list[int] = []
    lock = WriteLock(spool, PATIENCE, lambda: killed.append(lock.page.seq))
    with written_elsewhere(spool) as other:
        other.send_signal(signal.SIGKILL)
        other.wait(timeout=PATIENCE)
    with lock as page:
        assert killed == [5]
        assert page.seq == 5  # no number is given twice
    with lock:
        assert killed == [5]
    lock.close()


def test_a_forked_child_keeps_nobody_from_writing(spool: Path) -> None:
    lock = WriteLock(spool, 1)
    goes_on, end = os.pipe()
    with lock:
        pid = os.fork()
        if pid == 0:
            os.close(end)
            lock.close()
            os.read(goes_on, 1)
            os._exit(0)
        assert not is_free(lock)  # the child's close has not unlocked what the parent holds
    wait_until(lambda: is_free(lock))  # although the child lives
    os.close(end)
    os.close(goes_on)
    assert exit_status(pid) == 0
    lock.close()


def test_a_started_program_does_not_inherit_the_lock(spool: Path) -> None:
    lock = WriteLock(spool, 1)
    with lock, program(["sleep", "60"], close_fds=False):
        os.close(lock._lock_file)  # as the end of this process would
        lock._lock_file = os.open(lock.path, os.O_RDWR)
        assert is_free(lock)
    lock.close()


def test_closing_another_descriptor_of_the_file_keeps_the_lock(spool: Path) -> None:
    lock = WriteLock(spool, 1)
    with lock:
        os.close(os.open(lock.path, os.O_RDWR))
        assert not is_free(lock)
    lock.close()


def test_an_interrupted_write_leaves_the_lock(spool: Path) -> None:
    lock = WriteLock(spool, 1)
    with pytest.raises(KeyboardInterrupt), lock:
        raise KeyboardInterrupt
    assert is_free(lock)
    assert lock.page.writer <= 0
    lock.close()


def test_a_deleted_lock_file_is_noticed(spool: Path) -> None:
    lock = WriteLock(spool, 1)
    assert not lock.is_replaced
    lock.path.unlink()
    assert lock.is_replaced
    lock.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match=r"spool\.db: cannot write spool\.db\.locks beside it"):
        WriteLock(tmp_path / "missing" / "spool.db", 1)
