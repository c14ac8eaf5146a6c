"""The connections of the server: how many, and how large and slow their requests may be.

uvicorn bounds the time between two requests of a connection, and leaves the rest to a server in
front. Here none is needed.
"""

import asyncio
import select
import sys
from typing import Any, ClassVar, Final, cast
from urllib.parse import unquote

import httptools
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from walker_collector.sources.http.app import BODY_IS_THERE, App, headers_of
from walker_collector.sources.http.direct import DirectCycle
from walker_collector.sources.http.messages import (
    RETRY_AFTER,
    Request,
    json_response,
    raw_response,
)
from walker_collector.sources.http.request_parser import RequestParser
from walker_collector.sources.http.settings import Settings

_HEAD_BYTES: Final = 65_536
"""Bytes that the headers of a request may have, with its address."""
_HEADERS: Final = 100
_AHEAD: Final = 100
"""Requests that may be sent ahead, before the answer to the first."""
_TOLD: Final = 100
"""Connections beyond the most that are told so; those beyond these are just closed."""
_LINGER: Final = 1.0
"""Seconds between an answer and the close. Reading goes on in between: after a close with unread
bytes the sender gets a reset, and maybe no answer."""
_LAST: Final = 0.3
"""Seconds that the stop leaves for a request that is on its way."""
_HANDSHAKE: Final = 10.0
"""Seconds in which TLS must be agreed on; before that nothing counts as a connection."""
_OTHER_FILES: Final = 256
"""Open files of a process beside its connections: the spool, locks, those of destinations."""


class Connection(HttpToolsProtocol):
    """A connection within the limits of the settings; `bounded` makes the class for a server."""

    app: App
    max_connections: ClassVar[int]
    patience: ClassVar[float]
    """Seconds in which the headers of a request must have come, or an answer be read."""
    idle: ClassVar[dict["Connection", None]]
    """The connections that wait for a further request, those that wait longest first."""
    parser: RequestParser

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.parser = RequestParser(self)
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._is_extra = self._is_refused = self._progressed = False
        self._excess: tuple[int, str] | None = None
        self._futile = 0
        """Bytes since those that completed headers, or were of a body."""
        self._fed = 0
        """These, with the ones that are being parsed."""
        self._usual: DirectCycle | None = None
        """A usual request that is being read."""

    # --- the connection ----------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        extra = len(self.connections) - self.max_connections
        self._is_extra = extra > 0 and not self._close_an_idle_one()
        if self._is_extra and extra > _TOLD:
            transport.abort()
        self._start_timer(_LINGER if self._is_extra else self.patience)

    def connection_lost(self, exc: Exception | None) -> None:
        self.idle.pop(self, None)
        self._stop_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self.idle.pop(self, None)
        if self._is_extra:
            self._refuse(503, "there are too many connections")
            return
        self._fed, self._progressed = self._futile + len(data), False
        super().data_received(data)
        if self._is_refused:
            return
        if self._usual is not None:
            self._leave_to_uvicorn(self._usual)
        if self._progressed:
            self._futile = 0
            self._stop_timer()
            return
        self._futile = self._fed
        if self._futile > _HEAD_BYTES:
            self._refuse(431, "the headers are too large")
        elif self._timer is None:
            self._start_timer(self.patience)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.patience, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_timer()

    def shutdown(self) -> None:
        """Have the connection end, at the stop of the server, after the request that has come.

        uvicorn would close it if its request is not read yet, which resets it.
        """
        if self._is_refused or self.transport.is_closing():
            return
        is_idle = self in self.idle and not self._has_unread()
        if is_idle or not (self.cycle is None or self.cycle.response_complete):
            super().shutdown()
        else:  # its first request, or the rest of one, is on its way
            self._stop_timer()
            self._start_timer(_LAST)

    # --- the parser --------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _AHEAD:
            self._exceed(429, f"more than {_AHEAD} requests were sent ahead")
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._progressed = True
        if len(self.headers) > _HEADERS:
            self._exceed(431, f"there are more than {_HEADERS} headers")
        if self._fed > _HEAD_BYTES:  # not all of it need be of these headers
            self._check_size()
        if self.parser.is_offer():
            return
        self._usual = self._usual_cycle()
        if self._usual is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._progressed = True
        if self._usual is None:
            super().on_body(body)
        else:
            self._usual.parts.append(body)

    def on_message_complete(self) -> None:
        self._progressed = True
        if self.parser.is_offer():
            return
        if self._usual is None:
            cast(dict[str, Any], self.scope)[BODY_IS_THERE] = True
            super().on_message_complete()
            return
        usual, self._usual = self._usual, None
        self.cycle = cast(RequestResponseCycle, usual)  # it has all that is asked of one
        usual.begin(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:
            self.idle[self] = None

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that the parser has given up."""
        self._refuse(*(self._excess or (400, "the request is not valid HTTP")))

    # --- private -----------------------------------------------------------------------------

    def _usual_cycle(self) -> DirectCycle | None:
        """Return a cycle for a usual request, which needs nothing of ASGI; else None.

        It brings events, comes alone, and whole: in one piece of data with its body.
        """
        parser = self.parser
        method = parser.get_method().decode("ascii")
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        if "%" in path:
            path = unquote(path)
        if (
            not self.app.takes(method, path)
            or parser.get_http_version() != "1.1"
            or self.expect_100_continue
            or self.flow.write_paused
            or not (self.cycle is None or self.cycle.response_complete)
        ):
            return None
        query, client = (url.query or b"").decode("latin-1"), self.client[0] if self.client else ""
        request = Request(method, path, query, headers_of(self.headers), b"", client)
        return DirectCycle(self.app, request, keep_alive=parser.should_keep_alive())

    def _leave_to_uvicorn(self, usual: DirectCycle) -> None:
        """Hand a request over to uvicorn and ASGI: its body comes in pieces."""
        self._usual = None
        super().on_headers_complete()
        super().on_body(b"".join(usual.parts))

    def _close_an_idle_one(self) -> bool:
        """Make room for this connection; return whether there was one to close."""
        for other in self.idle:
            del self.idle[other]
            other.transport.close()
            return True
        return False

    def _check_size(self) -> None:
        if len(self.url) > _HEAD_BYTES:
            self._exceed(414, "the address is too long")
        if sum(len(name) + len(value) for name, value in self.headers) > _HEAD_BYTES:
            self._exceed(431, "the headers are too large")

    def _exceed(self, status: int, message: str) -> None:
        """End the parsing, which then calls `send_400_response`."""
        self._excess = (status, message)
        raise ValueError(message)

    def _refuse(self, status: int, message: str) -> None:
        """Answer, and close the connection a little later."""
        self._is_refused = True
        self._stop_timer()
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # it would be taken for the answer to the request before
            return
        headers = {"Connection": "close", **(RETRY_AFTER if status in (429, 503) else {})}
        body = {"success": False, "error": message}
        self.transport.write(raw_response(json_response(status, body, headers)))
        self._timer = self.loop.call_later(_LINGER, self.transport.close)

    def _has_unread(self) -> bool:
        """Return whether something has come that the event loop has not read yet, or the end."""
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _too_slow(self) -> None:
        self._timer = None
        if self._futile:
            self._refuse(408, "the request came too slowly")
        else:
            self.transport.close()

    def _start_timer(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


def bounded(settings: Settings, connections: int) -> type[Connection]:
    """Return the class of a server's connections, of which there may be so many."""
    limits = {
        "max_connections": connections,
        "patience": settings.body_timeout / 1000,
        "idle": {},
    }
    return type("BoundedConnection", (Connection,), limits)


class Loop(uvloop.Loop):
    """An event loop with a time limit for TLS handshakes."""

    async def create_server(self, *arguments: Any, **options: Any) -> Any:
        if options.get("ssl") is not None:
            options["ssl_handshake_timeout"] = _HANDSHAKE
        return await super().create_server(*arguments, **options)


def possible_connections(wanted: int) -> int:
    """Return the number of connections that leave this process enough files for the rest.

    Raises the process's limit of open files as far as that is allowed.
    """
    if sys.platform == "win32":
        return wanted
    import resource

    needed = wanted + _TOLD + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if needed <= soft or soft == resource.RLIM_INFINITY:
        return wanted
    limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return max(limit - _TOLD - _OTHER_FILES, 1)
