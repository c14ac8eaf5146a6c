"""Servers that fail before any request can reach them, and a proxy: real sockets, in threads."""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator

Handler = Callable[[socket.socket], None]


@contextlib.contextmanager
def listening(handle: Handler) -> Iterator[int]:
    """Listen on a free port, and handle each connection in a thread; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, handle), daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket, handle: Handler) -> None:
    while True:  # bounded: the server is shut down at the end of `listening`
        try:
            connection, _ = server.accept()
        except OSError:  # the test is over
            return
        threading.Thread(target=_handle, args=(connection, handle), daemon=True).start()


def _handle(connection: socket.socket, handle: Handler) -> None:
    with connection, contextlib.suppress(OSError):
        handle(connection)


def close(connection: socket.socket) -> None:
    """Read the beginning of what the client says, and close."""
    connection.recv(1)


def reset(connection: socket.socket) -> None:
    """Read the beginning of what the client says, and reset the connection."""
    connection.recv(1)
    # Lingering for no time turns the close into a TCP reset.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang(connection: socket.socket) -> None:
    """Say nothing, until the client leaves."""
    while connection.recv(65_536):
        pass


def no_tls(connection: socket.socket) -> None:
    """Answer as a server that speaks plain HTTP."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def refusing_proxy(status: int) -> Handler:
    """Return a proxy that answers every CONNECT with a status."""

    def handle(connection: socket.socket) -> None:
        _request_line(connection)
        connection.sendall(f"HTTP/1.1 {status} Go away, secret\r\n\r\n".encode())

    return handle


def proxy(beyond: Handler | None = None) -> Handler:
    """Return a proxy that connects to where it is asked, or has what is beyond answer itself."""

    def handle(connection: socket.socket) -> None:
        host, port = re.findall(r"CONNECT ([^:]+):(\d+)", _request_line(connection))[0]
        if beyond is not None:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            beyond(connection)
            return
        with socket.create_connection((host, int(port))) as target:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_pump, args=(target, connection), daemon=True)
            back.start()
            _pump(connection, target)
            back.join()  # bounded: both sockets are closed when a test is over

    return handle


def _request_line(connection: socket.socket) -> str:
    head = b""
    while not head.endswith(b"\r\n\r\n"):  # bounded: an end of the stream ends it
        head += connection.recv(1) or b"\r\n\r\n"
    return head.decode()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
