"""A pooler, as its clients notice it: each request may go to another session of the server."""

import itertools
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_READY = b"Z\0\0\0\5I"
"""The end of the server's answer to a request outside of a transaction."""
_TERMINATE = b"X"


@contextmanager
def pooler(url: str) -> Iterator[str]:
    """Run a pooler before a database; yield the url of the database with it in between."""
    to_server = conninfo_to_dict(url)
    with socket.create_server(("127.0.0.1", 0)) as server, psycopg.connect(url) as spare:
        address = (str(to_server["host"]), int(str(to_server["port"])))
        threading.Thread(target=_serve, args=(server, address, spare), daemon=True).start()
        yield make_conninfo(url, port=server.getsockname()[1], sslmode="disable")
        server.shutdown(socket.SHUT_RDWR)


def _serve(
    server: socket.socket, address: tuple[str, int], spare: "psycopg.Connection[object]"
) -> None:
    while True:  # bounded: by the end of the listening socket
        try:
            client, _ = server.accept()
        except OSError:  # it is over
            return
        with (
            client,
            socket.create_connection(address) as first,
            socket.socket(fileno=os.dup(spare.fileno())) as second,
            suppress(EOFError),
        ):
            first.setblocking(True)
            second.setblocking(True)
            _relay(client, first, second)


def _relay(client: socket.socket, first: socket.socket, second: socket.socket) -> None:
    """Log the client in to the first session; then pass its requests to both in turn."""
    answer = b""
    while not answer.endswith(_READY):  # bounded: by the end of either connection
        first.sendall(_received(client))
        answer = _received(first)
        client.sendall(answer)
    for session in itertools.cycle((second, first)):
        request = _received(client)
        if request.startswith(_TERMINATE):
            return
        session.sendall(request)
        answer = b""
        while not answer.endswith(_READY):  # bounded: by the end of the connection
            answer += _received(session)
        client.sendall(answer)


def _received(connection: socket.socket) -> bytes:
    """Return what has come. Raises EOFError if the other end has closed the connection."""
    data = connection.recv(65_536)
    if not data:
        raise EOFError
    return data
