"""Posts events over kept connections, as fast as they are answered: a process of its own.

`python -m tests.benchmarks.http_load URL REQUESTS BATCH CONNECTIONS`: prints the seconds it took.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from typing import Final, cast
from urllib.parse import urlsplit

from tests.benchmarks.workload import mix

_EVENTS: Final = 1_000
_PREFIX: Final = time.time_ns() // 1_000_000
"""Makes ids that no other process makes: a server must not know the events."""


def bodies(batch: int) -> Iterator[bytes]:
    """Yield bodies without end: one event each, or a list of `batch`; every event has its id."""
    texts = [json.dumps({**event, "id": "@"}).encode() for event in mix(_EVENTS)]
    numbers = itertools.count()
    events = (
        text.replace(b'"@"', b'"%d-%d"' % (_PREFIX, number))
        for number, text in zip(numbers, itertools.cycle(texts), strict=False)
    )
    while True:
        if batch == 1:
            yield next(events)
        else:
            yield b"[%s]" % b",".join(itertools.islice(events, batch))


class _Client(asyncio.Protocol):
    """Sends a request, and the next once it is answered; `ended` once there are no more."""

    def __init__(self, host: bytes, path: bytes, requests: Iterator[bytes]) -> None:
        self._head = b"POST %s HTTP/1.1\r\nHost: %s\r\n" % (path, host)
        self._head += b"Content-Type: application/json\r\nContent-Length: "
        self._requests = requests
        self._answer = b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        if not self._answer.startswith(b"HTTP/1.1 200"):
            self.ended.set_exception(RuntimeError(repr(self._answer[:500])))
            self._transport.close()
            return
        self._answer = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error or ConnectionError("closed by the server"))

    def _send(self) -> None:
        body = next(self._requests, None)
        if body is None:
            self.ended.set_result(None)
            self._transport.close()
        else:
            self._transport.write(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.split(b"\r\n", 1)[0])


async def load(url: str, requests: int, batch: int, connections: int) -> float:
    """Post that many requests; return the seconds from the first to the last answer."""
    parts = urlsplit(url)
    feed = itertools.islice(bodies(batch), requests)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    clients = [
        (
            await loop.create_connection(
                lambda: _Client(parts.netloc.encode(), parts.path.encode(), feed),
                parts.hostname,
                parts.port,
            )
        )[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.ended for client in clients))
    return time.perf_counter() - began


def main() -> None:
    """Run as the module says."""
    import uvloop

    url, *numbers = sys.argv[1:]
    requests, batch, connections = map(int, numbers)
    print(uvloop.run(load(url, requests, batch, connections)))


if __name__ == "__main__":
    main()
