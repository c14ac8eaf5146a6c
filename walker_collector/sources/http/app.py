"""The ASGI application: moves requests and answers; groups of requests are answered on a thread."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final

from walker_collector.asgi import Receive, Scope, Send, answer_lifespan
from walker_collector.figures import Figures
from walker_collector.results import Status
from walker_collector.sources.http.exchange import Accept, Exchange, Undecided, failed
from walker_collector.sources.http.messages import Request, RequestRejected, Response
from walker_collector.sources.http.metrics import count_request, metrics_page
from walker_collector.sources.http.refusal_log import RefusalLog
from walker_collector.sources.http.respond import Responder
from walker_collector.sources.http.settings import INSPECT, Settings, is_inspected
from walker_collector.sources.http.waiting import WaitingRequests

BODY_IS_THERE: Final = "walker_collector.body_is_there"
"""Tells in the scope of a request that its whole body has come: no limit of time is needed."""


class App:
    """An ASGI application that hands posted events to a collector, by `accept`.

    `status` returns the collector's figures, for `/ready`; `figures` are those for `/metrics`,
    which have the name of the source. `inspector` is an ASGI application that answers at
    `/inspect`, None: nothing does. `reads_whole`: the events are looked at.

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
        inspector: Any = None,
        *,
        reads_whole: bool = False,
    ) -> None:
        self._inspector = inspector
        self._status = status
        self._figures = figures or Figures(status)
        self._source = source
        self._draining = False
        self._refusal_log = RefusalLog(source)
        self._responder = Responder(
            settings,
            lambda: time.time_ns() // 1_000_000,
            self._unready,
            lambda accept: metrics_page(self._figures, accept),
            self._is_durable,
            reads_whole,
            self._refusal_log.not_stored,
        )
        self._exchange = Exchange(
            self._responder,
            accept,
            self._count_refused,
            waits=settings.acknowledge == "delivered",
        )
        self._timeout = settings.timeout / 1000
        self._waiting = WaitingRequests(self._exchange, self._responder.refuse, self._timeout)
        self._durable: bool | None = None
        self._max_body = settings.max_body
        self._body_time = settings.body_timeout / 1000

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI 3 defines it."""
        if scope["type"] == "lifespan":
            await answer_lifespan(receive, send)
        elif self._inspector is not None and is_inspected(_path(scope)):
            await self._inspector(_below(INSPECT, scope), receive, send)
        elif scope["type"] == "http":
            began = time.perf_counter()
            if response := await self._answer(scope, receive):
                await _send(send, self.counted(response, _path(scope), began))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})

    def takes(self, method: str, path: str) -> bool:
        """Return whether a request may bring events, so that `take` is for it."""
        if self._inspector is not None and is_inspected(path):
            return False
        return self._responder.may_bring_events(method, path)

    def take(self, request: Request, respond: Callable[[Response], object]) -> None:
        """Have a request that may bring events answered: `respond` is called on the running loop.

        Its events are accepted even if its sender has gone. Raises nothing.
        """
        self._waiting.add(request, respond)

    def counted(self, response: Response, path: str, began: float) -> Response:
        """Return an answer as it is sent, and count it; `began` is of `time.perf_counter`."""
        self._count(path, response.status, time.perf_counter() - began)
        return response.with_headers({"Connection": "close"}) if self._draining else response

    def drain(self) -> None:
        """Ask clients to close their connections, from now on."""
        self._draining = True
        if self._inspector is not None:
            self._inspector.drain()

    def _unready(self) -> str:
        """Return the reason why requests should go elsewhere; "" if there is none."""
        if self._draining:
            return "closing"
        return self._status().unready if self._status else ""

    def _count(self, path: str, status: int, seconds: float) -> None:
        route = self._responder.route_of(path)
        count_request(self._figures, self._source, route, status, seconds)
        if status == 429:
            self._refusal_log.no_room()

    def _count_refused(self, refusal: RequestRejected) -> None:
        self._figures.add(("refused", self._source, refusal.code))

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        """Return the answer to a request; None if its sender has gone before the end of it."""
        request = _request(scope)
        try:
            async with asyncio.timeout(None if BODY_IS_THERE in scope else self._body_time):
                body = await _body(receive, self._max_body)
        except TimeoutError:
            slow = RequestRejected(408, "the body came too slowly", {"Connection": "close"})
            return self._responder.refuse(request, slow)
        if body is None:
            return None
        request.body = body
        try:
            if not self._responder.may_bring_events(request.method, request.path):
                return await self._without_events(request)
        except Exception as error:  # a fault of ours: the sender tries again later
            return failed(error)
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.take(request, partial(_give, answer))
        return await answer

    async def _without_events(self, request: Request) -> Response:
        """Answer a request at once, or on a thread if its answer takes its time."""
        if not self._responder.reads_figures(request.path):
            return self._responder.answer_without_events(request)
        return await asyncio.to_thread(self._responder.answer_without_events, request)

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
        (answer,) = self._exchange.answers([request])
        if isinstance(answer, Undecided):
            answer.wait(self._timeout)
            answer = self._exchange.finish(answer)
        self._count(request.path, answer.status, time.perf_counter() - began)
        return answer.status, dict(answer.headers), answer.body

    def _is_durable(self) -> bool:
        """Return whether held events survive the end of the process."""
        if self._durable is None:
            self._durable = self._status().durable if self._status else True
        return self._durable


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


def _give(future: asyncio.Future[Response], response: Response) -> None:
    if not future.done():  # its task was cancelled
        future.set_result(response)


def _request(scope: Scope) -> Request:
    """Return a request without its body."""
    client = scope.get("client")
    return Request(
        scope["method"],
        _path(scope),
        scope.get("query_string", b"").decode("latin-1"),
        headers_of(scope["headers"]),
        b"",
        client[0] if client else "",
        scope.get("root_path", ""),
    )


def headers_of(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers as text, with their names in lower case."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}
    return headers if len(headers) == len(raw) else _united(raw)


def _united(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers of which some came several times.

    Of forwarded addresses every proxy adds its own; of others the first is taken.
    """
    headers: dict[str, str] = {}
    for name, value in raw:
        key = name.decode("latin-1").lower()
        if key == "x-forwarded-for" and key in headers:
            headers[key] += f",{value.decode('latin-1')}"
        else:
            headers.setdefault(key, value.decode("latin-1"))
    return headers


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root):  # mounted below another application
        path = path[len(root) :]
    return path or "/"


def _below(place: str, scope: Scope) -> Scope:
    """Return the scope for an application that is mounted at a place."""
    root: str = scope.get("root_path", "")
    return {**scope, "root_path": root + place, "path": root + _path(scope)}


@lru_cache(maxsize=256)
def _raw_header(name: str, value: str) -> tuple[bytes, bytes]:
    return name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace")


async def _send(send: Send, response: Response) -> None:
    headers = [_raw_header(name, value) for name, value in response.headers.items()]
    if response.status != 204:  # which has none
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
