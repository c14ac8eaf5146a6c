"""The write-ahead log: kept short without keeping anybody waiting, and the file small."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.support import PATIENCE, until
from walker_collector.config import SpoolConfig
from walker_collector.spool import Entry, NewEvent, State
from walker_collector.spool.sqlite import SqliteSpool


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
def spool(path: Path) -> Iterator[SqliteSpool]:
    spool = SqliteSpool(SpoolConfig(path=str(path)))
    yield spool
    spool.close()


def append(spool: SqliteSpool, count: int = 1) -> list[Entry]:
    entries: list[Entry] = []
    records = [NewEvent("id:u1", 1, b"x" * 2_000, {"there": State.WAITING})] * count
    spool.append(records, lambda runs: entries.extend(entry for run, _ in runs for entry in run))
    return entries


def frames(spool: SqliteSpool) -> int:
    """Return how many pages the log has, after writing back what can be."""
    (row,) = spool.core.commits.alone(lambda db: db.execute("PRAGMA wal_checkpoint").fetchall())
    return int(row[1])


def test_log_begins_anew_however_many_events_pass(
    spool: SqliteSpool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walker_collector.spool.sqlite.checkpointer.LONG_LOG", 1_000_000)
    for _ in range(40):
        spool.ack("there", append(spool, 100))
    assert path.with_name("spool.db-wal").stat().st_size < 3_000_000


def test_most_is_written_back_while_others_write(spool: SqliteSpool, path: Path) -> None:
    append(spool, 1_000)
    assert path.stat().st_size < 1_000_000
    worker = threading.Thread(target=spool.core.checkpointer.write_back)
    with spool.core.commits.turn:  # somebody writes
        worker.start()
        until(lambda: path.stat().st_size > 2_000_000)
    worker.join(PATIENCE)
    append(spool)
    assert frames(spool) < 10


def test_nobody_waits_for_who_writes_back_already(spool: SqliteSpool) -> None:
    append(spool, 100)
    with spool.core.checkpointer.turn:
        spool.core.checkpointer.write_back()
    assert frames(spool) > 50


def test_what_cannot_be_written_back_is_safe_in_the_log(spool: SqliteSpool, path: Path) -> None:
    append(spool, 100)
    spool.core.checkpointer.connection.close()
    spool.core.checkpointer.write_back()
    append(spool)
    spool.close()
    again = SqliteSpool(SpoolConfig(path=str(path)))
    assert again.size() == 101
    again.close()


def test_who_waits_to_write_is_let_in_while_a_file_shrinks(
    spool: SqliteSpool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walker_collector.spool.sqlite.checkpointer._VACUUM_PAGES", 20)
    entries = [entry for _ in range(20) for entry in append(spool, 500)]
    spool.core.checkpointer.write_back()
    large = path.stat().st_size
    over: list[str] = []

    def finish() -> None:
        spool.ack("there", entries)
        over.append("finished")

    def push() -> None:
        until(lambda: spool.size() == 0)
        append(spool)
        over.append("accepted")

    threads = [threading.Thread(target=target) for target in (push, finish)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert over == ["accepted", "finished"]
    assert path.stat().st_size < large / 2


def test_file_is_closed_with_the_spool(path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    spool = SqliteSpool(SpoolConfig(path=str(path)))
    append(spool)
    spool.close()
    assert set(os.listdir("/proc/self/fd")) == before
