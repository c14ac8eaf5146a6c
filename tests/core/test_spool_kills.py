"""A spool whose process is killed at each of its statements, one after the other."""

import os
import shutil
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from tests.support import exit_status
from walker_collector.config import SpoolConfig
from walker_collector.spool import DeliveryState, Entry, NewEvent, SpoolUpdate, State, UpdateKind
from walker_collector.spool.sqlite import SqliteSpool
from walker_collector.spool.sqlite.spool_file import SpoolFile

ANN, BEN = "id:ann-4711", "id:ben"
STEPS_MAX = 200
armed = threading.Event()
"""Set in a child from the moment on that its statements count."""


def opened(path: Path) -> "closing[SqliteSpool]":
    return closing(SqliteSpool(SpoolConfig(path=str(path))))


def append(spool: SqliteSpool, *bodies: str, person: str = BEN) -> list[Entry]:
    entries: list[Entry] = []
    spool.append(
        [NewEvent(person, 1, body.encode(), {"a": State.WAITING}) for body in bodies],
        lambda runs: entries.extend(entry for run, _ in runs for entry in run),
    )
    return entries


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A spool with two events of Ann, two of Ben, and a dead one of Ben."""
    path = tmp_path / "base" / "spool.db"
    path.parent.mkdir()
    with opened(path) as spool:
        append(spool, '"ann-4711-1"', '"ann-4711-2"', person=ANN)
        append(spool, '"ben-1"', '"ben-2"')
        (entry,) = append(spool, '"ben-3"')
        spool.settle("a", [SpoolUpdate(entry, UpdateKind.DEAD, DeliveryState(1), 1)])
    return path


def bodies(spool: SqliteSpool) -> Counter[str]:
    letters = [letter.body for letter in spool.dead()]
    waiting = [item.entry[3] for item in spool.load("a", 0, 99)]
    return Counter(body.decode() for body in [*letters, *waiting])


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Run work in a forked child, killed as it begins its n-th statement; return whether it was."""
    pid = os.fork()
    if pid == 0:
        try:
            _kill_at(step)
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    status = exit_status(pid)
    assert status in (0, -signal.SIGKILL)
    return status != 0


def _kill_at(step: int) -> None:
    """Kill this process at its n-th statement; a later process sees what was written until then."""
    steps, connect = count(1), SpoolFile.connect

    def trace(statement: str) -> None:
        if armed.is_set() and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def traced(self: SpoolFile) -> sqlite3.Connection:
        connection = connect(self)
        connection.set_trace_callback(trace)
        return connection

    SpoolFile.connect = traced  # type: ignore[method-assign]  # in a process that ends here


def at_each_step(
    base: Path, work: Callable[[Path], object], check: Callable[[Path], object]
) -> None:
    """Do some work on a copy of a spool, killed at each step; check the copy each time."""
    for step in range(1, STEPS_MAX):
        path = base.parent.parent / str(step) / "spool.db"
        shutil.copytree(base.parent, path.parent)
        killed = killed_at(step, lambda path=path: work(path))  # type: ignore[misc]
        check(path)
        if not killed:
            assert step > 3
            return
    raise AssertionError(f"more than {STEPS_MAX} steps")


def test_group_is_stored_as_a_whole_or_not_at_all(base: Path) -> None:
    told = base.parent.parent / "told"

    def work(path: Path) -> None:
        with opened(path) as spool:
            armed.set()
            append(spool, '"new-1"', '"new-2"')
            told.touch()

    def check(path: Path) -> None:
        with opened(path) as spool:
            found = bodies(spool)
            new = found['"new-1"']
            assert (new, found['"new-2"']) in ((0, 0), (1, 1))
            assert spool.size() == 5 + 2 * new
            assert new or not told.exists()
        told.unlink(missing_ok=True)

    at_each_step(base, work, check)


def test_update_is_written_as_a_whole_or_not_at_all(base: Path) -> None:
    def work(path: Path) -> None:
        with opened(path) as spool:
            armed.set()
            first, second, third, _ = (item.entry for item in spool.load("a", 0, 99))
            delivery = DeliveryState(1, reason="no")
            spool.settle(
                "a",
                [
                    SpoolUpdate(first, UpdateKind.ACKED),
                    SpoolUpdate(second, UpdateKind.HELD, delivery, 1),
                    SpoolUpdate(third, UpdateKind.DEAD, delivery, 1),
                ],
            )

    def check(path: Path) -> None:
        with opened(path) as spool:
            assert spool.counts()["a"] in (
                {State.WAITING: 4, State.DEAD: 1},
                {State.WAITING: 1, State.HELD: 1, State.DEAD: 2},
            )

    at_each_step(base, work, check)


def test_dead_letter_is_dead_or_waits_again(base: Path) -> None:
    def work(path: Path) -> None:
        with opened(path) as spool:
            armed.set()
            spool.requeue(spool.dead())

    def check(path: Path) -> None:
        with opened(path) as spool:
            assert spool.counts()["a"] in ({State.WAITING: 4, State.DEAD: 1}, {State.WAITING: 5})

    at_each_step(base, work, check)


def test_erasure_that_was_killed_leaves_all_or_nothing_and_no_trace_once_repeated(
    base: Path,
) -> None:
    def work(path: Path) -> None:
        with opened(path) as spool:
            armed.set()
            spool.erase([ANN])
            spool.compact()

    def check(path: Path) -> None:
        with opened(path) as spool:
            assert spool.size() in (3, 5)
            assert sum(bodies(spool).values()) == spool.size()
            spool.erase([ANN])
            spool.compact()
            assert bodies(spool) == Counter(['"ben-1"', '"ben-2"', '"ben-3"'])
        assert not any(
            b"ann-4711" in file.read_bytes() for file in path.parent.iterdir() if file.is_file()
        )

    at_each_step(base, work, check)
