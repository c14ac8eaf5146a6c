"""Erasures while several real processes use a spool: none is left halfway, whoever is killed."""

import os
import signal
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.core.processes.shop import Shop, calls_under_way, delivered, shop
from tests.core.support import PATIENCE, config, event, flow, plugin
from tests.support import wait_until
from walker_collector import Collector, hookimpl
from walker_collector.config import SpoolConfig
from walker_collector.errors import SpoolError
from walker_collector.moments import now_ms
from walker_collector.people import erasure
from walker_collector.people.consent import ConsentStore
from walker_collector.people.erasure import Erasure
from walker_collector.spool import NewEvent, State
from walker_collector.spool.sqlite import SqliteSpool

YES, NO = True, False
ANA, BEN = {"id": "ana"}, {"id": "ben"}


def numbers(folder: Path, person: str) -> list[int]:
    return [n for _, who, n in delivered(folder) if who == person]


def begin_slow_call(folder: Path, item: Shop) -> None:
    """Have a call with an event of Ana's under way."""
    item.do("consent", [ANA, YES], [BEN, YES])
    (folder / "slow").touch()
    item.do("push", [ANA, 0])
    wait_until(lambda: (folder / "began").exists())


def until_empty(*shops: Shop) -> None:
    """Wait until these processes see no events."""
    nothing = {"waiting": 0, "held": 0, "dead": 0}
    wait_until(lambda: all(each.do("status") == nothing for each in shops))


def traces(folder: Path, word: bytes) -> list[str]:
    """Return the files of the spool that have a word."""
    return [
        path.name for path in folder.glob("spool.db*") if path.is_file() and word in _bytes(path)
    ]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def test_an_erasure_waits_a_second_for_a_call_of_another_process(tmp_path: Path) -> None:
    with shop(tmp_path) as one, shop(tmp_path) as other:
        begin_slow_call(tmp_path, one)
        other.do("push", [ANA, 1], [ANA, 2])
        began = time.monotonic()
        assert other.do("forget", ANA) == 3
        assert 0.9 < time.monotonic() - began < 10
        other.do("consent", [ANA, YES])
        other.do("push", [ANA, 3], [BEN, 0])
        (tmp_path / "slow").unlink()
        wait_until(lambda: numbers(tmp_path, "ana") == [0, 3])
        until_empty(one, other)


@pytest.mark.parametrize("end", ["down", "refused"])
def test_a_call_that_fails_after_the_erasure_leaves_nothing_of_its_person(
    end: str, tmp_path: Path
) -> None:
    with shop(tmp_path) as one, shop(tmp_path) as other:
        begin_slow_call(tmp_path, one)
        assert other.do("forget", ANA) == 1
        (tmp_path / end).touch()
        (tmp_path / "slow").unlink()
        wait_until(lambda: (tmp_path / "ended").exists())
        (tmp_path / end).unlink()
        other.do("push", [BEN, 0])
        wait_until(lambda: numbers(tmp_path, "ben") == [0])
        until_empty(one, other)
        assert numbers(tmp_path, "ana") == []
        wait_until(lambda: calls_under_way(tmp_path) == 0)
        assert traces(tmp_path, b"ana") == []


def test_an_erasure_whose_process_is_killed_is_finished_by_another(tmp_path: Path) -> None:
    with shop(tmp_path) as one, shop(tmp_path) as other, shop(tmp_path) as third:
        begin_slow_call(tmp_path, one)
        dying, living = (other, third)
        living.do("push", [ANA, 1], [ANA, 2])
        dying.send("forget", ANA)  # it waits for the call under way
        with closing(sqlite3.connect(tmp_path / "spool.db")) as db:
            wait_until(lambda: db.execute("SELECT count(*) FROM pending_erasures").fetchone()[0])
            dying.process.send_signal(signal.SIGKILL)
            dying.process.wait(20)
            began = time.monotonic()
            wait_until(
                lambda: db.execute("SELECT count(*) FROM pending_erasures").fetchone()[0] == 0
            )
            assert time.monotonic() - began < 5
            assert db.execute("SELECT count(*) FROM events WHERE person = 'id:ana'").fetchone() == (
                0,
            )
        (tmp_path / "slow").unlink()
        assert living.do("push", [ANA, 3]) == ["held"]  # her grant is erased, too
        living.do("consent", [ANA, YES])
        wait_until(lambda: numbers(tmp_path, "ana")[-1:] == [3])
        assert numbers(tmp_path, "ana") in ([0, 3], [3])
        assert not list((tmp_path / "spool.db.locks").glob("*.erasure"))


@pytest.fixture
def spool(tmp_path: Path) -> SqliteSpool:
    return SqliteSpool(SpoolConfig(path=str(tmp_path / "spool.db")))


def erasure_of(spool: SqliteSpool) -> Erasure:
    return Erasure({}, ConsentStore(spool, {}, 100, now_ms), spool)


def test_an_erasure_under_way_is_left_to_its_process(spool: SqliteSpool, tmp_path: Path) -> None:
    with (
        closing(spool),
        closing(SqliteSpool(SpoolConfig(path=str(tmp_path / "spool.db")))) as other,
    ):
        name = spool.begin_erasure()
        spool.schedule_erasure({"id:ana"}, name)
        assert other.adopt_erasures(other.begin_erasure()) == set()
        spool.end_erasure(name)
        adopting = other.begin_erasure()
        assert other.adopt_erasures(adopting) == {"id:ana"}
        assert spool.adopt_erasures(spool.begin_erasure()) == set()


def test_an_erasure_that_the_spool_refuses_is_taken_back(
    spool: SqliteSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(keys: set[str]) -> None:
        raise SpoolError("disk full")

    with closing(spool):
        monkeypatch.setattr(spool, "erase", refuse)
        with pytest.raises(SpoolError):
            erasure_of(spool).erase({"id:ana"})
        assert spool.pending_erasures() == set()


def test_an_erasure_is_done_when_nobody_reads_the_log_any_more(
    spool: SqliteSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "_SCRUB_WAIT", 0.1)
    ana = NewEvent("id:ana", now_ms(), b'{"name": "ana"}', {"there": State.WAITING})
    with closing(spool), closing(sqlite3.connect(tmp_path / "spool.db")) as reader:
        spool.append([ana], lambda runs: None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM events").fetchall()
        with pytest.raises(SpoolError, match="1 event erased, but a copy may be left"):
            erasure_of(spool).erase({"id:ana"})
        assert traces(tmp_path, b"ana") == ["spool.db-wal"]
        began = time.monotonic()
        spool.append(
            [NewEvent("id:ben", now_ms(), b"{}", {"there": State.WAITING})], lambda _: None
        )
        assert time.monotonic() - began < 5  # nobody has to wait for the reader
        reader.execute("ROLLBACK")
        assert erasure_of(spool).erase({"id:ana"}).count == 0
        assert traces(tmp_path, b"ana") == []


def test_a_forked_child_keeps_no_erasure_of_its_parent_under_way(spool: SqliteSpool) -> None:
    with closing(spool):
        spool.schedule_erasure({"id:ana"}, spool.begin_erasure())
        spool.pause()
        read, write = os.pipe()
        if not (child := os.fork()):  # pragma: no cover  # in the child
            spool.abandon()
            os.read(read, 1)
            os._exit(0)
        spool.resume()
        try:
            spool.core.files.erasure_locks.abandon()  # as a kill does
            name = spool.begin_erasure()
            wait_until(
                lambda: spool.adopt_erasures(name) == {"id:ana"}
            )  # the child closes its copy
        finally:
            os.write(write, b"x")
            os.waitpid(child, 0)  # bounded: the pipe ends it
            os.close(read)
            os.close(write)


def test_destinations_of_other_processes_drop_their_memory_of_everybody(tmp_path: Path) -> None:
    heard: list[Any] = []

    def erased(self: Any, person: Any, context: Any) -> None:
        heard.append(person and person.id)

    remembering = plugin(lambda event, context: None, erased=hookimpl(erased))
    the_flow = flow({"there": (remembering, config())}, tmp_path / "spool.db")
    with Collector(the_flow), Collector(the_flow) as other:
        other.forget(ANA)
        wait_until(lambda: sorted(heard, key=str) == [None, "ana"])


@pytest.mark.parametrize("accepts", ["deliverer", "other"])
def test_a_push_that_waits_is_told_that_another_process_has_erased_its_person(
    accepts: str, tmp_path: Path
) -> None:
    begun, gate = threading.Event(), threading.Event()

    def push(event: dict[str, Any], context: Any) -> None:
        begun.set()
        assert gate.wait(PATIENCE)

    the_flow = flow({"there": (plugin(push), config())}, tmp_path / "spool.db")
    with (
        Collector(the_flow) as deliverer,
        Collector(the_flow) as other,
        Collector(the_flow) as third,
        ThreadPoolExecutor() as pool,
    ):
        deliverer.push(event(0, "ben"))
        assert begun.wait(PATIENCE)
        where = deliverer if accepts == "deliverer" else other
        answer = pool.submit(where.push, event(1, "ana"), wait=True, timeout=PATIENCE)
        wait_until(lambda: where.status().accepted == (2 if where is deliverer else 1))
        assert third.forget(ANA) == 1
        try:
            assert answer.result(PATIENCE).reasons == {"there": "its person was erased"}
        finally:
            gate.set()
