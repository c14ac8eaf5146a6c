"""The watcher: what another process has written is seen within milliseconds."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import exit_status, wait_until
from walker_collector.spool.processes.watcher import Watcher
from walker_collector.spool.processes.write_lock import WriteLock


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[WriteLock]:
    lock = WriteLock(tmp_path / "spool.db", 1)
    yield lock
    lock.close()


def test_a_commit_of_another_process_is_seen(tmp_path: Path, lock: WriteLock) -> None:
    seen = threading.Event()
    watcher = Watcher(lock.page, seen.set)
    watcher.start()
    pid = os.fork()
    if pid == 0:
        with WriteLock(tmp_path / "spool.db", 1):
            os._exit(0)  # as a kill between the commit and the word would: seen all the same
    assert exit_status(pid) == 0
    assert seen.wait(timeout=20)
    seen.clear()
    began = time.monotonic()
    with lock:
        pass
    assert seen.wait(timeout=20)
    assert time.monotonic() - began < 0.5
    watcher.close()


def test_a_look_that_fails_is_told_and_repeated(
    lock: WriteLock, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise OSError("disk")

    watcher = Watcher(lock.page, look)
    watcher.start()
    with lock:
        pass
    wait_until(lambda: len(looks) >= 2)
    watcher.close()
    assert "could not be read" in caplog.text
