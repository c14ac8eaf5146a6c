"""Troubles of the server: told with what to do, and over by themselves."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from attrs import evolve

from tests.postgres_server import PostgresServer
from tests.support import wait_until
from walker_collector import Collector
from walker_collector.errors import SpoolError
from walker_collector.sources.http import app
from walker_collector.spool import NewEvent, State
from walker_collector.spool.postgres import Place, open_spool


@pytest.fixture
def collector(place: Place, tmp_path: Path) -> Iterator[Collector]:
    """A collector that writes to a file, and waits a moment for the server."""
    file = {"package": "file", "config": {"settings": {"path": str(tmp_path / "out.ndjson")}}}
    spool = {"url": place.url, "schema": place.schema}
    flow = {
        "collector": {"spool": spool, "queueWait": 300},
        "destinations": {"log": file},
    }
    with Collector.from_config(flow) as collector:
        yield collector


def push(collector: Collector, n: int) -> None:
    collector.push("page view", data={"n": n}, user={"id": "ines"})


def reason(collector: Collector) -> str:
    return collector.status().destinations["log"].reason


@contextmanager
def locked(place: Place, table: str) -> Iterator[None]:
    """Keep everybody from a table."""
    with psycopg.connect(place.url) as other:
        other.execute(f"LOCK {place.schema}.{table}".encode())
        yield
        other.rollback()


@pytest.mark.parametrize("before", range(5))
def test_writes_succeed_again_whenever_they_began_to_fail(place: Place, before: int) -> None:
    spool = open_spool(place, wait=0.05)
    event = NewEvent("id:a", 1_000, b"{}", {"crm": State.WAITING}, mark=b"mark")
    try:
        for _ in range(before):  # some statements get prepared by the server, and then more
            spool.append([event], lambda runs: None)
        for _ in range(3):
            with locked(place, "accepted"), pytest.raises(SpoolError, match="writing for too long"):
                spool.append([event], lambda runs: None)
            spool.append([event], lambda runs: None)
    finally:
        spool.close()


def limited(place: Place, setting: str) -> Place:
    """The same place, where the server has a setting for the sessions."""
    open_spool(place).close()
    return evolve(place, url=f"{place.url}?options=-c%20{setting}")


def test_statement_timeout_that_is_too_short_is_named(place: Place) -> None:
    url = limited(place, "statement_timeout%3D20ms")
    told = "statement_timeout of the server, its database or user is too short"
    with locked(place, "writers"), pytest.raises(SpoolError, match=told):
        open_spool(url, wait=0.2)


def test_user_that_is_read_only_on_the_primary_is_told_of_its_setting(place: Place) -> None:
    url = limited(place, "default_transaction_read_only%3Don")
    with pytest.raises(SpoolError, match="see default_transaction_read_only of its user"):
        open_spool(url, wait=0.05)


def test_write_of_a_process_that_was_stopped_is_tried_again(place: Place) -> None:
    spool = open_spool(place, wait=0.0)  # the time for it is over as its connection is found lost
    event = NewEvent("id:a", 1_000, b"{}", {"crm": State.WAITING})
    try:
        spool.append([event], lambda runs: None)
        database = spool.core.session.database
        assert database is not None
        pid = database.connection.info.backend_pid
        with psycopg.connect(place.url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        spool.append([event], lambda runs: None)
        assert spool.size() == 2
    finally:
        spool.close()


def test_figures_tell_of_a_server_that_is_down_without_waiting_for_it(
    collector: Collector, postgres_server: PostgresServer
) -> None:
    push(collector, 1)
    assert collector.flush(20)
    assert reason(collector) == ""
    postgres_server.stop("fast")
    try:
        with pytest.raises(SpoolError, match="see whether the server runs"):
            push(collector, 2)
        wait_until(lambda: "see whether the server runs" in reason(collector))
        asked = [threading.Thread(target=collector.status) for _ in range(20)]
        for thread in asked:
            thread.start()
        for thread in asked:
            thread.join(timeout=5)
            assert not thread.is_alive()
    finally:
        postgres_server.start()
    wait_until(lambda: reason(collector) == "")
    push(collector, 3)
    assert collector.flush(20)


@pytest.mark.parametrize("spool", [{"deliver": False}, {"shards": 1}])
def test_process_is_unready_while_the_server_is_down(
    place: Place, postgres_server: PostgresServer, spool: dict[str, Any]
) -> None:
    options = {"spool": {"url": place.url, "schema": place.schema}, "queueWait": 300}
    flow = {"collector": options | spool, "destinations": {"log": {"package": "console"}}}
    with Collector.from_config(flow) as collector:
        application = app(collector)

        def ready() -> tuple[int, bytes]:
            status, _, body = application.respond("GET", "/ready", {})
            return status, body

        assert ready()[0] == 200
        postgres_server.stop("fast")
        try:
            wait_until(lambda: ready()[0] == 503)
            assert b"the spool cannot be used just now" in ready()[1]
            assert b"postgres" not in ready()[1]  # anybody may ask
        finally:
            postgres_server.start()
        wait_until(lambda: ready()[0] == 200)


def test_batch_that_cannot_be_claimed_is_not_tried_at_once_for_ever(
    collector: Collector, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []
    claim = collector._life.runtime.spool.claim  # type: ignore[union-attr]

    def counted(*args: Any) -> Any:
        tried.append(args)
        return claim(*args)

    monkeypatch.setattr(collector._life.runtime.spool, "claim", counted)
    with psycopg.connect(place.url, autocommit=True) as other:
        pids = "SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory'"
        other.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM ({pids}) AS found")
    push(collector, 1)
    assert collector.flush(20)
    assert len(tried) < 50  # it was thousands


def test_outage_is_logged_once_and_its_end(
    collector: Collector, postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    def all_have_noticed() -> bool:
        spool: Any = collector._life.runtime.spool  # type: ignore[union-attr]
        membership = spool._membership
        sessions = [spool.core.session, spool._direct, membership._session._session]
        return all(session.trouble for session in sessions)

    push(collector, 1)
    assert collector.flush(20)
    caplog.clear()
    postgres_server.stop("fast")
    try:
        with pytest.raises(SpoolError):
            push(collector, 2)
        wait_until(all_have_noticed)
    finally:
        postgres_server.start()
    wait_until(lambda: reason(collector) == "")
    push(collector, 3)
    assert collector.flush(20)
    began, ended = [record.getMessage() for record in caplog.records]
    assert "see whether the server runs and this machine reaches it; accepted events are" in began
    assert "safe; it is tried again until it succeeds" in began
    assert "connected to the server again after" in ended
