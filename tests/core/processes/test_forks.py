"""Children of a process with a spool: none keeps a lock of its parent, or takes one away."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.core.support import (
    PATIENCE,
    Record,
    config,
    event,
    flow,
    no_file_grows_beyond,
    one,
    plugin,
    running,
)
from tests.support import exit_status, in_fork, join, program, wait_until
from walker_collector import Collector, DestinationDown, SpoolError
from walker_collector.spool.processes.leases import Lease, Leases
from walker_collector.spool.processes.members import Members

ROOT = Path(__file__).parents[3]
MAPPED = ["write"] * 2
"""The files that stay mapped into memory for a while: an open file each, which nobody locks."""
THERE = Lease("there", 0)


def wait_for_ever() -> None:
    while True:  # bounded: the test kills it
        time.sleep(60)


def by_fork() -> int:
    return in_fork(wait_for_ever)


def by_fork_in_a_thread() -> int:
    pids: list[int] = []
    thread = threading.Thread(target=lambda: pids.append(by_fork()))
    thread.start()
    thread.join(PATIENCE)
    return pids[0]


def by_double_fork() -> int:
    reading, writing = os.pipe()

    def daemonize() -> None:
        os.setsid()
        os.write(writing, str(by_fork()).encode())

    assert exit_status(in_fork(daemonize)) == 0
    return int(os.read(reading, 20))


def by_multiprocessing(method: str) -> Callable[[], int]:
    def start() -> int:
        process = multiprocessing.get_context(method).Process(target=wait_for_ever)
        process.start()
        assert process.pid is not None
        return process.pid

    return start


def by_a_program() -> int:
    return subprocess.Popen(["sleep", "60"], close_fds=False).pid  # bounded: the test kills it


WAYS = {
    "fork": by_fork,
    "fork in a thread": by_fork_in_a_thread,
    "double fork": by_double_fork,
    "multiprocessing fork": by_multiprocessing("fork"),
    "multiprocessing forkserver": by_multiprocessing("forkserver"),
    "multiprocessing spawn": by_multiprocessing("spawn"),
    "program with open files": by_a_program,
}


def down(event: object, context: object) -> None:
    raise DestinationDown("no key")


def main() -> None:
    """Open a spool twice, by two paths, start a child in some way, and say its process id."""
    folder, way = Path(sys.argv[1]), sys.argv[2]
    collectors = [Collector(one(plugin(down), folder / name)) for name in ("spool.db", "link.db")]
    for n, collector in enumerate(collectors):
        collector.push(event(n))
    print(WAYS[way](), flush=True)
    wait_for_ever()


def files_of(pid: int, folder: Path) -> list[str]:
    """Return the files in a folder that a process has open."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed by now
            found.append(Path(os.readlink(link)))
    return [file.name for file in found if str(folder) in str(file)]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux shows open files so")
@pytest.mark.parametrize("way", WAYS)
def test_a_child_keeps_nothing_of_a_dead_parent(way: str, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to("spool.db")
    command = [sys.executable, "-m", __name__, tmp_path, way]
    with program(command, cwd=ROOT, stdout=PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            wait_until(lambda: files_of(child, tmp_path) in (MAPPED, []))
            assert len(files_of(parent.pid, tmp_path)) > len(MAPPED)
            parent.send_signal(signal.SIGKILL)
            parent.wait(timeout=PATIENCE)
            record, began = Record(), time.monotonic()
            with running(one(plugin(record.push), tmp_path / "spool.db")):
                record.wait_for(2)
            assert time.monotonic() - began < 2
            os.kill(child, 0)  # it lives on
        finally:
            os.kill(child, signal.SIGKILL)


def uses_it(collector: Collector) -> None:
    collector.push(event(1))
    collector.close(timeout=0)


@pytest.mark.parametrize(
    "child", [uses_it, lambda collector: None, lambda collector: collector.status()]
)
def test_the_end_of_a_child_leaves_the_parent_its_leases(
    child: Callable[[Collector], None], tmp_path: Path
) -> None:
    spool = tmp_path / "spool.db"
    with running(one(plugin(down), spool)) as collector:
        collector.push(event(0))
        for _ in range(3):
            assert exit_status(in_fork(lambda: child(collector))) == 0
        others = Members(spool, ["there"])
        assert os.getpid() in [member.pid for member in others.living()]
        assert not Leases(spool, others.folder, others.token).acquire(THERE)
        others.close()
        collector.push(event(2))


def test_a_fork_waits_for_the_commit_under_way_in_another_thread(tmp_path: Path) -> None:
    record = Record()
    with running(flow({"there": (plugin(record.push), config())}, tmp_path / "spool.db")) as one:
        inside, goes_on, forked = threading.Event(), threading.Event(), threading.Event()
        statuses: list[int] = []

        def commit(db: object) -> None:
            inside.set()
            assert goes_on.wait(PATIENCE)

        def fork() -> None:
            pid = in_fork(lambda: one.push(event(1)))
            forked.set()
            statuses.append(exit_status(pid))

        spool = one._life.runtime.spool
        committing = threading.Thread(target=lambda: spool.core.commits.run(commit))  # type: ignore[attr-defined]  # of SQLite
        forking = threading.Thread(target=fork)
        committing.start()
        assert inside.wait(PATIENCE)
        forking.start()
        assert not forked.wait(0.1)
        goes_on.set()
        join(committing, forking)
        assert statuses == [0]
        one.push(event(2))
        record.wait_for(2)
    assert sorted(record.numbers) == [1, 2]


def test_fork_on_a_full_disk_leaves_the_spool_of_the_parent_in_use(tmp_path: Path) -> None:
    record = Record()
    with running(flow(plugin(record.push), tmp_path / "spool.db", queue_wait=300)) as collector:
        collector.push("a b")
        assert collector.flush(PATIENCE)
        with no_file_grows_beyond(4_096):
            assert exit_status(in_fork(lambda: None)) == 0
            with pytest.raises(SpoolError, match="make room"):
                collector.push("a b")
        collector.push("a b", id="after")
        assert collector.flush(PATIENCE)
        secure = collector._life.runtime.spool.core.commits.alone(  # type: ignore[union-attr]
            lambda db: db.execute("PRAGMA secure_delete").fetchone()
        )
        assert secure == (1,)
    assert "after" in [event["id"] for event in record.events]


def deleted(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    path.rename(path.with_name("moved"))
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE other (x)")


@pytest.mark.parametrize("harm", [deleted, replaced])
def test_fork_takes_no_other_file_for_a_spool_that_is_lost(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    path, record = tmp_path / "spool.db", Record()
    with running(flow(plugin(record.push), path, queue_wait=300)) as collector:
        collector.push("a b")
        assert collector.flush(PATIENCE)
        harm(path)
        before = path.exists() and path.read_bytes()
        assert exit_status(in_fork(lambda: None)) == 0
        lost = "the file was deleted .* while it was in use; .* restart it"
        with pytest.raises(SpoolError, match=lost):
            collector.push("a b")
        with pytest.raises(SpoolError, match=lost):
            collector.dead()
        assert "restart it" in collector.status().trouble
        assert (path.exists() and path.read_bytes()) == before


if __name__ == "__main__":
    main()
