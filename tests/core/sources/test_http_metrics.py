"""`/metrics` of the source `http`: figures in the text format of Prometheus."""

import asyncio
import base64
import json
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support import wait_until
from walker_collector import Collector, Rejected, RetryLater, hookimpl
from walker_collector.plugins import Registry
from walker_collector.secret import Secret
from walker_collector.sources.http import Key, Settings, app
from walker_collector.sources.http.app import App

KEYS = {
    "web": Key(key=Secret("k-web"), origins=["https://shop.example"]),
    "server": Key(key=Secret("k-server"), trusted=True),
}


class Picky:
    """A destination that answers as the event's data say."""

    @hookimpl
    def push(self, event: Any) -> None:
        match event["data"].get("answer"):
            case "no":
                raise Rejected("no")
            case "later":
                raise RetryLater("later")


def picky(**options: Any) -> Collector:
    registry = Registry()
    registry.register("picky", Picky)
    config = {"retry": {"base": 60_000, "cap": 60_000}, "consent": {"marketing": True}}
    raw = {
        "collector": {"closeTimeout": 0, "consent": {"marketing": True}, **options},
        "destinations": {"crm": {"package": "picky", "config": config}},
    }
    return Collector.from_config(raw, registry=registry)


def requested(
    application: App, path: str, method: str = "GET", body: Any = None, **headers: str
) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://walker") as client:
            content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            return await client.request(method, path, content=content, headers=headers)

    return asyncio.run(asyncio.wait_for(ask(), 20))


def samples(text: str) -> dict[str, float]:
    """Return the value of each sample, by its name with its labels as they are written."""
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def figures(application: App) -> dict[str, float]:
    answer = requested(application, "/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return samples(answer.text)


def test_requests_and_events_are_counted() -> None:
    with picky() as collector:
        application = app(collector)
        good = {"name": "page view"}
        for body in (good, [good, good, {"name": "page"}, 7], b"{"):
            requested(application, "/collect", "POST", body)
        requested(application, "/collect?name=page+view")
        requested(application, "/v1/projects/k-web/settings")
        requested(application, "/us3r@example.com")
        found = figures(application)
    assert found["walker_events_accepted_total source=http"] == 4
    assert found["walker_events_refused_total reason=invalid source=http"] == 1
    assert found["walker_events_refused_total reason=bad_request source=http"] == 1
    requests = {
        key.removeprefix("walker_http_requests_total route="): value
        for key, value in found.items()
        if key.startswith("walker_http_requests_total")
    }
    assert requests == {
        "/collect source=http status=200": 2,
        "/collect source=http status=207": 1,
        "/collect source=http status=400": 1,
        "/v1/projects/KEY/settings source=http status=200": 1,
        "other source=http status=404": 1,
    }
    duration = "walker_http_request_duration_seconds"
    assert found[f"{duration}_bucket le=+Inf source=http"] == 6
    assert found[f"{duration}_count source=http"] == 6
    assert 0 < found[f"{duration}_sum source=http"] < 20


def test_histogram_counts_each_request_in_all_wider_buckets() -> None:
    from walker_collector.figures import Figures
    from walker_collector.sources.http.metrics import count_request, metrics_page

    counts = Figures()
    for seconds in (0.0005, 0.001, 0.03, 60):
        count_request(counts, "web", "/collect", 200, seconds)
    found = samples(metrics_page(counts, "")[0].decode())
    buckets = {
        key.partition("le=")[2].partition(" ")[0]: value
        for key, value in found.items()
        if "_bucket" in key
    }
    assert [buckets[le] for le in ("0.001", "0.025", "0.05", "10.0", "+Inf")] == [2, 2, 3, 3, 4]


@pytest.mark.parametrize("where", ["memory", "spool"])
def test_figures_of_a_destination(where: str, tmp_path: Path) -> None:
    spool = {"spool": {"path": str(tmp_path / "spool.db")}} if where == "spool" else {}
    with picky(**spool) as collector:
        application = app(collector)
        collector.push("order complete", wait=True)
        collector.push("order complete", data={"answer": "no"}, wait=True)
        collector.push("order complete", data={"answer": "later"}, user={"id": "u1"})
        collector.push("order complete", consent={"marketing": False}, user={"id": "u2"})
        wait_until(lambda: collector.status().destinations["crm"].retried == 1)
        wait_until(lambda: collector.status().destinations["crm"].oldest_age > 0)
        found = figures(application)
    names = {
        key.removesuffix(" destination=crm").removeprefix("walker_destination_"): value
        for key, value in found.items()
        if key.startswith("walker_destination_")
    }
    assert 0 < names.pop("oldest_age_seconds") < 20
    assert names == {
        "delivered_total": 1,
        "retried_total": 1,
        "died_total": 1,
        "dropped_total": 0,
        "waiting": 1,
        "held": 1,
        "dead": 1,
    }


def test_process_that_only_accepts_tells_what_waits_and_how_long(tmp_path: Path) -> None:
    with picky(spool={"path": str(tmp_path / "spool.db")}, deliver=False) as collector:
        collector.push("order complete")
        application = app(collector)
        waiting = "walker_destination_waiting destination=crm"
        age = "walker_destination_oldest_age_seconds destination=crm"
        assert figures(application)[waiting] == 1
        wait_until(lambda: figures(application)[age] > 0)


def test_figures_of_a_server_with_keys_need_one_that_is_trusted() -> None:
    with picky() as collector:
        application = app(collector, Settings(keys=KEYS))
        assert requested(application, "/metrics").status_code == 401
        wrong = requested(application, "/metrics", Authorization="Bearer nothing")
        assert wrong.status_code == 401
        web = requested(application, "/metrics", Authorization="Bearer k-web")
        assert web.status_code == 403
        basic = base64.b64encode(b"k-server:").decode()
        for shown in ("Bearer k-server", f"Basic {basic}"):
            answer = requested(application, "/metrics", Authorization=shown)
            assert answer.status_code == 200
            assert "k-server" not in answer.text
            assert 'route="/metrics",source="http",status="403"' in answer.text
        assert requested(application, "/health").status_code == 200


def test_format_is_the_one_that_is_asked_for() -> None:
    with picky() as collector:
        asked = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        answer = requested(app(collector), "/metrics", Accept=asked)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_without_the_library_the_answer_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with picky() as collector:
        answer = requested(app(collector), "/metrics")
    assert answer.status_code == 501
    assert "pip install 'walker-collector[serve]'" in answer.json()["error"]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 405)])
def test_other_methods(method: str, status: int) -> None:
    with picky() as collector:
        assert requested(app(collector), "/metrics", method).status_code == status


def test_other_requests_are_answered_while_figures_are_read() -> None:
    go, asked = threading.Event(), threading.Event()

    class Slow:
        def status(self) -> Any:
            asked.set()
            go.wait(20)
            return collector.status()

        def __getattr__(self, name: str) -> Any:
            return getattr(collector, name)

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://walker") as client:
            page = asyncio.create_task(client.get("/metrics"))
            await asyncio.to_thread(asked.wait, 20)
            health = await client.get("/health")
            assert not page.done()
            go.set()
            return [health.status_code, (await page).status_code]

    with picky() as collector:
        application = app(Slow())  # type: ignore[arg-type]  # all that the application uses
        assert asyncio.run(asyncio.wait_for(ask(), 20)) == [200, 200]


def test_events_sent_again_and_corrected_times_are_counted() -> None:
    with picky() as collector:
        application = app(collector)
        for id_ in ("a", "a", "b"):
            event = {"name": "page view", "id": id_, "timestamp": 1_000}
            requested(application, "/collect", "POST", event)
        found = figures(application)
    assert found["walker_events_repeated_total"] == 1
    assert found["walker_events_corrected_total"] == 3
