"""The HTTPS server, on aiohttp, around the service."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

import orjson
from aiohttp import web
from attrs import asdict

from walker_dest_customerio.sandbox.effects import EFFECTS, Hit
from walker_dest_customerio.sandbox.faults import KINDS, Fault, FaultError, fault_from
from walker_dest_customerio.sandbox.record import RequestRecord
from walker_dest_customerio.sandbox.response import JSON_TYPE, Response, one_error
from walker_dest_customerio.sandbox.service import ENDPOINTS, Endpoint, Service

AsyncHandler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Far above every limit of Customer.io, so that the service answers them, not aiohttp.
MAX_BODY = 32 * 1024 * 1024
NOT_PROCESSED = Response(0, b"", operations=0)
UNKNOWN_ENDPOINT = "unknown"
ABOUT = {
    "about": "A local Customer.io: Track API v1 and v2, and the transactional App API.",
    "GET /sandbox/state": "people, events, messages and counters; DELETE empties them",
    "GET /sandbox/requests": "the requests, with status, size and fault",
    "GET /sandbox/faults": "the faults in force; POST adds some, DELETE removes all",
    "kinds of faults": KINDS,
}


class Server:
    """Serves a `Service` over HTTPS on one port; `latency_ms` delays every API request."""

    def __init__(self, service: Service, latency_ms: float = 0.0) -> None:
        self.service = service
        self.latency_ms = latency_ms
        self._released = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext) -> int:
        """Listen and return the port. Raises OSError if the address is not available."""
        # Cancelling on disconnect ends the handlers of requests that hang.
        self._runner = web.AppRunner(
            self.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.5
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=tls).start()
        except OSError:
            await self.close()
            raise
        bound: int = self._runner.addresses[0][1]
        return bound

    async def close(self) -> None:
        """End the requests that hang and stop listening."""
        self.release()
        if self._runner is None or self._runner.server is None:
            return
        transports = [connection.transport for connection in self._runner.server.connections]
        await self._runner.cleanup()
        for transport in transports:
            # A proper TLS close would wait for clients that keep their connection open.
            if transport is not None:
                with suppress(AttributeError):  # Python 3.11.2, of one that is closed already
                    transport.abort()
        await asyncio.sleep(0)

    def release(self) -> None:
        """End the requests that hang."""
        self._released.set()
        self._released = asyncio.Event()

    def application(self) -> web.Application:
        """Return the application: the API, subject to faults, and /sandbox, free of them."""
        application = web.Application(client_max_size=MAX_BODY, middlewares=[self._json_errors])
        for endpoint in ENDPOINTS:
            application.router.add_route(endpoint.method, endpoint.path, self._handler(endpoint))
        application.add_routes(
            [
                *(web.get(path, self._get_about) for path in ("/", "/sandbox", "/sandbox/")),
                web.get("/sandbox/state", self._get_state),
                web.delete("/sandbox/state", self._delete_state),
                web.get("/sandbox/requests", self._get_requests),
                web.get("/sandbox/faults", self._get_faults),
                web.post("/sandbox/faults", self._post_faults),
                web.delete("/sandbox/faults", self._delete_faults),
            ]
        )
        return application

    def _handler(self, endpoint: Endpoint) -> AsyncHandler:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            disturbance = self.service.disturb(request.path)
            await self._delay(disturbance.delay_ms)
            fault, now = disturbance.fault, self.service.clock()
            answer = NOT_PROCESSED
            if fault is None or fault.apply:
                answer = self._process(endpoint, request, body, now)
            # Logged before it is answered, so that a client with a response finds it in the log.
            record = _record(request, endpoint.name, answer, now, len(body), fault)
            self.service.note(record, answer.rejected)
            if fault is None:
                return _response(answer)
            return await EFFECTS[fault.kind](Hit(request, fault, self._released))

        return handle

    async def _delay(self, fault_ms: float) -> None:
        if self.latency_ms + fault_ms:
            await asyncio.sleep((self.latency_ms + fault_ms) / 1000)

    def _process(
        self, endpoint: Endpoint, request: web.Request, body: bytes, now: float
    ) -> Response:
        authorization = request.headers.get("Authorization", "")
        params, host = request.match_info, request.host
        return self.service.answer(endpoint, params, body, authorization, host, now)

    @web.middleware
    async def _json_errors(self, request: web.Request, handler: AsyncHandler) -> web.StreamResponse:
        """Answer unknown paths, wrong methods and giant bodies in JSON, and log them too."""
        try:
            return await handler(request)
        except web.HTTPException as error:
            answer = one_error(error.status, error.reason.lower(), operations=0)
            if not request.path.startswith("/sandbox/"):
                size, now = request.content_length or 0, self.service.clock()
                self.service.note(_record(request, UNKNOWN_ENDPOINT, answer, now, size))
            return _response(answer)

    async def _get_about(self, request: web.Request) -> web.Response:
        return _response(Response(200, json.dumps(ABOUT, indent=2).encode() + b"\n"))

    async def _get_state(self, request: web.Request) -> web.Response:
        return _json(self.service.state())

    async def _delete_state(self, request: web.Request) -> web.Response:
        self.service.reset()
        return _json({})

    async def _get_requests(self, request: web.Request) -> web.Response:
        return _json([asdict(record) for record in self.service.requests()])

    async def _get_faults(self, request: web.Request) -> web.Response:
        return _json(self.service.faults())

    async def _post_faults(self, request: web.Request) -> web.Response:
        try:
            content = orjson.loads(await request.read())
            faults = [fault_from(item) for item in _as_list(content)]
        except (orjson.JSONDecodeError, FaultError) as error:
            return _response(one_error(400, str(error)))
        self.service.add_faults(faults)
        return _json(self.service.faults())

    async def _delete_faults(self, request: web.Request) -> web.Response:
        self.service.clear_faults()
        self.release()
        return _json({})


def _record(
    request: web.Request,
    endpoint: str,
    answer: Response,
    now: float,
    size: int,
    fault: Fault | None = None,
) -> RequestRecord:
    return RequestRecord(
        method=request.method,
        path=request.raw_path,
        endpoint=endpoint,
        status=answer.status if fault is None else fault.answer_status,
        time=now,
        operations=answer.operations,
        bytes=size,
        fault=None if fault is None else fault.kind,
    )


def _as_list(content: object) -> list[object]:
    """Return the content as a list; a single fault is a list of one."""
    return content if isinstance(content, list) else [content]


def _response(answer: Response) -> web.Response:
    headers = {"Content-Type": JSON_TYPE}
    return web.Response(status=answer.status, body=answer.body, headers=headers)


def _json(content: object) -> web.Response:
    """Return JSON about the sandbox itself, by the standard library: orjson nests less deeply."""
    return _response(Response(200, json.dumps(content).encode()))
