"""The inspector's application: callers, tokens, live events, masks, and actions that arrive."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import define, field
from fastapi import FastAPI

from tests.core.support import MARKETING, Record, config, flow, one, plugin, running
from tests.support import PATIENCE, wait_until
from walker_collector import Collector, ConfigError, Rejected
from walker_collector.config import FlowConfig
from walker_collector.inspector import app

TOKEN = "a-token-of-the-tests"
MINE = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}


@define
class Answer:
    """The answer to a request; `body` grows while it is streamed."""

    status: int = 0
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@define
class Page:
    """Requests to an application, as a server hands them on."""

    app: Any
    client: str = "127.0.0.1"

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] = MINE,
        body: Any = b"",
        gone: asyncio.Event | None = None,
        answer: Answer | None = None,
    ) -> Answer:
        found, query = answer or Answer(), path.partition("?")[2]
        sent = False

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if not sent:
                sent = True
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                return {"type": "http.request", "body": raw}
            await (gone or asyncio.Event()).wait()  # bounded: by the test
            return {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                found.status = message["status"]
                found.headers = {key.decode(): item.decode() for key, item in message["headers"]}
            found.body += message.get("body", b"")

        raw = [(key.encode(), item.encode()) for key, item in headers.items()]
        scope = {
            "type": "http",
            "method": method,
            "path": path.partition("?")[0],
            "query_string": query.encode(),
            "headers": raw,
            "client": (self.client, 1) if self.client else None,
        }
        await self.app(scope, receive, send)
        return found

    def get(self, path: str, headers: Mapping[str, str] = MINE) -> Answer:
        return asyncio.run(self.request("GET", path, headers))

    def ask(self, name: str, headers: Mapping[str, str] = MINE, **body: Any) -> Answer:
        return asyncio.run(self.request("POST", f"/api/{name}", headers, body or {"": ""}))


@contextmanager
def inspected(flow: FlowConfig, **options: Any) -> Iterator[tuple[Collector, Page]]:
    with running(flow) as collector:
        yield collector, Page(app(collector, token=TOKEN, **options))


def in_a_loop(test: Callable[..., Any]) -> Callable[..., None]:
    """Run a test that is a coroutine."""

    @wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


@pytest.fixture
def page(spool: Path | None) -> Iterator[Page]:
    with inspected(one(plugin(Record().push), spool)) as (_, page):
        yield page


def refuse(event: Any, context: Any) -> None:
    raise Rejected("no such list")


# --- callers -----------------------------------------------------------------------------------


def test_page_loads_nothing_from_elsewhere_and_needs_no_token(page: Page) -> None:
    for path, kind in (
        ("/", "text/html"),
        ("/inspector.js", "text/javascript"),
        ("/inspector.css", "text/css"),
        ("/icon.svg", "image/svg+xml"),
    ):
        answer = page.get(path, {})
        assert answer.status == 200
        assert answer.headers["content-type"].startswith(kind)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert b"https://" not in answer.body
        assert answer.headers["cache-control"] == "no-store"
    assert page.get("/web.py", {}).status == page.get("/../web.py", {}).status == 404


@pytest.mark.parametrize("given", ["", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
def test_request_without_the_token_is_refused(given: str, page: Page) -> None:
    headers = {**MINE, "authorization": given}
    for name in ("held", "dead", "person", "replay", "delete", "forget"):
        assert page.ask(name, headers).status == 401
    assert page.get("/api/events", headers).status == 401
    assert page.get(f"/api/events?token={TOKEN}", {}).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://elsewhere.example", "host": "127.0.0.1:8080"},
        {"origin": "null", "host": "127.0.0.1:8080"},
    ],
)
def test_page_of_another_origin_is_refused_even_with_the_token(
    headers: dict[str, str], page: Page
) -> None:
    assert page.ask("held", {**MINE, **headers}).status == 403


def test_page_itself_is_answered(page: Page) -> None:
    own = {"sec-fetch-site": "same-origin", "origin": "http://h:1", "host": "h:1"}
    assert page.ask("held", {**MINE, **own}).status == 200


@pytest.mark.parametrize("client", ["10.0.0.7", "2001:db8::1", ""])
def test_other_machines_are_refused_unless_they_are_wanted(client: str) -> None:
    with running(one(plugin(Record().push))) as collector:
        assert Page(app(collector, token=TOKEN), client).get("/").status == 403
        assert Page(app(collector, token=TOKEN, remote=True), client).ask("held").status == 200


def test_request_that_a_proxy_forwards_counts_as_one_of_another_machine(page: Page) -> None:
    assert page.get("/", {"x-forwarded-for": "127.0.0.1"}).status == 403
    page.client = "::1"
    assert page.get("/", {}).status == 200


def test_form_of_a_page_is_no_action(page: Page) -> None:
    plain = {**MINE, "content-type": "text/plain"}
    assert page.ask("delete", plain).status == 415


def test_short_token_is_refused() -> None:
    with (
        running(one(plugin(Record().push))) as collector,
        pytest.raises(ConfigError, match="16 characters"),
    ):
        app(collector, token="short")


@in_a_loop
async def test_page_can_be_mounted_in_another_application() -> None:
    other = FastAPI()
    transport = httpx.ASGITransport(other, client=("127.0.0.1", 50_000))
    with inspected(one(plugin(Record().push))) as (_, page):
        other.mount("/tools/inspect", page.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://own") as client:
            assert b"inspector.js" in (await client.get("/tools/inspect/")).content
            assert (await client.get("/tools/inspect/inspector.js")).status_code == 200
            answer = await client.post("/tools/inspect/api/held", json={}, headers=MINE)
        assert answer.json() == {"groups": [], "complete": True}


def test_new_token_is_made_where_none_is_given() -> None:
    with running(one(plugin(Record().push))) as collector:
        one_page, other = app(collector), app(collector)
        assert len({one_page.token, other.token}) == 2
        mine = {**MINE, "authorization": f"Bearer {one_page.token}"}
        assert Page(one_page).ask("held", mine).status == 200
        assert Page(other).ask("held", mine).status == 401


def test_token_is_in_no_repr() -> None:
    with inspected(one(plugin(Record().push))) as (_, page):
        assert TOKEN not in repr(page.app._guard)


# --- live --------------------------------------------------------------------------------------


@asynccontextmanager
async def streamed(page: Page, query: str = "") -> AsyncIterator[Answer]:
    answer, gone = Answer(), asyncio.Event()
    task = asyncio.create_task(page.request("GET", f"/api/events{query}", gone=gone, answer=answer))
    try:
        yield answer
    finally:
        gone.set()
        await task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # bounded: by the timeout
            await asyncio.sleep(0.01)


def messages(answer: Answer, name: str) -> list[Any]:
    found = []
    for text in answer.body.decode().split("\n\n"):
        kind, _, data = text.partition("\n")
        if kind == f"event: {name}":
            found.append(json.loads(data.removeprefix("data: ")))
    return found


@in_a_loop
async def test_live_events_and_figures_come_while_the_page_is_open(spool: Path | None) -> None:
    with inspected(one(plugin(Record().push), spool)) as (collector, page):
        watch = collector._life.runtime.workers.watch
        assert watch.watchers == ()
        async with streamed(page) as answer:
            await until(lambda: bool(messages(answer, "figures")))
            collector.push("order complete", data={"total": 55}, user={"id": "ines"})
            await until(lambda: bool(messages(answer, "samples")))
            (sample,) = messages(answer, "samples")[0]
            assert (sample["event"], sample["outcome"]) == ("order complete", "delivered")
            assert sample["sent"]["data"] == {"total": "***"}
            await until(lambda: messages(answer, "figures")[-1]["accepted"] == 1)
            assert messages(answer, "hello")[0]["mayShowValues"] is False
            page.app.drain()


@in_a_loop
async def test_erasure_drops_the_samples_which_may_name_the_person(spool: Path | None) -> None:
    with inspected(one(plugin(Record().push), spool)) as (collector, page):
        async with streamed(page) as answer:
            await until(lambda: bool(messages(answer, "figures")))
            collector.push("order complete", user={"id": "ines"})
            await until(lambda: bool(messages(answer, "samples")))
            await asyncio.to_thread(collector.forget, {"id": "ines"})
            await until(lambda: bool(messages(answer, "cleared")))
            assert page.app._live.sampler.since() == []


@in_a_loop
async def test_values_come_only_where_they_may_and_are_asked_for() -> None:
    with inspected(one(plugin(Record().push)), show_values=True) as (collector, page):
        async with streamed(page) as masked, streamed(page, "?values=1") as plain:
            await until(lambda: bool(messages(masked, "figures") and messages(plain, "figures")))
            collector.push("order complete", data={"total": 55})
            await until(lambda: bool(messages(masked, "samples") and messages(plain, "samples")))
        assert messages(masked, "samples")[0][0]["sent"]["data"] == {"total": "***"}
        assert messages(plain, "samples")[0][0]["sent"]["data"] == {"total": 55}


def test_values_are_refused_where_they_may_not_be_shown(page: Page) -> None:
    assert page.get("/api/events?values=1").status == 403
    assert page.ask("dead", values=True).status == 403
    assert page.ask("person", user={"id": "ines"}, values=True).status == 403


# --- questions and actions ---------------------------------------------------------------------


def test_held_events_are_told_by_person_with_the_missing_consent(spool: Path | None) -> None:
    with inspected(one(plugin(Record().push), spool, consent=MARKETING)) as (collector, page):
        for user in ("ines", "tom", "ines"):
            collector.push("order complete", user={"id": user})
        found = page.ask("held").json
    first, second = found["groups"]
    assert found["complete"]
    assert (first["person"], first["count"]) == ("id:ines", 2)
    assert (second["person"], second["count"]) == ("id:tom", 1)
    assert first["missing"]["required"] == ["marketing"]
    assert [item["by"] for item in first["missing"]["statements"]] == ["nobody"]
    assert [item["event"] for item in first["events"]] == ["order complete"] * 2


def test_dead_letter_is_shown_masked_replayed_and_arrives(spool: Path | None) -> None:
    record, healthy = Record(), []

    def push(event: Any, context: Any) -> None:
        if not healthy:
            raise Rejected("no such list")
        record.push(event, context)

    with inspected(one(plugin(push), spool)) as (collector, page):
        id_ = collector.push("order complete", data={"total": 55}, user={"id": "ines"}).id
        wait_until(lambda: collector.status_of("there").dead == 1, "it died")
        (reason,) = page.ask("dead").json["reasons"]
        (letter,) = reason["letters"]
        assert (reason["reason"], letter["attempts"], letter["id"]) == ("no such list", 1, id_)
        assert letter["payload"]["data"] == {"total": "***"}
        healthy.append(True)
        which = {"destination": "there", "seq": letter["seq"]}
        assert page.ask("replay", **which).json == {"events": 1}
        record.wait_for(1)
        assert record.ids == [id_]
        assert page.ask("replay", **which).json == {"events": 0}


def test_dead_letters_of_one_reason_are_deleted_together(spool: Path | None) -> None:
    def push(event: Any, context: Any) -> None:
        raise Rejected(f"no list {event['data']['n']}")

    with inspected(one(plugin(push), spool)) as (collector, page):
        for n in (1, 1, 2):
            collector.push("order complete", data={"n": n})
        wait_until(lambda: collector.status_of("there").dead == 3, "all died")
        asked = {"destination": "there", "reason": "no list 1"}
        assert page.ask("delete", **asked).json == {"events": 2}
        assert [item.reason for item in collector.dead()] == ["no list 2"]
        assert page.ask("delete", destination="there").json == {"events": 0}


def test_person_is_shown_and_forgotten(spool: Path | None) -> None:
    flow_ = flow(
        {
            "there": (plugin(refuse), config()),
            "elsewhere": (plugin(Record().push), config(consent=MARKETING)),
        },
        spool,
    )
    with inspected(flow_, show_values=True) as (collector, page):
        user = {"id": "ines", "device": "d-1"}
        collector.push("order complete", data={"total": 55}, user=user)
        collector.consent({"newsletter": False}, user={"id": "ines"})
        wait_until(lambda: collector.status_of("there").dead == 1, "it died")
        found = page.ask("person", user={"device": "d-1"}).json
        assert found["known"]
        assert found["identifiers"] == ["device:d-1", "id:ines"]
        assert [(one["key"], one["granted"]) for one in found["consent"]] == [("newsletter", False)]
        assert {key: n for key, n in found["counts"].items() if n} == {"held": 1, "dead": 1}
        (event,) = found["events"]
        assert event["payload"]["data"] == {"total": "***"}
        assert {item["status"] for item in event["deliveries"]} == {"dead", "held"}
        shown = page.ask("person", user={"device": "d-1"}, values=True).json
        assert shown["events"][0]["payload"]["data"] == {"total": 55}
        assert page.ask("forget", user={"id": "ines"}).json["events"] >= 1
        assert not page.ask("person", user={"id": "ines"}).json["known"]


@pytest.mark.parametrize("user", [None, {}, {"id": 7}, {"email": "a@b.c"}])
def test_nobody_is_looked_up_without_an_identifier(user: Any, page: Page) -> None:
    assert page.ask("person", user=user).status == 400
    assert page.ask("forget", user=user).status == 400


def test_refusal_of_the_collector_is_told() -> None:
    with inspected(one(plugin(Record().push))) as (collector, page):
        collector.close()
        assert page.ask("forget", user={"id": "ines"}).status == 409


@pytest.mark.parametrize("body", [b"[]", b"{", b"7"])
def test_body_that_is_no_object_is_refused(body: bytes, page: Page) -> None:
    assert asyncio.run(page.request("POST", "/api/held", body=body)).status == 400
