"""Processes that open a spool at the same moment: each finds it whole, or says why not."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.support import PATIENCE, program
from walker_collector.config import SpoolConfig
from walker_collector.spool import NewEvent, SpoolBusy, State
from walker_collector.spool.processes.write_lock import WriteLock
from walker_collector.spool.sqlite import SqliteSpool

ROOT = Path(__file__).parents[3]
COUNT = 3
OPEN = """
import logging, sys
from walker_collector import SpoolError
from walker_collector.config import SpoolConfig
from walker_collector.spool import NewEvent, State
from walker_collector.spool.sqlite import SqliteSpool

logging.basicConfig()
print("ready", flush=True)
sys.stdin.readline()
try:
    spool = SqliteSpool(SpoolConfig(path=sys.argv[1]))
    spool.append([NewEvent("id:u", 1, b"{}", {"out": State.WAITING})], lambda runs: None)
    spool.close()
    print("stored")
except SpoolError as error:
    print(error)
"""


def opened_at_once(path: Path) -> list[tuple[str, str]]:
    """Have processes open a spool at once; return what each says, and logs."""
    command = [sys.executable, "-c", OPEN, path]
    with ExitStack() as stack:
        found = [
            stack.enter_context(program(command, cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=PIPE))
            for _ in range(COUNT)
        ]
        for process in found:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        answers: list[tuple[str, str]] = []
        threads = [
            threading.Thread(target=lambda each=each: answers.append(ended(each))) for each in found
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    return answers


def ended(process: "subprocess.Popen[str]") -> tuple[str, str]:
    out, log = process.communicate("\n", timeout=PATIENCE)
    return out.strip(), log


@pytest.mark.parametrize("exists", [False, True])
def test_a_new_spool_is_made_once(exists: bool, tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    if exists:  # as a process leaves it that ended just after it had made the file
        path.touch()
    assert opened_at_once(path) == [("stored", "")] * COUNT
    with closing(SqliteSpool(SpoolConfig(path=str(path)))) as spool:
        assert spool.counts() == {"out": {State.WAITING: COUNT}}


def test_the_wait_for_another_opening_has_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spool.db"
    monkeypatch.setattr("walker_collector.spool.sqlite.open_files._OPENING", 0.1)
    lock = WriteLock(path, PATIENCE)
    message = rf"process {os.getpid()} has been opening it, or writing to it, for 0\.1 s"
    with lock, pytest.raises(SpoolBusy, match=message):
        SqliteSpool(SpoolConfig(path=str(path)))
    SqliteSpool(SpoolConfig(path=str(path))).close()
    lock.close()


def of_an_older_format(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 3")


def torn(path: Path) -> None:
    pages = bytearray(path.read_bytes())
    pages[4096:] = b"\xff" * (len(pages) - 4096)
    path.write_bytes(pages)


@pytest.mark.parametrize(
    ("change", "reason"),
    [(of_an_older_format, "written by an older walker-collector"), (torn, "corrupt")],
)
def test_a_file_that_cannot_be_used_is_refused_by_each(
    change: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "spool.db"
    with closing(SqliteSpool(SpoolConfig(path=str(path)))) as spool:
        event = NewEvent("id:u", 1, b"x" * 10_000, {"out": State.WAITING})
        spool.append([event], lambda runs: None)
    change(path)
    before = path.read_bytes()
    answers = opened_at_once(path)
    assert len(answers) == COUNT
    assert all(reason in said and log == "" for said, log in answers), answers
    assert path.read_bytes() == before
