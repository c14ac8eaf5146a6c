"""A connection to a server that is cut at the worst moment: just before a write, or just after.

Or the server hangs from then on.
"""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from attrs import define, field
from psycopg.conninfo import conninfo_to_dict, make_conninfo


@define
class Cutting:
    """Connections through `url` are cut at the next commit, if `at` is "before" or "after" it.

    Or at another request, with `request` in it; its answer ends with `answer`. `refuses`: after a
    cut, new connections are closed at once. If `at` is "hang", the request is passed on, and then
    nothing in any connection, until `flows` is set.
    """

    url: str = ""
    at: str = ""
    request: bytes = b"COMMIT"
    answer: bytes = b"COMMIT\0"
    cuts: int = 0
    refuses: bool = False
    flows: threading.Event = field(factory=threading.Event)


@contextmanager
def cutting(url: str) -> Iterator[Cutting]:
    """Run a relay before a database."""
    target = conninfo_to_dict(url)
    with socket.create_server(("127.0.0.1", 0)) as server:
        relay = Cutting(make_conninfo(url, port=server.getsockname()[1], sslmode="disable"))
        address = (str(target["host"]), int(str(target["port"])))
        threading.Thread(target=_serve, args=(server, address, relay), daemon=True).start()
        relay.flows.set()
        yield relay
        relay.flows.set()
        server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket, address: tuple[str, int], relay: Cutting) -> None:
    while True:  # bounded: by the end of the server that it listens with
        try:
            client, _ = server.accept()
        except OSError:  # it is over
            return
        if relay.refuses and relay.cuts:
            client.close()
            continue
        args = (client, socket.create_connection(address), relay)
        threading.Thread(target=_pass_on, args=args, daemon=True).start()


def _pass_on(client: socket.socket, server: socket.socket, relay: Cutting) -> None:
    with client, server, suppress(BrokenPipeError):
        while True:  # bounded: by the end of either connection
            for ready in select.select([client, server], [], [])[0]:
                relay.flows.wait(timeout=60)
                try:
                    data = ready.recv(65_536)
                except OSError:
                    return
                if not data:
                    return
                if ready is client and relay.at == "hang" and relay.request in data:
                    relay.at = ""
                    relay.flows.clear()
                elif ready is client and relay.at and relay.request in data:
                    _cut(client, server, data, relay)
                    return
                (server if ready is client else client).sendall(data)


def _cut(client: socket.socket, server: socket.socket, data: bytes, relay: Cutting) -> None:
    where, relay.at = relay.at, ""
    relay.cuts += 1
    if where == "before":
        return
    server.sendall(data)
    answer = b""
    while relay.answer not in answer:  # the rest of the request may come in further pieces
        for ready in select.select([client, server], [], [])[0]:
            if ready is client:
                server.sendall(client.recv(65_536))
            else:
                answer += server.recv(65_536)
