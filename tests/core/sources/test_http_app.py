"""The ASGI application of the source `http`: bodies, groups of events, faults, mounts."""

import asyncio
import gzip
import json
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from walker_collector import Collector, PushResult
from walker_collector.errors import CollectorClosed, SpoolError, SpoolFull, WalkerError
from walker_collector.events import whole
from walker_collector.sources.http import Settings, app, waiting
from walker_collector.sources.http.app import App

EVENT = {"name": "page view", "user": {"session": "s"}}


class Door:
    """A collector whose commits last until they are let go on; `groups` are those committed."""

    def __init__(self) -> None:
        self.groups: list[list[Mapping[str, Any]]] = []
        self.began = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.error: BaseException | None = None

    def push_from(
        self, source: str | None, events: Iterable[Mapping[str, Any]]
    ) -> list[PushResult | WalkerError]:
        self.began.set()
        assert self.go.wait(20)
        if self.error is not None:
            raise self.error
        self.groups.append(list(events))
        return [PushResult(f"e{at}") for at, _ in enumerate(self.groups[-1])]


def client_of(application: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=application)
    return httpx.AsyncClient(transport=transport, base_url="http://walker")


def run(work: Any) -> Any:
    return asyncio.run(asyncio.wait_for(work, 20))


def test_requests_that_wait_are_committed_together() -> None:
    door = Door()

    async def work() -> None:
        async with client_of(app(door)) as client:
            door.go.clear()
            first = asyncio.create_task(client.post("/collect", json=EVENT))
            await asyncio.to_thread(door.began.wait, 20)
            others = [asyncio.create_task(client.post("/collect", json=EVENT)) for _ in range(20)]
            batch = asyncio.create_task(client.post("/collect", json=[EVENT] * 3))
            for _ in range(50):  # every request is read before the commit ends
                await asyncio.sleep(0)
            door.go.set()
            answers = [await task for task in (first, *others, batch)]
            assert {answer.status_code for answer in answers} == {200}
            assert answers[-1].json()["ids"] == ["e20", "e21", "e22"]
            assert len({answer.json()["id"] for answer in answers[1:-1]}) == 20

    run(work())
    assert [len(group) for group in door.groups] == [1, 23]


def test_events_reach_a_collector(tmp_path: Any) -> None:
    out = tmp_path / "out.ndjson"
    destinations = {"out": {"package": "file", "config": {"settings": {"path": str(out)}}}}

    async def work(collector: Collector) -> None:
        async with client_of(app(collector)) as client:
            assert (await client.post("/collect", json=EVENT)).status_code == 200
            refused = await client.post("/collect", json={"name": "x"})
            assert refused.status_code == 400
            assert "entity action" in refused.json()["error"]

    with Collector.from_config({"destinations": destinations}) as collector:
        run(work(collector))
    (line,) = out.read_text().splitlines()
    assert json.loads(line)["name"] == "page view"


@pytest.mark.parametrize(
    ("error", "status"),
    [(CollectorClosed("closed"), 503), (RuntimeError("a fault"), 503)],
)
def test_what_cannot_be_accepted_is_to_be_sent_again(error: Exception, status: int) -> None:
    door = Door()

    async def work() -> None:
        async with client_of(app(door)) as client:
            door.error = error
            answer = await client.post("/collect", json=EVENT)
            assert (answer.status_code, answer.headers["retry-after"]) == (status, "1")
            assert "a fault" not in answer.text
            door.error = None
            assert (await client.post("/collect", json=EVENT)).status_code == 200

    run(work())


def test_a_fault_of_the_source_tells_nothing_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    application = app(Door())
    monkeypatch.setattr(type(application._responder), "read", lambda *_: 1 / 0)

    async def work() -> None:
        async with client_of(application) as client:
            answer = await client.post("/collect", json=EVENT)
            assert answer.status_code == 500
            assert answer.json() == {"success": False, "error": "internal error"}

    run(work())
    assert "a request could not be answered" in caplog.text


def test_it_can_be_mounted_below_a_path() -> None:
    door, outer = Door(), FastAPI()
    outer.mount("/events", app(door))

    async def work() -> None:
        async with client_of(outer) as client:
            assert (await client.post("/events/collect", json=EVENT)).status_code == 200
            assert (await client.post("/collect", json=EVENT)).status_code == 404

    run(work())
    assert [[whole(item.event) for item in group] for group in door.groups] == [[EVENT]]


def test_one_application_serves_several_event_loops() -> None:
    door = Door()
    application = app(door)

    async def work() -> None:
        async with client_of(application) as client:
            assert (await client.post("/collect", json=EVENT)).status_code == 200

    run(work())
    run(work())
    assert len(door.groups) == 2


async def talk(
    application: App, messages: AsyncIterator[dict[str, Any]], path: str = "/collect"
) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": []}
    await application(scope, messages.__anext__, send)
    return sent


def test_a_body_that_comes_too_slowly_is_given_up() -> None:
    async def slow() -> AsyncIterator[dict[str, Any]]:
        yield {"type": "http.request", "body": b"{", "more_body": True}
        await asyncio.sleep(20)

    sent = run(talk(app(Door(), Settings(body_timeout=50)), slow()))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]  # the rest of it is no further request
    sent = run(talk(app(Door(), Settings(body_timeout=50)), slow(), "/v1/track"))
    assert json.loads(sent[1]["body"])["code"] == "request_timeout"  # in the form of its clients


def test_answer_without_content_tells_no_length_of_it() -> None:
    async def work() -> httpx.Response:
        async with client_of(app(Door())) as client:
            return await client.options("/collect")

    answer = run(work())
    assert (answer.status_code, "content-length" in answer.headers) == (204, False)


def test_target_of_a_request_is_read_as_by_a_server() -> None:
    door, event = Door(), json.dumps(EVENT)
    respond = app(door).respond
    for target in ("/coll%65ct", "/collect#top", "https://shop.example/collect", "/collect?a=%20"):
        assert respond("POST", target, {}, event)[0] == 200, target
    for target in ("//[", "//shop.example/collect", "/col\tlect", "", "collect"):
        assert respond("POST", target, {}, event)[0] == 404, target
    assert respond("POST", "/collect", {}, '{"name": "a b\ud800"}')[0] == 400
    assert sum(map(len, door.groups)) == 4


def test_requests_that_find_no_room_leave_nothing_in_memory() -> None:
    respond = App(lambda events: [SpoolFull("full") for _ in events], Settings()).respond
    event = json.dumps({**EVENT, "data": {"text": "x" * 10_000}})
    assert respond("POST", "/collect", {}, event)[0] == 429
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100):
            respond("POST", "/collect", {}, event)
        assert tracemalloc.get_traced_memory()[0] - before < 500_000
    finally:
        tracemalloc.stop()


def test_a_body_that_ends_too_early_is_not_accepted() -> None:
    async def cut() -> AsyncIterator[dict[str, Any]]:
        body = json.dumps(EVENT).encode()  # whole, though the connection has announced more
        yield {"type": "http.request", "body": body, "more_body": True}
        yield {"type": "http.disconnect"}

    door = Door()
    assert run(talk(app(door), cut())) == []
    assert door.groups == []


def test_no_more_events_wait_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_BYTES", 1_000)
    door = Door()
    large = {**EVENT, "data": {"text": "x" * 800}}
    packed = gzip.compress(json.dumps(large).encode())

    async def work() -> None:
        async with client_of(app(door)) as client:
            door.go.clear()
            first = asyncio.create_task(client.post("/collect", json=large))
            await asyncio.to_thread(door.began.wait, 20)
            small = asyncio.create_task(client.post("/collect", json=EVENT))
            second = await client.post("/collect", json=large)
            assert (second.status_code, second.headers["retry-after"]) == (429, "1")
            coding = {"content-encoding": "gzip"}  # unpacked when its turn comes
            sent = client.post("/collect", content=packed, headers=coding)
            third = asyncio.create_task(sent)
            for _ in range(50):
                await asyncio.sleep(0)
            door.go.set()
            answers = [(await answer).status_code for answer in (first, small, third)]
            assert answers == [200, 200, 200]
            huge = {**EVENT, "data": {"text": "x" * 2_000}}
            assert (await client.post("/collect", json=huge)).status_code == 200  # alone

    run(work())


def test_requests_without_room_are_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    door = Door()
    door.error = SpoolFull("full")
    application = App(lambda events: door.push_from(None, events), Settings(), source="web")
    for _ in range(3):
        assert application.respond("POST", "/collect", {}, json.dumps(EVENT))[0] == 429
    (line,) = caplog.messages
    assert line.startswith("source web: no room for events; 1 request answered with 429")


def test_events_that_the_spool_cannot_store_are_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = SpoolError("spool s.db: disk I/O error")
    application = App(lambda events: [error for _ in events], Settings(), source="web")
    for _ in range(3):
        assert application.respond("POST", "/collect", {}, json.dumps([EVENT] * 2))[0] == 503
    (line,) = caplog.messages
    assert line.startswith("source web: 1 event refused with 503, to be sent again: spool s.db:")


def test_no_more_of_a_body_is_kept_than_may_be_read() -> None:
    async def endless() -> AsyncIterator[dict[str, Any]]:
        for _ in range(1_000):
            yield {"type": "http.request", "body": b" " * 10_000, "more_body": True}
        yield {"type": "http.request", "body": b"", "more_body": False}

    sent = run(talk(app(Door(), Settings(max_body=1_000)), endless()))
    assert sent[0]["status"] == 413


REQUESTS = [
    ("POST", "/collect", json.dumps(EVENT).encode()),
    ("POST", "/collect", json.dumps([EVENT, {"name": "x"}]).encode()),
    ("POST", "/collect", b"{"),
    ("GET", "/collect?name=page%20view", b""),
    ("OPTIONS", "/collect", b""),
    ("POST", "/v1/track", b'{"event": "A", "userId": "u"}'),
    ("GET", "/health", b""),
    ("GET", "/nowhere", b""),
]


@pytest.mark.parametrize(("method", "target", "body"), REQUESTS)
@pytest.mark.parametrize("acknowledge", ["accepted", "delivered"])
def test_servers_without_an_event_loop_get_the_same_answers(
    method: str, target: str, body: bytes, acknowledge: Any
) -> None:
    settings = Settings(acknowledge=acknowledge, names={})
    with Collector.from_config({"destinations": {"out": {"package": "console"}}}) as collector:
        site = app(collector, settings)
        sent = {"Origin": "https://shop.example"}
        status, headers, answer = site.respond(method, target, sent, body, "192.0.2.7")

        async def work() -> httpx.Response:
            async with client_of(site) as client:
                return await client.request(method, target, headers=sent, content=body)

        expected = run(work())
    assert status == expected.status_code
    assert {name.lower() for name in headers} == expected.headers.keys() - {"content-length"}
    if answer[:1] == b"{":
        assert json.loads(answer).keys() == expected.json().keys()
    else:
        assert answer == expected.content


def test_a_fault_of_ours_is_an_answer_without_an_event_loop_too() -> None:
    door = Door()
    door.error = RuntimeError("a fault")
    status, _, _ = app(door).respond("POST", "/collect", {}, json.dumps(EVENT).encode())
    assert status == 503
