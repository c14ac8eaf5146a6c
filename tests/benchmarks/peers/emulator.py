"""A Track API that is quick enough not to be what is measured: it counts, and answers `{}`.

    python -m tests.benchmarks.peers.emulator LATENCY_MS FOLDER

Serves HTTPS on a free port of 127.0.0.1 until its standard input closes. Prints the port, leaves
the certificate authority in FOLDER/ca.pem. GET /count answers how many operations came since the
last one.
"""

import asyncio
import ssl
import sys
from pathlib import Path

import trustme

_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
    b"Content-Length: %d\r\n\r\n%s"
)
_LENGTH = b"content-length:"


class Emulator:
    """Counts operations; `latency` (s) goes by before each answer."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.operations = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(_length(head))
                answer = await self._answer(head, body)
                writer.write(_ANSWER % (len(answer), answer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.close()  # the other side is done

    async def _answer(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"GET /count"):
            count, self.operations = self.operations, 0
            return b"%d" % count
        self.operations += body.count(b'"action":') if b"/batch " in head[:40] else 1
        if self.latency:
            await asyncio.sleep(self.latency)
        return b"{}"


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(_LENGTH)
    return int(lower[at + len(_LENGTH) : lower.index(b"\r\n", at)]) if at >= 0 else 0


def _tls(folder: Path) -> ssl.SSLContext:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


async def main(latency: float, folder: Path) -> None:
    """Serve until standard input closes."""
    server = await asyncio.start_server(
        Emulator(latency).serve, "127.0.0.1", 0, ssl=_tls(folder), limit=2**20
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) / 1000, Path(sys.argv[2])))
