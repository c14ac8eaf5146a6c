"""A TLS front of a server that speaks none: clients prove who they are with a certificate."""

import asyncio
import ssl
import threading
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import trustme

from tests.support import PATIENCE, join

_CHUNK: Final = 65_536


class TlsFront:
    """Within a `with` block, decrypts what comes to `address` and passes it on to the server.

    `ca_file` is the authority of its certificate, and of the client's `cert_file`, `key_file`.
    """

    def __init__(self, folder: Path, server: str) -> None:
        self._host, port = server.split(":")
        self._port = int(port)
        authority = trustme.CA()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._tls)
        authority.configure_trust(self._tls)
        self._tls.verify_mode = ssl.CERT_REQUIRED
        client = authority.issue_cert("client@shop.example")
        self.ca_file, self.cert_file, self.key_file = (
            folder / name for name in ("front-ca.pem", "client.pem", "client-key.pem")
        )
        authority.cert_pem.write_to_path(str(self.ca_file))
        client.cert_chain_pems[0].write_to_path(str(self.cert_file))
        client.private_key_pem.write_to_path(str(self.key_file))
        self._place: Future[str] = Future()
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="tls-front", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.address = self._place.result(PATIENCE)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        join(self._thread)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0, ssl=self._tls)
        host, port = server.sockets[0].getsockname()
        self._place.set_result(f"{host}:{port}")
        await self._ended.wait()
        server.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            from_server, to_server = await asyncio.open_connection(self._host, self._port)
            await asyncio.gather(_pump(reader, to_server), _pump(from_server, writer))
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()
