"""The ASGI application: reads requests, accepts their events in groups, and answers."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from concurrent.futures import wait
from functools import partial
from typing import Any, Final

from walker_collector.errors import SpoolFull, WalkerError
from walker_collector.figures import Figures
from walker_collector.groups import Groups
from walker_collector.hookspecs import Received
from walker_collector.results import PushResult, Status
from walker_collector.sources.http.acceptance import Results, awaited, decisions, pushed, undecided
from walker_collector.sources.http.call import Call
from walker_collector.sources.http.messages import Request, RequestRejected, Response, json_response
from walker_collector.sources.http.metrics import count_request, metrics_page
from walker_collector.sources.http.respond import Accept, Responder
from walker_collector.sources.http.settings import Settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_BYTES: Final = 64_000_000
"""Bytes of bodies with waiting events, at most; parsed, they take many times the memory."""

logger = logging.getLogger("walker_collector")


class App:
    """An ASGI application that hands posted events to a collector, by `accept`.

    `status` returns the collector's figures, for `/ready`; `figures` are those for `/metrics`,
    which have the name of the source.

    Raises nothing: every request gets an answer. It may be mounted in another application, and
    used by several event loops.
    """

    def __init__(
        self,
        accept: Accept,
        settings: Settings,
        status: Callable[[], Status] | None = None,
        figures: Figures | None = None,
        source: str = "http",
    ) -> None:
        self._push = accept
        self._status = status
        self._figures = figures or Figures(status)
        self._source = source
        self._draining = False
        self._responder = Responder(
            settings,
            lambda: time.time_ns() // 1_000_000,
            self._unready,
            lambda accept: metrics_page(self._figures, accept),
            self._is_durable,
        )
        self._waits = settings.acknowledge == "delivered"
        self._timeout = settings.timeout / 1000
        self._durable: bool | None = None
        self._max_body = settings.max_body
        self._bytes = 0
        """Bytes of bodies with waiting events."""
        self._body_time = settings.body_timeout / 1000
        self._groups: Groups[Received, PushResult | WalkerError] = Groups(
            partial(pushed, accept), "walker-http"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI 3 defines it."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            began = time.perf_counter()
            response = await self._answer(scope, receive)
            if response is None:
                return
            if self._draining:
                response = response.with_headers({"Connection": "close"})
            await _send(send, response)
            self._count(scope, response.status, time.perf_counter() - began)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})

    def drain(self) -> None:
        """Ask clients to close their connections, from now on."""
        self._draining = True

    def _unready(self) -> str:
        """Return the reason why requests should go elsewhere; "" if there is none."""
        if self._draining:
            return "closing"
        return self._status().unready if self._status else ""

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = self._responder.route_of(_path(scope))
        count_request(self._figures, self._source, route, status, seconds)

    def _count_refused(self, events: Iterable[object]) -> None:
        for event in events:
            if isinstance(event, RequestRejected):
                self._figures.add(("refused", self._source, event.code))

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        """Return the answer to a request; None if its sender has gone before the end of it."""
        try:
            async with asyncio.timeout(self._body_time):
                body = await _body(receive, self._max_body)
        except TimeoutError:
            refused = {"success": False, "error": "the body came too slowly"}
            return json_response(408, refused, {"Connection": "close"})
        if body is None:
            return None
        request = _request(scope, body)
        try:
            if self._responder.reads_figures(request.path):
                call = await asyncio.to_thread(self._responder.read, request)
            else:
                call = self._responder.read(request)
            if isinstance(call, Response):
                return call
            events = self._events_of(call)
            if self._waits and request.method == "POST":
                results = await self._decided(events, call.size)
            else:
                results = await self._accept(events, call.size)
            return self._responder.answer(request, call, results)
        except Exception:  # a fault of ours: the sender tries again later
            return _failed()

    def respond(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | str = b"",
        client: str = "",
    ) -> tuple[int, dict[str, str], bytes]:
        """Return the status, headers and body that answer a request, for servers other than ASGI.

        `target` is the path with its query, `client` the address that the request comes from. It
        returns once the events are accepted, or as `acknowledge` says.
        """
        began, request = time.perf_counter(), Request.of(method, target, headers, body, client)
        try:
            response = self._respond(request)
        except Exception:
            response = _failed()
        route = self._responder.route_of(request.path)
        seconds = time.perf_counter() - began
        count_request(self._figures, self._source, route, response.status, seconds)
        return response.status, dict(response.headers), response.body

    def _respond(self, request: Request) -> Response:
        call = self._responder.read(request)
        if isinstance(call, Response):
            return call
        events = self._events_of(call)
        if not self._waits or request.method != "POST":
            return self._responder.answer(request, call, pushed(self._push, events))
        events, futures = awaited(events)
        results = pushed(self._push, events)
        wait(undecided(futures, results), self._timeout)
        return self._responder.answer(request, call, decisions(results, futures))

    def _events_of(self, call: Call) -> list[Received]:
        """Return the events of a call to accept; count those that are refused already."""
        events = [event for event in call.events if isinstance(event, Received)]
        if len(events) < len(call.events):
            self._count_refused(call.events)
        return events

    async def _decided(self, events: Sequence[Received], size: int) -> Results:
        """Accept events; return their results once the destinations have decided on them.

        That takes no longer than `timeout`: then some results are still those of accepting.
        """
        events, futures = awaited(events)
        results = await self._accept(events, size)
        if waits := {*map(asyncio.wrap_future, undecided(futures, results))}:
            await asyncio.wait(waits, timeout=self._timeout)
        return decisions(results, futures)

    def _is_durable(self) -> bool:
        """Return whether what is held survives the end of the process."""
        if self._durable is None:
            self._durable = self._status().durable if self._status else True
        return self._durable

    async def _accept(self, events: Sequence[Received], size: int) -> Results:
        if self._bytes and self._bytes + size > _BYTES:
            return [SpoolFull("too many events wait to be accepted")] * len(events)
        self._bytes += size
        try:
            return await self._groups.add(events)
        finally:
            self._bytes -= size


def _failed() -> Response:
    """Return the answer where an exception is being handled, which is a fault of ours."""
    logger.exception("source http: a request could not be answered")
    return json_response(500, {"success": False, "error": "internal error"})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


async def _body(receive: Receive, most: int) -> bytes | None:
    """Return the body of a request, or its beginning if it has more than `most` bytes.

    None if the connection has ended before the body.
    """
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        if size <= most:  # the rest is read to the end, so that the sender gets the answer
            parts.append(part)
        size += len(part)
        more = message.get("more_body", False)
    return b"".join(parts)[: most + 1]


def _request(scope: Scope, body: bytes) -> Request:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        # Of forwarded addresses every proxy adds its own; of others the first is taken.
        if key == "x-forwarded-for" and key in headers:
            headers[key] += f",{value.decode('latin-1')}"
        else:
            headers.setdefault(key, value.decode("latin-1"))
    client = scope.get("client")
    return Request(
        scope["method"],
        _path(scope),
        scope.get("query_string", b"").decode("latin-1"),
        headers,
        body,
        client[0] if client else "",
        scope.get("root_path", ""),
    )


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root):  # mounted below another application
        path = path[len(root) :]
    return path or "/"


async def _send(send: Send, response: Response) -> None:
    headers = [
        (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in response.headers.items()
    ]
    headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
