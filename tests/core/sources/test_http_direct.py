"""Requests that a server answers without ASGI: nothing tells them from those that it does not."""

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.core.sources.http_server_support import Server, served
from tests.support import PATIENCE, wait_until
from walker_collector import hookimpl
from walker_collector.sources.http.app import App

EVENT = b'{"name": "page view", "id": "e1"}'
HEALTH = b"GET /health HTTP/1.1\r\nHost: walker\r\n\r\n"


def request(body: bytes = EVENT, *more: bytes, path: bytes = b"/collect") -> bytes:
    head = [b"POST %s HTTP/1.1" % path, b"Host: walker", b"Content-Length: %d" % len(body), *more]
    return b"\r\n".join([*head, b"", body])


def chunked(body: bytes) -> bytes:
    head = b"POST /collect HTTP/1.1\r\nHost: walker\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


REQUESTS = {
    "event": request(),
    "batch": request(b"[%s, {}]" % EVENT),
    "no JSON": request(b"{"),
    "too large": request(b" " * 2_000),
    "other type": request(EVENT, b"Content-Type: image/gif"),
    "page of another origin": request(EVENT, b"Origin: https://shop.example"),
    "last one": request(EVENT, b"Connection: close"),
    "of Segment": request(b'{"userId": "u", "event": "A"}', path=b"/v1/track"),
    "escaped path": request(path=b"/%63ollect?x=%20"),
    "nowhere": request(path=b"/nowhere"),
    "chunks": chunked(EVENT),
    "older HTTP": request().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "pixel": b"GET /collect?name=page+view HTTP/1.1\r\nHost: walker\r\n\r\n",
    "offer of HTTP/2": request(EVENT, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"),
    "offer in a last one": request(EVENT, b"Connection: close, Upgrade", b"Upgrade: h2c"),
    "offer in chunks": chunked(EVENT).replace(
        b"Host:", b"Connection: upgrade\r\nUpgrade: x\r\nHost:"
    ),
    "other method": request().replace(b"POST", b"PUT"),
    "probe": HEALTH,
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served(maxBody=1_000) as made:
        yield made


class Client:
    """A connection to a server."""

    def __init__(self, server: Server) -> None:
        self._connection = server.connect()
        self._file = self._connection.makefile("rb")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._connection.close()

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def answer(self) -> tuple[bytes, dict[bytes, bytes], bytes]:
        """Return status, headers and body of the next answer, without what differs each time."""
        _, status, _ = self._file.readline().split(b" ", 2)
        headers: dict[bytes, bytes] = {}
        while line := self._file.readline().strip():
            name, _, value = line.partition(b": ")
            headers[name.lower()] = value
        body = self._file.read(int(headers.pop(b"content-length")))
        assert headers.pop(b"date")
        return status, headers, re.sub(rb'"(id|timestamp)":[^,}]*|"ids":\[[^]]*\]', b"", body)


def let_it_read(server: Server) -> None:
    """Return once the server has read what was sent on other connections."""
    with Client(server) as client:
        client.send(HEALTH)
        assert client.answer()[0] == b"200"


@pytest.mark.parametrize("kind", REQUESTS)
def test_request_in_pieces_gets_the_answer_of_a_whole_one(server: Server, kind: str) -> None:
    sent = REQUESTS[kind]
    with Client(server) as client:
        client.send(sent)
        whole = client.answer()
        if kind.startswith("offer"):
            assert whole[0] == b"200"
        if b"connection" in whole[1]:
            assert client.read() == b""
        else:
            client.send(sent * 3)  # the second waits for the first
            assert [client.answer() for _ in range(3)] == [whole] * 3
    end_of_head = sent.index(b"\r\n\r\n") + 4
    for at in {10, end_of_head, end_of_head + 1, len(sent) - 1} - {len(sent), len(sent) + 1}:
        with Client(server) as client:
            client.send(sent[:at])
            let_it_read(server)
            client.send(sent[at:])
            assert client.answer() == whole, at


def test_sender_that_asks_whether_to_go_on_is_told_so(server: Server) -> None:
    head, _, body = request(EVENT, b"Expect: 100-continue").partition(b"\r\n\r\n")
    with Client(server) as client:
        client.send(head + b"\r\n\r\n")
        go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert client.read(len(go_on)) == go_on
        client.send(body)
        assert client.answer()[0] == b"200"


def test_other_protocols_are_not_spoken(server: Server) -> None:
    with Client(server) as client:
        upgrade = b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        client.send(REQUESTS["pixel"].replace(b"\r\n\r\n", upgrade))
        assert client.answer()[0] == b"200"


def test_usual_request_takes_no_task(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(server) as client:
        with monkeypatch.context() as broken:
            broken.setattr(App, "__call__", None)
            client.send(request())
            assert client.answer()[0] == b"200"
        client.send(HEALTH)
        assert client.answer()[0] == b"200"


def test_event_of_a_sender_that_has_gone_is_accepted(caplog: pytest.LogCaptureFixture) -> None:
    began, go = threading.Event(), threading.Event()

    class Slow:
        @hookimpl
        def push(self, event: Any) -> None:
            began.set()
            assert go.wait(PATIENCE)

    with served(Slow, acknowledge="delivered") as server:
        with Client(server) as client:
            client.send(request())
            assert began.wait(PATIENCE)
        let_it_read(server)  # so that it has seen the end of the connection
        go.set()
        wait_until(lambda: server.collector.status().destinations["kept"].delivered == 1)
        let_it_read(server)
    assert not caplog.records
