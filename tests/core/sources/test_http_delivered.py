"""`acknowledge: "delivered"`: requests are answered by what the destinations have decided."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from tests.core.cli_support import spawned
from tests.core.sources.test_serve import delivered, ended, flow_in, post, serving
from tests.core.support import (
    MARKETING,
    PATIENCE,
    QUICK,
    Record,
    config,
    flow,
    guarded,
    one,
    plugin,
    running,
    until,
)
from tests.support import join
from walker_collector import Collector, DestinationDown, NothingToSend, Rejected, RetryLater
from walker_collector.config import RetryConfig
from walker_collector.sources.http import Settings, app

Client = httpx.AsyncClient
BRIEF = 50
"""Time (ms) that a request waits where it is to wait in vain."""


def event(id_: str = "e1", **parts: Any) -> dict[str, Any]:
    return {"name": "order complete", "id": id_, **parts}


def served(
    collector: Collector, work: Callable[[Client], Awaitable[Any]], timeout: int = 10_000
) -> Any:
    """Return the result of work with a client of an application that waits for deliveries."""
    application = app(collector, Settings(acknowledge="delivered", timeout=timeout))

    async def run() -> Any:
        transport = httpx.ASGITransport(app=application)
        async with Client(transport=transport, base_url="http://walker", timeout=PATIENCE) as made:
            return await work(made)

    return asyncio.run(asyncio.wait_for(run(), PATIENCE))


def answer_to(
    collector: Collector, body: Any, path: str = "/collect", timeout: int = 10_000
) -> tuple[int, Any]:
    """Return status and body of the answer to a request."""

    async def work(client: Client) -> tuple[int, Any]:
        answer = await client.post(path, json=body)
        assert answer.headers.get("retry-after") == ("1" if answer.status_code > 502 else None)
        return answer.status_code, answer.json()

    found: tuple[int, Any] = served(collector, work, timeout)
    return found


class Door:
    """A destination that lets nothing pass until it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        self.record = Record()

    def push(self, event: dict[str, Any], context: Any) -> None:
        self.reached.set()
        assert self.open.wait(PATIENCE)
        self.record.push(event, context)


def refuse_some(event: Mapping[str, Any], context: Any) -> None:
    if event["data"].get("bad"):
        raise Rejected("total: must be a number, not ines@example.com")


BAD = {"data": {"bad": True}}
REFUSAL = "refused by there; it is kept as a dead letter"


def test_event_is_delivered_when_it_is_answered(spool: Path | None) -> None:
    record = Record()
    with running(flow(plugin(record.push), spool)) as collector:
        status, answer = answer_to(collector, event())
        assert (status, answer["id"]) == (200, "e1")
        assert record.ids == ["e1"]
        assert answer_to(collector, [event("e2"), event("e3")])[1]["ids"] == ["e2", "e3"]
        assert record.ids == ["e1", "e2", "e3"]


def test_every_destination_has_to_deliver(spool: Path | None) -> None:
    door, record = Door(), Record()
    destinations = {"a": (plugin(record.push), config()), "b": (plugin(door.push), config())}
    with running(flow(destinations, spool)) as collector:
        status, answer = answer_to(collector, event(), timeout=BRIEF)
        assert status == 504
        assert answer["error"] == "not delivered in time; it stays accepted under its id"
        door.open.set()


def test_event_that_is_refused_is_502_and_a_dead_letter(spool: Path | None) -> None:
    with running(flow(plugin(refuse_some), spool)) as collector:
        refused = 502, {"success": False, "error": REFUSAL}
        assert answer_to(collector, event(**BAD)) == refused
        assert answer_to(collector, event(**BAD)) == refused  # sent again: the same answer
        assert len(collector.dead()) == 1


def test_batch_tells_which_events_were_refused(spool: Path | None) -> None:
    with running(flow(plugin(refuse_some), spool)) as collector:
        assert answer_to(collector, [event("a"), event("b", **BAD), {"name": "x"}])[1] == {
            "success": False,
            "processed": 1,
            "failed": 2,
            "ids": ["a"],
            "errors": [
                {"index": 1, "error": REFUSAL},
                {
                    "index": 2,
                    "error": "event name 'x' is not \"entity action\": two words with one space "
                    'between, such as "order complete"',
                },
            ],
        }
        status, answer = answer_to(collector, [event("c", **BAD)])
        assert (status, answer["ids"], answer["errors"][0]["index"]) == (207, [], 0)


def test_segments_clients_are_answered_in_their_form(spool: Path | None) -> None:
    def call(id_: str, *, bad: bool) -> dict[str, Any]:
        properties = {"bad": bad}
        return {
            "type": "track",
            "event": "Order Completed",
            "userId": "u1",
            "messageId": id_,
            "properties": properties,
        }

    with running(flow(plugin(refuse_some), spool)) as collector:
        some = {"batch": [call("a", bad=False), call("b", bad=True)]}
        assert answer_to(collector, some, "/v1/batch") == (
            200,
            {"success": True, "errors": [{"index": 1, "error": REFUSAL}]},
        )
        refusal = {"success": False, "code": "bad_gateway", "message": REFUSAL}
        assert answer_to(collector, {"batch": [call("c", bad=True)]}, "/v1/batch") == (502, refusal)
        assert answer_to(collector, call("d", bad=True), "/v1/track") == (502, refusal)
        assert answer_to(collector, call("e", bad=False), "/v1/track") == (200, {"success": True})


def test_late_event_stays_accepted_and_is_answered_when_it_is_sent_again(
    spool: Path | None,
) -> None:
    door = Door()
    with running(flow(plugin(door.push), spool)) as collector:
        for _ in range(2):
            assert answer_to(collector, event(), timeout=BRIEF)[0] == 504
        threading.Timer(0.05, door.open.set).start()
        assert answer_to(collector, event())[0] == 200  # waits on, with the first one
        assert door.record.ids == ["e1"]
        assert answer_to(collector, event())[0] == 200
        assert collector.flush(PATIENCE)
    assert door.record.ids == ["e1"]


def test_same_event_in_two_requests_at_once_is_answered_to_both(spool: Path | None) -> None:
    door = Door()

    async def work(client: Client) -> list[int]:
        requests = [asyncio.create_task(client.post("/collect", json=event())) for _ in range(5)]
        await asyncio.to_thread(door.reached.wait, PATIENCE)
        door.open.set()
        return [(await request).status_code for request in requests]

    with running(flow(plugin(door.push), spool)) as collector:
        assert served(collector, work) == [200] * 5
    assert door.record.ids == ["e1"]


def test_retry_within_the_time_is_waited_for(spool: Path | None) -> None:
    attempts: list[str] = []

    def push(event: Mapping[str, Any], context: Any) -> None:
        attempts.append(event["id"])
        if len(attempts) < 3:
            raise RetryLater("busy")

    with running(one(plugin(push), spool, retry=QUICK)) as collector:
        assert answer_to(collector, event())[0] == 200
    assert attempts == ["e1"] * 3


def test_event_that_waits_for_a_retry_is_late_also_when_it_is_sent_again(
    spool: Path | None,
) -> None:
    def push(event: Mapping[str, Any], context: Any) -> None:
        raise RetryLater("busy")

    slow = RetryConfig(base=600_000, cap=600_000)
    with running(one(plugin(push), spool, retry=slow)) as collector:
        for _ in range(2):
            assert answer_to(collector, event(), timeout=BRIEF)[0] == 504


def test_what_will_never_be_sent_counts_as_delivered(spool: Path | None) -> None:
    def push(event: Mapping[str, Any], context: Any) -> None:
        raise NothingToSend("no total")

    ignoring = config(unmatched="ignore")
    destinations = {"empty": (plugin(push), config()), "ignores": (plugin(push), ignoring)}
    with running(flow(destinations, spool)) as collector:
        assert answer_to(collector, event())[0] == 200
        statement = {"name": "walker consent", "data": MARKETING, "user": {"session": "s"}}
        assert answer_to(collector, statement)[0] == 200


def test_held_event_counts_as_delivered_where_it_is_durable(spool: Path | None) -> None:
    with running(guarded(Record(), spool)) as collector:
        for _ in range(2):
            status, answer = answer_to(collector, event(user={"session": "s"}))
            if spool is None:
                error = "held for there until consent is granted, and in memory alone"
                assert (status, answer["error"]) == (503, error)
            else:
                assert status == 200


def test_requests_that_wait_hold_up_no_others() -> None:
    door = Door()
    destinations = {"door": (plugin(door.push), config(consent=MARKETING))}

    async def work(client: Client) -> None:
        granted = event(consent=MARKETING)
        waiting = asyncio.create_task(client.post("/collect", json=granted))
        await asyncio.to_thread(door.reached.wait, PATIENCE)
        for n in range(20):
            denied = await client.post("/collect", json=event(f"other{n}"))
            assert denied.status_code == 503  # held in memory: decided at once
        assert (await client.get("/health")).status_code == 200
        assert not waiting.done()
        door.open.set()
        assert (await waiting).status_code == 200

    with running(flow(destinations)) as collector:
        served(collector, work)


def test_pixel_does_not_wait() -> None:
    door = Door()

    async def work(client: Client) -> None:
        answer = await client.get("/collect?name=page+view")
        assert answer.headers["content-type"] == "image/gif"

    with running(flow(plugin(door.push))) as collector:
        served(collector, work)
        door.open.set()


def test_requests_that_wait_as_the_collector_closes_are_to_be_sent_again(
    spool: Path | None,
) -> None:
    def push(event: Mapping[str, Any], context: Any) -> None:
        raise DestinationDown("no such key")

    with running(flow(plugin(push), spool)) as collector:

        async def work(client: Client) -> httpx.Response:
            waiting = asyncio.create_task(client.post("/collect", json=event()))
            await asyncio.to_thread(until, lambda: collector.status_of("there").state == "down")
            await asyncio.to_thread(collector.close, 0)
            return await waiting

        answer = served(collector, work)
        assert answer.status_code == 503
        assert answer.json()["error"] == "the server closed before delivery"


def test_requests_that_have_given_up_are_forgotten() -> None:
    def push(event: Mapping[str, Any], context: Any) -> None:
        raise DestinationDown("no such key")

    with running(flow(plugin(push))) as collector:

        async def work(client: Client) -> None:
            for n in range(0, 1_000, 100):
                batch = [event(f"e{at}") for at in range(n, n + 100)]
                assert (await client.post("/collect", json=batch)).status_code == 207
            for _ in range(10):
                assert (await client.post("/collect", json=[event("e0")] * 100)).status_code == 207

        served(collector, work, timeout=1)
        waiting = collector._life.runtime.workers["there"].pending.state.waiters.waiting
        assert sum(len(listeners) for _, listeners in waiting.values()) < 400


def test_another_process_may_deliver(tmp_path: Path) -> None:
    settings = {"port": 0, "acknowledge": "delivered", "timeout": 15_000}
    web = {"web": {"package": "http", "config": {"settings": settings}}}
    flow = flow_in(tmp_path, web, deliver=False)
    other = tmp_path / "other.json"
    other.write_text(flow.read_text().replace('"deliver": false', '"deliver": true'))
    with (
        serving(flow, "--flow", "default") as (process, (url,)),
        spawned("deliver", other, cwd=tmp_path),
    ):
        for _ in range(2):
            assert post(url, event())[0] == 200
            assert delivered(tmp_path) == ["e1"]
        assert ended(process) == 0


class Gate(BaseHTTPRequestHandler):
    """A service that answers nobody until it is opened."""

    reached = threading.Event()
    open = threading.Event()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.reached.set()
        assert self.open.wait(PATIENCE)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_sigterm_lets_requests_wait_for_their_deliveries(tmp_path: Path) -> None:
    settings = {"port": 0, "acknowledge": "delivered"}
    web = {"web": {"package": "http", "config": {"settings": settings}}}
    service = ThreadingHTTPServer(("127.0.0.1", 0), Gate)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{service.server_port}/"
    crm = {"crm": {"package": "http", "config": {"settings": {"url": url}}}}
    flow = flow_in(tmp_path, web)
    raw = json.loads(flow.read_text())
    flow.write_text(json.dumps({**raw, "destinations": crm}))
    answers: list[int] = []
    with serving(flow, "--flow", "default") as (process, (address,)):
        waiting = threading.Thread(target=lambda: answers.append(post(address, event())[0]))
        waiting.start()
        assert Gate.reached.wait(PATIENCE)
        process.terminate()
        assert process.stderr is not None
        assert "SIGTERM: stopping" in process.stderr.readline()
        Gate.open.set()
        join(waiting)
        assert process.wait(PATIENCE) == 0
    service.shutdown()
    service.server_close()
    assert answers == [200]
