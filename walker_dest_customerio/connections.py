"""Connections that record how far a request came, and that bound the time of a response.

A mail whose request never left may be sent later; one whose request may have arrived must not.
urllib3's exceptions do not distinguish a reset during the TLS handshake from a reset while waiting
for the response. So each connection records when it sends the first byte.

A socket's timeout starts again with every byte received, so a response that drips would never time
out. Here the timeout bounds the whole response.
"""

import contextlib
import http.client
import io
import math
import threading
import time
from functools import lru_cache
from typing import Any, Final, Literal

import requests
from customerio.client_base import TCPKeepAliveHTTPAdapter

Phase = Literal["connect", "proxy", "handshake", "ready", "sent"]
"""Connecting, the proxy's CONNECT, TLS handshake, connected but nothing sent, first byte sent."""

_CHUNK_BYTES: Final = 65_536
_MAX_RESPONSE_BYTES: Final = 4_000_000
"""After decompression. Errors for every operation of a full batch take about 100,000 bytes."""


class ResponseTooLong(Exception):
    """A response longer than any that Customer.io sends."""


class _CurrentRequest(threading.local):
    """The request that this thread is making."""

    phase: Phase = "sent"


_request = _CurrentRequest()


def exchange(
    session: requests.Session, made: requests.PreparedRequest, options: dict[str, Any]
) -> requests.Response:
    """Send a request and read its response, decompressed; raises ResponseTooLong."""
    _request.phase = "sent"  # as far as a foreign adapter knows; ours records the truth
    response = session.send(made, **options)
    if isinstance(response._content, bytes):
        return response
    chunks, size = [], 0
    for chunk in response.iter_content(_CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_RESPONSE_BYTES:
            response.close()
            raise ResponseTooLong
    response._content = b"".join(chunks)
    return response


def no_redirect(response: requests.Response) -> None:
    """Return no target of a redirect, in the place of `Session.get_redirect_target`."""


def phase() -> Phase:
    """Return the phase that this thread's last request reached."""
    return _request.phase


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until a deadline: the socket's timeout, counted from now."""

    def __init__(self, raw: io.RawIOBase, sock: Any) -> None:
        self._raw = raw
        self._sock = sock
        self._timeout: float | None = sock.gettimeout()
        self._ends_at = math.inf if self._timeout is None else time.monotonic() + self._timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the response is not complete")
        if self._timeout is not None:
            self._sock.settimeout(left)
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the connection may be gone
            self._sock.settimeout(self._timeout)
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    """A response that must be complete within the socket's timeout."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_DeadlineReader(raw, sock))


class _TrackedConnection:
    """Mixin for urllib3's connections: record the phase of the request."""

    _tunnel_host: str | None
    response_class = _BoundedResponse

    def connect(self) -> None:
        _request.phase = "connect"
        super().connect()  # type: ignore[misc]  # urllib3's connection
        _request.phase = "ready"

    def _new_conn(self) -> Any:
        made = super()._new_conn()  # type: ignore[misc]  # urllib3's connection
        _request.phase = "proxy" if self._tunnel_host else "handshake"
        return made

    def _tunnel(self) -> None:
        super()._tunnel()  # type: ignore[misc]  # http.client's connection
        _request.phase = "handshake"

    def send(self, data: Any) -> None:
        if _request.phase == "ready":
            _request.phase = "sent"
        super().send(data)  # type: ignore[misc]  # urllib3's connection


@lru_cache
def _tracked_pool(pool: type[Any]) -> type[Any]:
    """Return a pool class with tracked connections."""
    connection = type(pool.ConnectionCls.__name__, (_TrackedConnection, pool.ConnectionCls), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})


def _track_connections(manager: Any) -> None:
    """Make all pools of a manager use tracked connections."""
    classes = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _tracked_pool(classes[scheme]) for scheme in classes}


class Adapter(TCPKeepAliveHTTPAdapter):  # type: ignore[misc]  # the SDK ships no types
    """The SDK's adapter, with tracked connections."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **options)
        _track_connections(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the pools of connections through a proxy."""
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if is_new:
            _track_connections(manager)
        return manager

    def send(self, *args: Any, **options: Any) -> Any:
        """Send a request and record its phase."""
        _request.phase = "ready"
        return super().send(*args, **options)
