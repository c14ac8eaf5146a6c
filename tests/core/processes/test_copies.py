"""A spool that is backed up while processes use it, moved, or left without its lock files."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.core.processes.shop import Shop, delivered, shop
from tests.support import python, wait_until

BACKUP = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as db, sqlite3.connect(sys.argv[2]) as copy:
    db.backup(copy)
"""


def grant(item: Shop) -> None:
    """Let the person of the held events agree."""
    item.do("consent", [{"id": "u1"}, True])


def hold(item: Shop, *numbers: int) -> None:
    answers = item.do("push", *[[{"id": "u1"}, n] for n in numbers])
    assert set(answers) == {"held"}


def numbers(folder: Path) -> list[int]:
    return [n for _, _, n in delivered(folder)]


def test_backup_that_is_made_while_processes_write_is_a_spool(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    with shop(here) as one, shop(here) as other:
        hold(one, 0)
        hold(other, 1)
        one.send("push", *[[{"id": "u2"}, n] for n in range(500)])
        python(BACKUP, here / "spool.db", there / "spool.db")
        one.answer()
        grant(other)
        wait_until(lambda: numbers(here) == [0, 1])
    with shop(there) as restored:
        grant(restored)
        wait_until(lambda: numbers(there) == [0, 1])
    with closing(sqlite3.connect(there / "spool.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_spool_that_is_moved_keeps_everything(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    with shop(here) as one:
        hold(one, 0, 1)
        one.process.kill()
        one.process.wait(20)
    for name in ("spool.db", "spool.db-wal"):  # after a kill, with the log
        (here / name).rename(there / name)
    with shop(there) as moved:
        grant(moved)
        wait_until(lambda: numbers(there) == [0, 1])


def test_lock_files_may_be_deleted_while_nobody_uses_the_spool(tmp_path: Path) -> None:
    with shop(tmp_path) as one:
        hold(one, 0)
        one.process.communicate(timeout=20)
    shutil.rmtree(tmp_path / "spool.db.locks")
    with shop(tmp_path) as one, shop(tmp_path) as other:
        hold(other, 1)
        grant(one)
        wait_until(lambda: numbers(tmp_path) == [0, 1])
