"""Bad input of every kind to the source `http`: a clear answer, and never a fault."""

import asyncio
import gzip
import json
import logging
import socket
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.sources.http_server_support import Kept, Server, served
from tests.core.sources.test_http_limits import REQUEST, answered
from tests.forms import examples
from tests.support import PATIENCE
from walker_collector import Collector, Secret
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry
from walker_collector.sources.http import Key, Settings, app
from walker_collector.sources.http.app import App

EVENT: dict[str, Any] = {
    "name": "order complete",
    "id": "e1",
    "data": {"total": 5, "items": [{"sku": "a"}]},
    "user": {"id": "u1", "session": "s1"},
    "consent": {"marketing": True},
    "timestamp": 1_700_000_000_000,
}
CALL: dict[str, Any] = {
    "type": "track",
    "event": "Order Completed",
    "userId": "u1",
    "anonymousId": "a1",
    "messageId": "m1",
    "properties": {"total": 5},
    "context": {"ip": "192.0.2.1", "consent": {"categoryPreferences": {"marketing": True}}},
    "timestamp": "2024-01-01T00:00:00Z",
    "sentAt": "2024-01-01T00:00:01Z",
    "writeKey": "w-key",
}
COMMAND = {"name": "walker consent", "data": {"marketing": True}, "user": {"session": "s1"}}
ODD = [
    *("\ud800", "\x00", "a\r\nb", "\u2028", "9" * 400, "order complete", "2024-99-01", "1e999"),
    *(10**400, 2**63, 2**64, -(2**63) - 1, 1e308, float("inf"), float("nan"), -0.0, 0),
    *(253402300800000, -1, True, None, [], {}, [[]], {"": ""}),
]

texts = st.text(st.characters(exclude_categories=()), max_size=12)  # lone surrogates, too
values = st.recursive(
    st.sampled_from(ODD).map(deepcopy) | texts | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for child in value.values():
            yield from _keys(child)


KEYS = sorted({*_keys(EVENT), *_keys(CALL), "batch", "previousId", "traits", "groupId", "entity"})
objects = st.dictionaries(st.sampled_from(KEYS) | texts, values, max_size=6)


@st.composite
def spoiled(draw: st.DrawFn, *usual: dict[str, Any]) -> Any:
    """An event or call of which some parts are something else."""
    made: dict[str, Any] = json.loads(json.dumps(draw(st.sampled_from(usual))))
    for _ in range(draw(st.integers(0, 3))):
        holder = made
        while True:  # bounded: each turn goes down a level of the event
            key = draw(st.sampled_from([*holder, "user", "data"]))
            if not isinstance(holder.get(key), dict) or draw(st.booleans()):
                break
            holder = holder[key]
        holder[key] = draw(values)
    return made


Headers = list[tuple[bytes, bytes]]


def rarely(draw: st.DrawFn, share: int = 8) -> bool:
    return draw(st.integers(1, share)) == share


@st.composite
def bodies(draw: st.DrawFn, *usual: dict[str, Any]) -> tuple[bytes, Headers]:
    """A body with the headers that belong to it; seldom damaged."""
    one = spoiled(*usual) if not rarely(draw, 6) else objects | values
    shape = draw(st.sampled_from(["one", "one", "list", "batch"]))
    value = draw(one if shape == "one" else st.lists(one, max_size=3))
    body = json.dumps({"batch": value} if shape == "batch" else value).encode()
    coding: Headers = []
    if rarely(draw, 3):
        body = gzip.compress(body, 1, mtime=0)
        coding = [] if rarely(draw) else [(b"content-encoding", b"gzip")]
    if rarely(draw, 4):
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=3)) + body[at + draw(st.integers(0, 3)) :]
    return (draw(st.binary(max_size=30)) if rarely(draw) else body), coding


header_values = st.sampled_from(
    [
        *(b"gzip", b"x-gzip, gzip", b"application/json", b"text/plain;charset=utf-8"),
        *(b'text/plain; charset="', b"Basic dy1rZXk6", b"Basic \xff", b"Bearer w-key", b"w-key"),
        *(b"https://shop.example", b"null", b"1.2.3.4, ::1, x", b"fe80::1%eth0", b""),
    ]
) | st.binary(max_size=20)
HEADERS = [
    *(b"content-type", b"content-encoding", b"authorization", b"x-write-key", b"origin", b"host"),
    *(b"x-forwarded-for", b"access-control-request-headers", b"accept-encoding", b"X-Odd"),
]
PATHS = [
    *("/collect", "/v1/track", "/v1/t", "/v1/identify", "/v1/page", "/v1/group", "/v1/alias"),
    *("/v1/batch", "/v1/import", "/v1/projects/w-key/settings", "/health", "/ready", "", "*"),
]
POSTED = ["/collect", "/collect", "/collect", "/v1/batch", "/v1/track", "/v1/identify", "/v1/page"]
queries = st.binary(max_size=30) | st.sampled_from(
    [
        *(b"name=page+view&data[a][0]=1&data[a][x]=2", b"name=page+view&user[id]=%ff&key=w-key"),
        *(b"name=page+view&data[9999]=1", b"name=page+view&data[a][999]=1&data[a][-1]=2&[]=3"),
        *(b"a[" * 500, b"timestamp=1e400&name=a+b", b"name=page+view&id=%ED%A0%80"),
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """The scope of a request, and its body; most have something odd."""
    method, path = "POST", draw(st.sampled_from(POSTED))
    body, named = draw(bodies(*([CALL] if path.startswith("/v1") else [EVENT, COMMAND])))
    query = draw(queries) if rarely(draw, 3) else b""
    if rarely(draw, 6):
        method = draw(st.sampled_from(["GET", "GET", "OPTIONS", "HEAD", "PUT", "", "\u20ac"]))
    if rarely(draw, 6):
        path = draw(st.sampled_from(PATHS) | texts)
    if rarely(draw, 2):
        named.append((b"x-write-key", draw(st.sampled_from([b"w-key", b"s-key"]))))
    if rarely(draw, 3):
        odd = st.lists(st.tuples(st.sampled_from(HEADERS), header_values), max_size=4)
        named += draw(odd)
    client = draw(st.sampled_from([None, ("10.0.0.1", 1), ("", 0), ("::1", 5), ("unix:", None)]))
    scope = {
        "method": method,
        "path": path,
        "query_string": query,
        "headers": draw(st.permutations(named)),
        "client": client,
    }
    return scope, body


class Faults(logging.Handler):
    """Keeps what is logged as an error, or with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            self.found.append(record.getMessage())


@pytest.fixture
def faults() -> Iterator[Faults]:
    handler = Faults()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


class Door:
    """A collector with the application in front of it, and a loop to call it in."""

    def __init__(self, collector: Collector, settings: Settings) -> None:
        self.collector = collector
        self.loop = asyncio.new_event_loop()
        self.app: App = app(collector, settings)

    def ask(self, scope: dict[str, Any], body: bytes) -> tuple[int, bytes, dict[bytes, bytes]]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        self.loop.run_until_complete(self.app({"type": "http", **scope}, receive, send))
        start, end = sent
        return start["status"], end["body"], dict(start["headers"])


@pytest.fixture(scope="module")
def doors() -> Iterator[dict[bool, Door]]:
    """The application without keys and with some, in front of one collector."""
    registry = Registry()
    registry.register("kept", Kept)
    flow = load_flow({"destinations": {"kept": {"package": "kept"}}}, registry=registry)
    keys = {
        "web": Key(key=Secret("w-key"), origins=["https://shop.example"]),
        "server": Key(key=Secret("s-key"), trusted=True),
    }
    with Collector(flow, registry) as collector:
        made = {
            locked: Door(
                collector,
                Settings(
                    keys=keys if locked else {},
                    ip="truncated",
                    proxies=["10.0.0.0/8"],
                    cors=["https://shop.example"] if locked else True,
                    max_body=5_000,
                    max_batch=10,
                ),
            )
            for locked in (False, True)
        }
        yield made
        for door in made.values():
            door.loop.close()


@given(asked=requests(), locked=st.booleans())
@examples(500)
def test_whatever_is_sent_gets_a_clear_answer(
    doors: dict[bool, Door], faults: Faults, asked: tuple[dict[str, Any], bytes], locked: bool
) -> None:
    door = doors[locked]
    faults.found.clear()
    before = door.collector.status()
    status, answer, told = door.ask(*asked)
    assert 200 <= status < 500
    assert faults.found == []
    assert all(not set(value) & set(b"\r\n\0") for value in told.values())
    if status >= 400:
        said = json.loads(answer)
        assert said["success"] is False
        assert said.get("error") or (said["code"] and said["message"])
    after = door.collector.status()
    assert after.accepted == before.accepted or status in (200, 207)
    assert door.collector.flush(PATIENCE)
    assert door.collector.status().destinations["kept"].dead == 0  # each could be decoded


@given(
    sent=st.binary(max_size=200)
    | st.tuples(st.integers(0, len(REQUEST)), st.binary(max_size=5), st.integers(0, 5)).map(
        lambda cut: REQUEST[: cut[0]] + cut[1] + REQUEST[cut[0] + cut[2] :]
    )
    | st.lists(st.sampled_from(REQUEST.split(b"\r\n")), max_size=9).map(b"\r\n".join)
)
@example(sent=b"GET * HTTP/1.1\r\n\r\n")
@examples(300)
def test_whatever_bytes_come_are_answered_or_the_connection_closed(
    server: Server, faults: Faults, sent: bytes
) -> None:
    faults.found.clear()
    with server.connect() as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as file:
            line = file.readline()
    assert line == b"" or 200 <= int(line.split()[1]) < 500
    assert faults.found == []


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served() as made:
        yield made
        with made.connect() as connection:  # it still serves
            connection.sendall(REQUEST)
            assert answered(connection)[0] == 200
