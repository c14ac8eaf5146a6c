"""Connections that record how far a request came.

A mail whose request never left may be sent later; one whose request may have arrived must not.
urllib3's exceptions do not distinguish a reset during the TLS handshake from a reset while waiting
for the response. So each connection records when it sends the first byte.
"""

import threading
from typing import Any, Final, Literal

import requests
from customerio.client_base import TCPKeepAliveHTTPAdapter

from walker_collector.clients import (
    BoundedConnection,
    ResponseTooLong,
    bound_pools,
    call_within,
)

Phase = Literal["connect", "proxy", "handshake", "ready", "sent"]
"""Connecting, the proxy's CONNECT, TLS handshake, connected but nothing sent, first byte sent."""

_CHUNK_BYTES: Final = 65_536
_MAX_RESPONSE_BYTES: Final = 4_000_000
"""After decompression. Errors for every operation of a full batch take about 100,000 bytes."""


class _CurrentRequest(threading.local):
    """The request that this thread is making."""

    phase: Phase = "sent"


_request = _CurrentRequest()


def exchange(
    session: requests.Session, made: requests.PreparedRequest, options: dict[str, Any]
) -> requests.Response:
    """Send a request and read its response, decompressed; raises ResponseTooLong."""
    _request.phase = "sent"  # as far as a foreign adapter knows; ours records the truth
    with call_within(options["timeout"]):
        response = session.send(made, **options)
        if not isinstance(response._content, bytes):
            response._content = _read(response)
    return response


def _read(response: requests.Response) -> bytes:
    chunks, size = [], 0
    try:
        for chunk in response.iter_content(_CHUNK_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > _MAX_RESPONSE_BYTES:
                raise ResponseTooLong
    except BaseException:
        response.close()  # else its connection stays open until the garbage collector comes
        raise
    return b"".join(chunks)


def no_redirect(response: requests.Response) -> None:
    """Return no target of a redirect, in the place of `Session.get_redirect_target`."""


def phase() -> Phase:
    """Return the phase that this thread's last request reached."""
    return _request.phase


class _TrackedConnection(BoundedConnection):
    """Mixin for urllib3's connections: record the phase of the request."""

    _tunnel_host: str | None

    def connect(self) -> None:
        _request.phase = "connect"
        super().connect()  # type: ignore[misc]  # urllib3's connection
        _request.phase = "ready"

    def _new_conn(self) -> Any:
        made = super()._new_conn()
        _request.phase = "proxy" if self._tunnel_host else "handshake"
        return made

    def _tunnel(self) -> None:
        super()._tunnel()
        _request.phase = "handshake"

    def send(self, data: Any) -> None:
        if _request.phase == "ready":
            _request.phase = "sent"
        super().send(data)


class Adapter(TCPKeepAliveHTTPAdapter):  # type: ignore[misc]  # the SDK ships no types
    """The SDK's adapter, with tracked connections."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*args, **options)
        bound_pools(self.poolmanager, _TrackedConnection)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the pools of connections through a proxy."""
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if is_new:
            bound_pools(manager, _TrackedConnection)
        return manager

    def send(self, *args: Any, **options: Any) -> Any:
        """Send a request and record its phase."""
        _request.phase = "ready"
        return super().send(*args, **options)
