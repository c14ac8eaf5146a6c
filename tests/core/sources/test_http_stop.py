"""The stop of the HTTP server: each connection that the kernel has accepted gets its answer."""

import asyncio
import json
import socket
from typing import Any

import uvicorn

from tests.support import PATIENCE
from walker_collector.results import PushResult
from walker_collector.sources.http.app import App
from walker_collector.sources.http.connections import Loop, bounded
from walker_collector.sources.http.server import listen, stop_listening
from walker_collector.sources.http.settings import Settings

BODY = json.dumps({"name": "page view"}).encode()
HEAD = b"POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(BODY)


def accept(events: Any) -> list[PushResult]:
    return [PushResult("e1", {}) for _ in events]


async def read_answer(client: socket.socket) -> bytes:
    """Return the bytes of one answer, to the end of its body; b"" if there is none."""
    loop, data = asyncio.get_running_loop(), b""
    async with asyncio.timeout(PATIENCE):
        while b"}" not in data and (part := await loop.sock_recv(client, 65_536)):
            data += part
    return data


def connected(listener: socket.socket, sent: bytes) -> socket.socket:
    """Return a connection that the kernel has accepted, on which something was sent."""
    client = socket.create_connection(listener.getsockname(), PATIENCE)
    client.sendall(sent)
    client.setblocking(False)
    return client


async def answers_at_the_stop() -> dict[str, list[bytes]]:
    """Stop a server just as requests have come; return the answers."""
    app, settings = App(accept, Settings()), Settings()
    config = uvicorn.Config(
        app, http=bounded(settings, 1_000), lifespan="off", proxy_headers=False, log_config=None
    )
    config.load()
    server, listener = uvicorn.Server(config), listen("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    kept = [connected(listener, HEAD + BODY) for _ in range(5)]
    assert all([b" 200 OK" in await read_answer(client) for client in kept])
    app.drain()
    # The event loop sees nothing of these until the socket is closed.
    new = [connected(listener, HEAD + BODY) for _ in range(20)]
    partly = [connected(listener, HEAD[:20]) for _ in range(5)]
    await stop_listening(server, listener)
    for client in kept[:4]:
        client.sendall(HEAD + BODY)
    for connection in list(server.server_state.connections):
        connection.shutdown()  # as uvicorn does
    for client in partly:
        client.sendall(HEAD[20:] + BODY)
    server.should_exit = True
    await serving
    found = {
        "kept": [await read_answer(client) for client in kept],
        "new": [await read_answer(client) for client in new],
        "partly": [await read_answer(client) for client in partly],
    }
    for client in (*kept, *new, *partly):
        client.close()
    return found


def test_requests_that_come_as_the_server_stops_are_answered() -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        answers = runner.run(answers_at_the_stop())
    *kept, idle = answers["kept"]
    assert idle == b""
    for answer in (*kept, *answers["new"], *answers["partly"]):
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
        assert b"\r\nConnection: close\r\n" in answer
