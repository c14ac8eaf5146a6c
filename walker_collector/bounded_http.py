"""HTTP connections of urllib3 with one deadline for a whole call, and a bound on its response.

A socket's timeout starts again with every byte, and with every address of a host: a service that
answers a byte at a time, or takes one at a time, would hold a worker for ever. Here connecting, the
TLS handshake, sending, waiting and reading share the time of the call.

    pools = urllib3.PoolManager()
    bound_pools(pools, BoundedConnection)
    with call_within(10.0):      # s; around a request and the reading of its response
        ...

Only the look-up of a host's addresses has the time limit of the system's resolver.
"""

import contextlib
import http.client
import io
import logging
import math
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

RESPONSE_BYTES: Final = 4_000_000
"""Bytes of a response that are read, with its head, before they are unpacked."""
_PIECE_BYTES: Final = 16_384
"""Bytes sent at once by a transport of urllib3's, which counts a timeout for each TLS record."""


class ResponseTooLong(OSError):
    """A response of more bytes than any client of a service needs."""


class _Call(threading.local):
    """The call that this thread makes: its end by the monotonic clock (s), if it has one."""

    ends_at: float | None = None


_call = _Call()


@contextlib.contextmanager
def call_within(seconds: float) -> Iterator[None]:
    """Make a call on this thread: all of it must be complete within so many seconds."""
    _call.ends_at = time.monotonic() + seconds
    try:
        yield
    finally:
        _call.ends_at = None


def _is_not_of_a_call(record: logging.LogRecord) -> bool:
    """Return whether to log a record of urllib3, which quotes URLs and other parties' text."""
    return _call.ends_at is None


def _left(ends_at: float) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError("the call is not complete")
    return left


class _BoundedReader(io.RawIOBase):
    """Reads a socket until a deadline, or a number of bytes."""

    def __init__(self, raw: io.RawIOBase, sock: Any) -> None:
        self._raw = raw
        self._sock = sock
        self._timeout: float | None = sock.gettimeout()
        self._bytes_left = RESPONSE_BYTES
        if _call.ends_at is not None:
            self._ends_at = _call.ends_at
        else:
            self._ends_at = math.inf if self._timeout is None else time.monotonic() + self._timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = _left(self._ends_at)
        if left != math.inf:
            self._sock.settimeout(left)
        count: int | None = self._raw.readinto(buffer)
        self._bytes_left -= count or 0
        if self._bytes_left < 0:
            raise ResponseTooLong
        return count

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the connection may be gone
            self._sock.settimeout(self._timeout)
        self._raw.close()
        super().close()


class BoundedResponse(http.client.HTTPResponse):
    """A response that must be complete before the call ends."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        raw: Any = self.fp.detach()
        self.fp: Any = io.BufferedReader(_BoundedReader(raw, sock))

    def begin(self) -> None:
        """Read the head."""
        super().begin()
        if self.status == http.client.SWITCHING_PROTOCOLS:
            self.will_close = True

    def _read_status(self) -> tuple[str, int, str]:
        """Read the status line, past interim responses (1xx).

        Python skips 100 only. It takes the others for the response itself, and the one that follows
        for that of the next request.
        """
        while True:
            line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]  # not in stubs
            if not 101 < line[1] < 200:
                return line
            http.client.parse_headers(self.fp)


class BoundedConnection:
    """Mixin for urllib3's connections: everything ends with the call."""

    sock: Any
    port: int | None
    timeout: float | None
    _dns_host: str
    response_class = BoundedResponse

    def _new_conn(self) -> Any:
        """Connect. The addresses of a host share the time that is left."""
        ends_at = _call.ends_at
        if ends_at is None:
            return super()._new_conn()  # type: ignore[misc]  # urllib3's connection
        host, timeout = self._dns_host, self.timeout
        addresses = _addresses(host, self.port) or [host]
        try:
            for left in range(len(addresses), 0, -1):
                self._dns_host = addresses[-left]
                self.timeout = _left(ends_at) / left
                try:
                    made = super()._new_conn()  # type: ignore[misc]  # urllib3's connection
                except Exception:
                    if left == 1:
                        raise
                else:
                    made.settimeout(_left(ends_at))  # for the TLS handshake
                    return made
        finally:
            self._dns_host, self.timeout = host, timeout

    def _tunnel(self) -> None:
        super()._tunnel()  # type: ignore[misc]  # http.client's connection
        if _call.ends_at is not None:
            self.sock.settimeout(_left(_call.ends_at))  # for the TLS handshake

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]  # http.client's connection
        if _call.ends_at is None or not isinstance(data, bytes):
            super().send(data)  # type: ignore[misc]  # http.client's connection
            return
        # Python's sockets count one timeout for all that is sent at once. Each of several pieces
        # would give up the interpreter's lock, and wait for it again while other threads compute.
        size = len(data) if isinstance(self.sock, socket.socket) else _PIECE_BYTES
        for at in range(0, len(data), size or 1):
            self.sock.settimeout(_left(_call.ends_at))
            super().send(data[at : at + size])  # type: ignore[misc]  # http.client's connection


def _addresses(host: str, port: int | None) -> list[str]:
    """Return the addresses of a host; none if it has none, which urllib3 reports itself."""
    with contextlib.suppress(OSError, UnicodeError):
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(item[4][0]) for item in found))
    return []


def bound_pools(manager: Any, connection: type[BoundedConnection]) -> None:
    """Make all pools of a urllib3 manager use connections of this kind, and log no URLs."""
    for name in ("connection", "connectionpool"):
        logging.getLogger(f"urllib3.{name}").addFilter(_is_not_of_a_call)  # once: it is the same
    classes = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {
        scheme: _with_connection(classes[scheme], connection) for scheme in classes
    }


def _with_connection(pool: type[Any], connection: type[BoundedConnection]) -> type[Any]:
    made = type(pool.ConnectionCls.__name__, (connection, pool.ConnectionCls), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": made})
