"""Requests that are answered without ASGI.

Its tasks and messages would cost as much as accepting an event.
"""

import asyncio
import time
from typing import Any, Final

from walker_collector.sources.http.app import App
from walker_collector.sources.http.messages import Request, Response, raw_response


class DirectCycle:
    """A request that is being read, then its response, in the place of one of uvicorn's cycles.

    keep_alive: further requests may follow on the connection.
    """

    message_event: Final = asyncio.Event()
    """uvicorn sets it when something has come for the cycle. Nobody waits for it."""

    def __init__(self, app: App, request: Request, *, keep_alive: bool) -> None:
        self._app = app
        self._connection: Any = None
        self._request = request
        self._began = time.perf_counter()
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        self.parts: list[bytes] = []
        """The parts of the body."""

    def begin(self, connection: Any) -> None:
        """Have the request answered on a connection; its body is there."""
        self._connection = connection
        self._request.body = b"".join(self.parts)
        self._app.take(self._request, self._respond)

    def _respond(self, response: Response) -> None:
        response = self._app.counted(response, self._request.path, self._began)
        self.response_complete = True
        connection, self._connection = self._connection, None  # each would keep the other alive
        if self.disconnected or connection.transport.is_closing():
            return
        if not self.keep_alive:
            response = response.with_headers({"Connection": "close"})
        headers = connection.server_state.default_headers
        connection.transport.write(raw_response(response, headers))
        if "Connection" in response.headers:
            connection.transport.close()
        connection.on_response_complete()
