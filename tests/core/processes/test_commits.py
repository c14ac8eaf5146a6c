"""Commits beside other processes: bounded waits, signal handlers, kills halfway."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.core.interruptions import Interruption, at_moment
from tests.core.support import Record, config, flow, plugin
from tests.support import PATIENCE, program, wait_until
from walker_collector import Collector, SpoolError
from walker_collector.config import SpoolConfig
from walker_collector.spool import NewEvent, State
from walker_collector.spool.processes.files import try_lock
from walker_collector.spool.sqlite import SqliteSpool

ROOT = Path(__file__).parents[3]
BOUND = 1.0
WRITER = """
import os, signal, sys
from walker_collector.config import SpoolConfig
from walker_collector.spool import NewEvent, State
from walker_collector.spool.sqlite import SqliteSpool

spool = SqliteSpool(SpoolConfig(path=sys.argv[1]))
event = NewEvent("id:u", 0, b'{"name": "page view", "data": {"n": 7}}', {"there": State.WAITING})

def end(*_):
    print("committed", flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.readline()

spool.core.catalog.ensure(frozenset(["there"]))
if sys.argv[2] == "killed":
    spool.core.commits._publish = end  # after the commit, before anything is counted
spool.append([event], end)
print("done", flush=True)
"""


def new(n: int) -> NewEvent:
    return NewEvent(f"id:u{n}", 0, b'{"n": %d}' % n, {"there": State.WAITING})


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SqliteSpool]:
    spool = SqliteSpool(SpoolConfig(path=str(tmp_path / "spool.db")), wait=BOUND)
    yield spool
    spool.close()


@contextmanager
def writer(folder: Path, how: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that has committed an event, and still has the lock, or was killed."""
    command = [sys.executable, "-c", WRITER, folder / "spool.db", how]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with program(command, cwd=ROOT, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "committed\n"
        if how == "killed":
            process.wait(timeout=PATIENCE)
        yield process


def is_free(folder: Path) -> bool:
    file = os.open(folder / "spool.db.locks" / "write", os.O_RDWR)
    try:
        return try_lock(file)
    finally:
        os.close(file)


def test_no_thread_waits_longer_than_it_may_for_a_stopped_process(
    tmp_path: Path, spool: SqliteSpool
) -> None:
    waited: list[tuple[float, str]] = []

    def push(n: int) -> None:
        began = time.monotonic()
        try:
            spool.append([new(n)], lambda runs: None)
        except SpoolError as error:
            waited.append((time.monotonic() - began, str(error)))

    with writer(tmp_path, "stays") as other:
        other.send_signal(signal.SIGSTOP)
        threads = [threading.Thread(target=push, args=[n]) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(waited) == 4
        for seconds, message in waited:
            assert BOUND * 0.9 <= seconds < BOUND * 2  # one after the other, it would be four
            assert f"process {other.pid} has been writing for 1,000 ms" in message
        other.send_signal(signal.SIGCONT)
        other.communicate("\n", timeout=PATIENCE)
    assert spool.append([new(9)], lambda runs: None) == range(2, 3)
    assert spool.size() == 2  # nothing that was refused is written later


def test_a_commit_of_a_killed_process_is_counted_by_the_next(
    tmp_path: Path, spool: SqliteSpool
) -> None:
    with writer(tmp_path, "killed"):
        pass
    assert spool.size() == 0
    assert spool.append([new(1)], lambda runs: None) == range(2, 3)
    assert spool.size() == 2
    assert spool.page.bytes == sum(len(item.entry[3]) for item in spool.load("there", 0, 10))


def test_a_commit_of_a_killed_process_is_delivered_though_nobody_writes(tmp_path: Path) -> None:
    record = Record()
    there = plugin(push_batch=record.push_batch, linger=0)
    with Collector(flow({"there": (there, config())}, tmp_path / "spool.db")):
        with writer(tmp_path, "killed"):
            pass
        wait_until(lambda: record.numbers == [7])


@pytest.mark.parametrize("work", ["append", "alone"])
def test_a_signal_at_any_moment_leaves_the_lock_to_others(
    work: str, tmp_path: Path, spool: SqliteSpool
) -> None:
    calls: dict[str, Callable[[], object]] = {
        "append": lambda: spool.append([new(1)], lambda runs: None),
        "alone": lambda: spool.core.commits.alone(lambda db: db.execute("SELECT 1").fetchall()),
    }

    def handler() -> None:
        raise Interruption

    calls[work]()
    number, more = 0, True
    while more:
        number += 1
        with suppress(Interruption):
            more = at_moment(number, handler, calls[work])
        assert is_free(tmp_path), f"moment {number}"
        assert spool.page.writer < 0, f"moment {number}"
    assert number > 5
    assert spool.size() == len(spool.load("there", 0, 10_000))
