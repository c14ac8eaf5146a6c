"""A pooler, as its clients notice it: each request may go to another session of the server."""

import itertools
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_TERMINATE = b"X"
_READY = b"Z\0\0\0\5I"
"""The end of the server's answer to a request outside of a transaction."""


@contextmanager
def pooler(url: str) -> Iterator[str]:
    """Run a pooler before a database; yield the url of the database with it in between."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, url), daemon=True).start()
        yield make_conninfo(url, port=server.getsockname()[1], sslmode="disable")
        server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket, url: str) -> None:
    while True:  # bounded: by the end of the server that it listens with
        try:
            client, _ = server.accept()
        except OSError:  # it is over
            return
        threading.Thread(target=_take, args=(client, url), daemon=True).start()


def _take(client: socket.socket, url: str) -> None:
    to_server = conninfo_to_dict(url)
    address = (str(to_server["host"]), int(str(to_server["port"])))
    with (
        client,
        psycopg.connect(url) as spare,
        socket.create_connection(address) as first,
        socket.socket(fileno=os.dup(spare.fileno())) as second,
        suppress(EOFError),
    ):
        second.setblocking(True)
        _relay(client, first, second)


def _relay(client: socket.socket, first: socket.socket, second: socket.socket) -> None:
    """Log the client in to the first session; then pass its requests to both in turn."""
    answer = b""
    while not answer.endswith(_READY):  # bounded: by the end of a connection
        first.sendall(_received(client))
        answer = _received(first)
        client.sendall(answer)
    for session in itertools.cycle((second, first)):
        answer = b""
        while not answer.endswith(_READY):  # bounded: in the same way; a transaction stays
            for ready in select.select([client, session], [], [], 20)[0]:
                data = _received(ready)
                if ready is client and data.startswith(_TERMINATE):
                    return
                answer = answer + data if ready is session else b""
                (client if ready is session else session).sendall(data)


def _received(connection: socket.socket) -> bytes:
    """Return what has come. Raises EOFError if the other end has closed the connection."""
    data = connection.recv(65_536)
    if not data:
        raise EOFError
    return data
