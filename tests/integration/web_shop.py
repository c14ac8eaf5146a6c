"""A web application whose workers share a spool: as WSGI (`app`) and as ASGI (`asgi`).

The environment names the flow (SHOP_FLOW). A request says which workers are not to answer it.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from walker_collector import Collector

collector = Collector.from_file(os.environ["SHOP_FLOW"])

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def answer(body: bytes) -> bytes:
    """Do what a request says; the answer names the worker, and has no result if it is excepted."""
    asked = json.loads(body)
    me = os.getpid()
    return json.dumps({"by": me, "result": None if me in asked["but"] else _do(**asked)}).encode()


def _do(user: dict[str, str], n: int | None, marketing: bool | None, **_: Any) -> Any:
    if marketing is not None:
        return collector.consent({"marketing": marketing}, user=user)
    return collector.push("order complete", data={"n": n}, user=user).destinations["ads"]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    told = answer(body)
    start_response("200 OK", [("Content-Length", str(len(told)))])
    return [told]


async def asgi(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    told = await asyncio.to_thread(answer, body)
    headers = [(b"content-length", str(len(told)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": told})


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.to_thread(collector.close)
    await send({"type": "lifespan.shutdown.complete"})
