"""Several processes on one path: each with a file of its own, and nothing left behind."""

import logging
from pathlib import Path

import pytest

from walker_collector import SpoolError
from walker_collector.config import SpoolConfig
from walker_collector.spool import NewEvent, State
from walker_collector.spool.sqlite import SqliteSpool
from walker_collector.spool.sqlite.slots import open_own, slot_path


def record(body: bytes = b"{}") -> NewEvent:
    return NewEvent("id:u1", 1, body, {"out": State.WAITING})


def accept(spool: SqliteSpool, count: int) -> None:
    spool.append([record()] * count, lambda accepted: None)


def shared(tmp_path: Path) -> SpoolConfig:
    return SpoolConfig(path=str(tmp_path / "spool.db"), shared=True)


def test_each_process_that_shares_a_path_takes_the_first_free_file(tmp_path: Path) -> None:
    spools = [open_own(shared(tmp_path)) for _ in range(3)]
    assert [spool.path.name for spool in spools] == ["spool.db", "spool.1.db", "spool.2.db"]
    spools[1].close()
    again = open_own(shared(tmp_path))
    assert again.path.name == "spool.1.db"
    for spool in (spools[0], spools[2], again):
        spool.close()


def test_a_path_that_is_not_shared_is_refused_to_a_second_process(tmp_path: Path) -> None:
    config = SpoolConfig(path=str(tmp_path / "spool.db"))
    first = open_own(config)
    with pytest.raises(SpoolError, match="in use by"):
        open_own(config)
    first.close()


def test_what_is_left_beside_the_configured_file_is_taken_over(tmp_path: Path) -> None:
    spools = [open_own(shared(tmp_path)) for _ in range(3)]
    for count, spool in enumerate(spools, 1):
        accept(spool, count)
    for spool in spools:
        spool.close()
    whole = open_own(shared(tmp_path))
    assert len(whole.load("out", 0, 100)) == 6
    assert not Path(slot_path(str(tmp_path / "spool.db"), 1)).exists()
    whole.close()


def test_a_file_left_behind_that_cannot_be_read_stays_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "spool.1.db"
    broken.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with caplog.at_level(logging.WARNING):
        spool = open_own(shared(tmp_path))
    spool.close()
    assert broken.exists()
    assert "spool.1.db stay there" in caplog.text
