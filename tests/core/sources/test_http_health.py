"""What load balancers ask of the source `http`: `/health` and `/ready`."""

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import wait_until
from walker_collector import Collector, DestinationDown, SpoolError, hookimpl
from walker_collector.plugins import Registry
from walker_collector.sources.http import Settings, app
from walker_collector.sources.http.app import App


def asked(application: App, path: str, method: str = "GET") -> tuple[int, Any, httpx.Headers]:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://walker") as client:
            return await client.request(method, path)

    answer = asyncio.run(asyncio.wait_for(ask(), 20))
    return answer.status_code, answer.json() if answer.content else None, answer.headers


@contextmanager
def blocked(**options: Any) -> Iterator[Collector]:
    """Open a collector whose one destination waits for the end of the block."""
    go = threading.Event()

    class Blocked:
        @hookimpl
        def push(self, event: Any) -> None:
            go.wait(20)

    registry = Registry()
    registry.register("blocked", Blocked)
    raw = {"collector": options, "destinations": {"slow": {"package": "blocked"}}}
    with Collector.from_config(raw, registry=registry) as collector:
        try:
            yield collector
        finally:
            go.set()


def test_process_that_answers_is_healthy_and_ready() -> None:
    with blocked() as collector:
        application = app(collector)
        assert asked(application, "/health")[:2] == (200, {"status": "ok"})
        assert asked(application, "/ready")[:2] == (200, {"status": "ok"})


def test_health_is_told_where_the_settings_say() -> None:
    with blocked() as collector:
        application = app(collector, Settings(health_path="/up"))
        assert asked(application, "/up")[0] == 200
        assert asked(application, "/health")[0] == 404


@pytest.mark.parametrize("where", ["memory", "spool"])
def test_process_without_room_is_healthy_and_not_ready(where: str, tmp_path: Path) -> None:
    spool = {"spool": {"path": str(tmp_path / "spool.db"), "maxEvents": 2}}
    bounds = {"queueMax": 2} if where == "memory" else spool
    with blocked(queueWait=1, **bounds) as collector:
        application = app(collector)
        results = [collector.push_many([{"name": "a b"}])[0] for _ in range(5)]
        assert "SpoolFull" in {type(result).__name__ for result in results}
        status, body, headers = asked(application, "/ready")
        assert (status, body["reason"]) == (503, "there is no room for events")
        assert headers["Retry-After"] == "1"
        assert asked(application, "/health")[0] == 200


NO_SPOOL = "the spool cannot be used just now; the log says why"


def readiness(application: App) -> tuple[int, str]:
    status, body, _ = asked(application, "/ready")
    return status, body.get("reason", "")


def test_process_whose_disk_is_full_is_not_ready_until_a_write_succeeds(small_disk: Path) -> None:
    with blocked(spool={"path": str(small_disk / "spool.db")}, queueWait=1) as collector:
        application, ballast = app(collector), small_disk / "ballast"
        with suppress(OSError):
            ballast.write_bytes(b"x" * 4_000_000)
        with pytest.raises(SpoolError, match="the disk is full"):
            collector.push("a b", data={"text": "x" * 100_000})
        assert readiness(application) == (503, NO_SPOOL)
        status = collector.status()
        assert "spool.db: database or disk is full; the disk is full or failing" in status.trouble
        assert status.destinations["slow"].reason == status.trouble
        ballast.unlink()
        collector.push("a b")
        assert readiness(application) == (200, "")


def test_process_whose_disk_was_full_is_tried_again_after_a_while(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walker_collector.spool.sqlite.group_commit._TROUBLED", 0.5)
    with blocked(spool={"path": str(small_disk / "spool.db")}, queueWait=1) as collector:
        with suppress(OSError):
            (small_disk / "ballast").write_bytes(b"x" * 4_000_000)
        with pytest.raises(SpoolError):
            collector.push("a b", data={"text": "x" * 100_000})
        wait_until(lambda: readiness(app(collector)) == (200, ""))
        with pytest.raises(SpoolError):
            collector.push("a b", data={"text": "x" * 100_000})
        assert readiness(app(collector)) == (503, NO_SPOOL)
        (small_disk / "ballast").unlink()


def deleted(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def log_deleted(path: Path) -> None:
    path.with_name("spool.db-wal").unlink()


def locks_deleted(path: Path) -> None:
    shutil.rmtree(path.with_name("spool.db.locks"))


@pytest.mark.parametrize("harm", [deleted, replaced, emptied, log_deleted, locks_deleted])
def test_process_whose_spool_is_lost_is_not_ready_though_nobody_pushes(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "spool.db"
    with blocked(spool={"path": str(path)}, closeTimeout=1) as collector:
        collector.push("a b")
        assert readiness(app(collector)) == (200, "")
        harm(path)
        assert readiness(app(collector)) == (503, NO_SPOOL)
        assert "this process can store nothing more in it: restart it" in collector.status().trouble


def test_process_whose_spool_is_lost_says_so_in_the_log_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "spool.db"
    with blocked(spool={"path": str(path)}, closeTimeout=1) as collector:
        path.rename(path.with_name("moved"))
        wait_until(lambda: "its file was deleted, moved, replaced or emptied" in caplog.text)
        path.with_name("moved").rename(path)
        assert readiness(app(collector)) == (200, "")
        collector.push("a b")
    assert caplog.text.count("its file was deleted") == 1


def test_process_whose_destination_cannot_be_initialised_is_not_ready() -> None:
    class Down:
        @hookimpl
        def init(self) -> None:
            raise DestinationDown("the key is wrong: k-secret")

        @hookimpl
        def push(self, event: Any) -> None: ...

    registry = Registry()
    registry.register("down", Down)
    raw = {"collector": {"closeTimeout": 0}, "destinations": {"crm": {"package": "down"}}}
    with Collector.from_config(raw, registry=registry) as collector:
        application = app(collector)
        collector.push("a b")
        wait_until(lambda: asked(application, "/ready")[0] == 503)
        assert asked(application, "/ready")[1]["reason"] == "cannot be initialised: crm"


def test_process_whose_destination_goes_down_later_is_ready() -> None:
    class Down:
        @hookimpl
        def push(self, event: Any) -> None:
            raise DestinationDown("the key is wrong")

    registry = Registry()
    registry.register("down", Down)
    raw = {"collector": {"closeTimeout": 0}, "destinations": {"crm": {"package": "down"}}}
    with Collector.from_config(raw, registry=registry) as collector:
        collector.push("a b")
        wait_until(lambda: collector.status_of("crm").state == "down")
        assert asked(app(collector), "/ready")[0] == 200


def test_closed_collector_is_not_ready() -> None:
    with blocked() as collector:
        pass
    assert asked(app(collector), "/ready")[1] == {"status": "unready", "reason": "closing"}


def test_draining_server_is_not_ready_and_asks_clients_to_close() -> None:
    with blocked() as collector:
        application = app(collector)
        application.drain()
        status, body, headers = asked(application, "/ready")
        assert (status, body["reason"]) == (503, "closing")
        assert headers["Connection"] == "close"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 405)])
def test_other_methods(method: str, status: int) -> None:
    with blocked() as collector:
        assert asked(app(collector), "/ready", method)[0] == status
