"""Answers that no service should give, byte by byte, and servers that give them."""

import contextlib
import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import Callable
from typing import Final

from tests.customerio.sockets import Handler, listening

FOREIGN: Final = "ines@private.example"
"""Text of the service, which belongs into no log and no reason."""
_SPACES: Final = b" " * 20_000_000


def answer(status: str = "200 OK", headers: bytes = b"", body: bytes = b"{}") -> bytes:
    """Return a whole response with a Content-Length."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n".encode()
    return head + headers + b"\r\n" + body


def _chunked(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


SUCCESSES: Final = {
    "interim responses": b"HTTP/1.1 100 Go on\r\n\r\n" * 3 + answer(),
    "early hints": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 2 + answer(),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "205": answer("205 Reset Content", body=b""),
    "206": answer("206 Partial Content"),
    "lines that are no headers": answer(headers=f"{FOREIGN}\r\nno colon\r\n".encode()),
    "headers that are no text": answer(headers=b"X: \xff\xfe\x00\r\n"),
    "cookies that are none": answer(
        headers=b"Set-Cookie: a=\x01; expires=Thu, 99 Foo 99999\r\nSet-Cookie: ;; Max-Age=9e999\r\n"
    ),
}
"""Odd answers that are successes all the same."""

BROKEN: Final = {
    "nothing": b"",
    "no HTTP": b"\xff\xfe\x00" * 100,
    "HTTP 3": b"HTTP/3.0 200 OK\r\n\r\n{}",
    "status of four digits": answer(f"1000 {FOREIGN}"),
    "negative status": answer("-1 No"),
    "no status": answer("abc"),
    "endless interim responses": b"HTTP/1.1 100 Go on\r\n\r\n" * 250_000,
    "thousands of headers": answer(headers=b"X: y\r\n" * 5_000),
    "a header of 70,000 bytes": answer(headers=b"X: " + b"y" * 70_000 + b"\r\n"),
    "headers of 5 MB": answer(headers=(b"X: " + b"y" * 65_000 + b"\r\n") * 80),
    "two lengths": answer(headers=b"Content-Length: 3\r\n"),
}
"""Answers without a status that counts."""

BODIES: Final = {
    "gzip bomb": answer(headers=b"Content-Encoding: gzip\r\n", body=gzip.compress(_SPACES)),
    "deflate bomb": answer(headers=b"Content-Encoding: deflate\r\n", body=zlib.compress(_SPACES)),
    "gzip in gzip": answer(
        headers=b"Content-Encoding: gzip, gzip\r\n", body=gzip.compress(gzip.compress(_SPACES))
    ),
    "fifty encodings": answer(headers=b"Content-Encoding: " + b"gzip," * 50 + b"gzip\r\n"),
    "no gzip": answer(headers=b"Content-Encoding: gzip\r\n", body=b"nope"),
    "cut off": b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n{}",
    "length of 20 digits": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    "chunks without a size": _chunked(b"zz\r\n{}\r\n"),
    "negative chunk": _chunked(b"-2\r\n{}\r\n0\r\n\r\n"),
    "huge chunk": _chunked(b"fffffffffffffff\r\n{}"),
    "endless size of a chunk": _chunked(b"1" * 5_000_000),
    "endless trailers": _chunked(b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 800_000),
}
"""Successes by their status, with a body that cannot be read."""

WAITS: Final = {
    "far year": b"Fri, 31 Dec 9999 23:59:59 GMT",
    "beyond the calendar": b"Fri, 31 Dec 9999999999 23:59:59 GMT",
    "without a zone": b"Thu, 26 Nov 2026 18:00:00",
    "odd zone": b"Thu, 26 Nov 2026 18:00:00 +99999999999999",
    "negative": b"-5",
    "nan": b"nan",
    "infinite": b"1e400",
    "list": b"[1, 2]",
    "digits of another script": "\u0663".encode(),
    "thousands of digits": b"1" * 5_000,
    "empty": b"",
    "NUL": b"\x00",
    "two of them": b"5\r\nRetry-After: 9",
}
"""Values of Retry-After."""


def saying(data: bytes, tls: ssl.SSLContext | None = None) -> Handler:
    """Return a server that reads a request, says this, and closes."""

    def handle(connection: socket.socket) -> None:
        with _secured(connection, tls) as secure:
            secure.recv(1_000_000)
            secure.sendall(data)
            secure.settimeout(0.2)  # so that what the client has sent since causes no reset
            secure.recv(1)

    return handle


def repeating(
    start: bytes, data: bytes, pause: float, over: threading.Event, tls: ssl.SSLContext | None
) -> Handler:
    """Return a server that says `start`, and then `data` again and again, pausing (s) between."""

    def handle(connection: socket.socket) -> None:
        with _secured(connection, tls) as secure:
            secure.recv(1_000_000)
            secure.sendall(start)
            while not over.wait(pause):
                secure.sendall(data)

    return handle


def _secured(
    connection: socket.socket, tls: ssl.SSLContext | None
) -> contextlib.AbstractContextManager[socket.socket]:
    """Return the connection, after a handshake if it is one of TLS."""
    if tls is None:
        return contextlib.nullcontext(connection)
    return tls.wrap_socket(connection, server_side=True)


ENDLESS: Final[dict[str, tuple[bytes, bytes, float]]] = {
    "dripping head": (b"HTTP/1.1 200 OK\r\n", b"X", 0.02),
    "dripping interim responses": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.02),
    "dripping body": (b"HTTP/1.1 400 No\r\n\r\n", b" ", 0.02),
    "flood of a body": (b"HTTP/1.1 400 No\r\n\r\n", b" " * 65_536, 0.0),
    "flood of interim responses": (b"", b"HTTP/1.1 100 Go on\r\n\r\n" * 500, 0.0),
    "flood of chunks": (_chunked(b""), b"1\r\n \r\n" * 500, 0.0),
    "flood of headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 500, 0.0),
}
"""Answers without an end: the start, what is repeated, and the pause (s) between."""


def slow_relay(port: int, pause: float) -> Handler:
    """Return a server that passes on another one's bytes, one at a time, as in a slow handshake."""

    def handle(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as target:
            up = threading.Thread(target=_pump, args=(connection, target), daemon=True)
            up.start()
            waited = threading.Event()
            while data := target.recv(1):
                connection.sendall(data)
                waited.wait(pause)

    return handle


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)


def deaf(over: threading.Event, tls: ssl.SSLContext | None) -> Handler:
    """Return a server that never reads a request."""

    def handle(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with _secured(connection, tls):
            over.wait(30)

    return handle


Serve = Callable[[Handler], contextlib.AbstractContextManager[int]]
serve: Final[Serve] = listening
