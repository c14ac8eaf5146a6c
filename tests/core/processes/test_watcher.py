"""The watcher: what another process has written is seen at once, and silence costs nothing."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support import PATIENCE, exit_status, wait_until
from walker_collector.spool.processes.futex import Futex
from walker_collector.spool.processes.page import NAPPER
from walker_collector.spool.processes.watcher import Watcher
from walker_collector.spool.processes.write_lock import WriteLock


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@contextmanager
def opened(spool: Path) -> Iterator[WriteLock]:
    """A lock as that of another process: it has a token of its own."""
    lock = WriteLock(spool, 1)
    try:
        yield lock
    finally:
        lock.close()


@contextmanager
def watched(lock: WriteLock, look: Callable[[], None]) -> Iterator[Watcher]:
    watcher = Watcher(lock, threading.Lock(), look)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.close()


def write(lock: WriteLock) -> None:
    with lock:
        pass


def test_a_sleeping_process_sees_a_commit_of_another_at_once(spool: Path) -> None:
    seen = threading.Event()
    with opened(spool) as lock, opened(spool) as other, watched(lock, seen.set):
        for _ in range(3):
            wait_until(lambda: lock.page.words[NAPPER] != 0)
            began = time.monotonic()
            write(other)
            assert seen.wait(timeout=PATIENCE)
            assert time.monotonic() - began < 0.5  # the longest sleep is a second
            seen.clear()


@pytest.mark.parametrize("writer", [0, 1, 2])
def test_every_sleeping_process_is_woken(spool: Path, writer: int) -> None:
    with ExitStack() as stack:
        locks = [stack.enter_context(opened(spool)) for _ in range(3)]
        seen = [threading.Event() for _ in locks]
        for lock, event in zip(locks, seen, strict=True):
            stack.enter_context(watched(lock, event.set))
        wait_until(lambda: locks[0].page.words[NAPPER] == -1)
        began = time.monotonic()
        write(locks[writer])
        assert all(event.wait(timeout=PATIENCE) for at, event in enumerate(seen) if at != writer)
        assert time.monotonic() - began < 0.5


def test_own_commits_wake_nobody(spool: Path) -> None:
    looks: list[int] = []
    with opened(spool) as lock, watched(lock, lambda: looks.append(1)):
        wait_until(lambda: lock.page.words[NAPPER] != 0)
        token = lock.page.words[NAPPER]
        for _ in range(100):
            write(lock)
        assert lock.page.words[NAPPER] == token
    assert not looks


def test_a_commit_whose_writer_was_killed_is_seen(spool: Path) -> None:
    seen = threading.Event()
    with opened(spool) as lock, watched(lock, seen.set):
        pid = os.fork()
        if pid == 0:
            with WriteLock(spool, 1):
                os._exit(0)  # as a kill between the commit and its count would
        assert exit_status(pid) == 0
        assert seen.wait(timeout=PATIENCE)
        assert lock.page.writer < 0  # and noted, before anybody else writes


def test_a_system_without_futex_looks_again_and_again(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Futex, "works", False)
    seen = threading.Event()
    with opened(spool) as lock, opened(spool) as other, watched(lock, seen.set):
        wait_until(lambda: lock.page.words[NAPPER] != 0)
        write(other)
        assert seen.wait(timeout=PATIENCE)


def test_a_sleeping_watcher_is_closed_at_once(spool: Path) -> None:
    with opened(spool) as lock, watched(lock, lambda: None) as watcher:
        wait_until(lambda: lock.page.words[NAPPER] != 0)
        began = time.monotonic()
        watcher.close()
        assert time.monotonic() - began < 0.5


def test_a_look_that_fails_is_told_and_repeated(
    spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise OSError("disk")

    with opened(spool) as lock, opened(spool) as other, watched(lock, look):
        write(other)
        wait_until(lambda: len(looks) >= 2)
    assert "could not be read" in caplog.text
