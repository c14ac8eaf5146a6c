"""Files of a spool that somebody deletes while several processes use it: none does harm."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.core.processes.shop import Shop, delivered, shop
from tests.support import wait_until
from walker_collector import SpoolError
from walker_collector.config import SpoolConfig
from walker_collector.spool import NewEvent, State
from walker_collector.spool.base import Deliveries, Lease
from walker_collector.spool.processes.files import Loss
from walker_collector.spool.processes.keeper import LeaseKeeper
from walker_collector.spool.processes.membership import file_keeper
from walker_collector.spool.sqlite import SqliteSpool

YES = True
UNTIL_IT_FAILS = 9
CRM = Lease("crm", 0)


def folder_deleted(folder: Path) -> None:
    shutil.rmtree(folder / "spool.db.locks")


def folder_moved(folder: Path) -> None:
    (folder / "spool.db.locks").rename(folder / "moved")


def write_lock_deleted(folder: Path) -> None:
    (folder / "spool.db.locks" / "write").unlink()


def presence_deleted(folder: Path) -> None:
    (folder / "spool.db.locks" / "open").unlink()


def lock_replaced(folder: Path) -> None:
    path = folder / "spool.db.locks" / "write"
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


LOCKS = [folder_deleted, folder_moved, write_lock_deleted, presence_deleted, lock_replaced]


def opened(folder: Path) -> SqliteSpool:
    return SqliteSpool(SpoolConfig(path=str(folder / "spool.db")))


def append(spool: SqliteSpool, n: int) -> None:
    body = f'{{"n": {n}}}'.encode()
    spool.append([NewEvent("id:u", 1, body, {"out": State.WAITING})], lambda runs: None)


def fails(item: Shop, n: int) -> bool:
    return "restart it" in str(item.do("push", [{"id": "u1"}, n])[0])


@pytest.mark.parametrize("loss", LOCKS)
def test_processes_without_their_locks_leave_everything_to_new_ones(
    loss: Callable[[Path], None], tmp_path: Path
) -> None:
    user = {"id": "u1"}
    with ExitStack() as stack:
        old = [stack.enter_context(shop(tmp_path)) for _ in range(3)]
        old[0].do("consent", [user, YES])
        (tmp_path / "slow").touch()
        for n, each in enumerate(old):
            assert each.do("push", [user, n]) == ["accepted"]
        wait_until(lambda: (tmp_path / "began").exists())  # 0 is under way
        loss(tmp_path)
        for each in old:
            wait_until(partial(fails, each, UNTIL_IT_FAILS))
            assert fails(each, 99)
        with shop(tmp_path) as new:
            assert new.do("push", [user, 3]) == ["accepted"]
            (tmp_path / "slow").unlink()
            for each in old:
                each.process.communicate(timeout=20)
            assert new.do("flush", 20)
            sent = [(pid, n) for pid, _, n in delivered(tmp_path) if n != UNTIL_IT_FAILS]
            # What was under way may come twice, under one id; nothing else does.
            assert [n for pid, n in sent if pid == new.process.pid] == [0, 1, 2, 3]
            assert [n for pid, n in sent if pid != new.process.pid] in ([], [0])


@pytest.mark.parametrize("loss", LOCKS)
def test_no_event_is_lost_to_another_with_its_number(
    loss: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if both wrote before the loss was noticed.
    monkeypatch.setattr("walker_collector.spool.sqlite.spool_file._CHECKED_EVERY", 60)
    old = opened(tmp_path)
    append(old, 1)
    loss(tmp_path)
    new = opened(tmp_path)
    for n in (2, 4, 6):
        append(new, n)
        append(old, n + 1)
    stored = [entry.entry[3] for entry in new.load("out", 0, 100)]
    assert Counter(stored) == Counter(f'{{"n": {n}}}'.encode() for n in range(1, 8))
    new.close()
    old.close()


@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_no_second_log_is_begun_while_others_use_the_deleted_one(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walker_collector.spool.sqlite.spool_file._CHECKED_EVERY", 0)
    with shop(tmp_path, "accepts") as one:
        assert one.do("push", [{"id": "u1"}, 0]) == ["held"]
        here = opened(tmp_path)
        (tmp_path / f"spool.db{end}").unlink()
        with pytest.raises(SpoolError, match=f"spool.db{end} was deleted while other processes"):
            opened(tmp_path)
        with pytest.raises(SpoolError, match=f"spool.db{end} was deleted while it was in use"):
            append(here, 1)
        wait_until(lambda: fails(one, 1))
        here.close()
    one.process.wait(timeout=20)
    after = opened(tmp_path)
    assert after.counts() == {"out": {State.HELD: 1}}
    after.close()


def test_deleted_file_of_a_process_is_made_anew(tmp_path: Path) -> None:
    spool = tmp_path / "spool.db"
    one, other = keeper(spool), keeper(spool)
    one.look()
    other.look()
    for path in (tmp_path / "spool.db.locks").glob("*.process"):
        path.unlink()
    assert other.living() == []
    one.look()
    other.look()
    assert {member.token for member in one.living()} == {one.token, other.token}
    assert one.holders([CRM])[CRM].token == one.token
    assert one.holds(CRM)
    one.close()
    other.close()
    assert list((tmp_path / "spool.db.locks").glob("*.process")) == []


def keeper(spool: Path, loss: Callable[[], Loss] = lambda: Loss.NONE) -> LeaseKeeper:
    deliveries = Deliveries(lambda lease: None, lambda lease: True)
    return file_keeper(spool, ["crm"], 1, deliveries, loss)


def test_loss_of_the_locks_is_told_once_and_ends_the_leases(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = [Loss.NONE]
    one = keeper(tmp_path / "spool.db", lambda: found[0])
    one.look()
    found[0] = Loss.LOCKS
    for _ in range(3):
        one.look()
    assert not one.holds(CRM)
    assert one.leave()  # it takes nothing more, though it is alone
    assert caplog.text.count("its lock files were deleted or replaced") == 1
    one.close()


def test_process_with_a_lost_spool_keeps_what_it_delivers(tmp_path: Path) -> None:
    found = [Loss.NONE]
    one = keeper(tmp_path / "spool.db", lambda: found[0])
    one.look()
    found[0] = Loss.SPOOL
    shutil.rmtree(tmp_path / "spool.db.locks")
    one.look()
    assert not one.leave()
    one.close()


def test_the_same_trouble_of_looks_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[None] = []

    def fail() -> Loss:
        if looks:
            looks.append(None)
            raise OSError("unplugged")
        return Loss.NONE

    one = keeper(tmp_path / "spool.db", fail)
    one.start()
    looks.append(None)
    wait_until(lambda: len(looks) > 3)
    one.stop()
    assert caplog.text.count("the leases of this process could not be looked after") == 1
    looks.clear()
    one.close()
    assert os.listdir(tmp_path / "spool.db.locks")
