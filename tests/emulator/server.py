"""The emulator as a server: TLS on a free port, on a thread of its own."""

import asyncio
import contextlib
import json
import ssl
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import trustme

from tests.emulator.faults import Answer, Fault, Garbage, Poison, Raw, Refuse, Reset, Slow, TooLarge
from tests.emulator.requests import Credentials, Invalid, Operation, Parsed, Request, parse
from tests.support import PATIENCE, join

CREDENTIALS = Credentials("emulator-site", "emulator-track-key", "emulator-app-key")


class _Gone(Exception):
    """The connection is reset instead of an answer."""


class _Said(Exception):
    """Something that is no response of the emulator's is said, and the connection closed."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class Emulator:
    """Answers as Customer.io; a context manager.

    script: for each request, by number, how it goes wrong. Messages have a script of their own.
    poison: operations that make their request go wrong, wherever they come.
    latency: seconds before each answer.
    """

    def __init__(
        self,
        folder: Path,
        script: Sequence[Fault | None] = (),
        poison: Sequence[Poison] = (),
        messages: Sequence[Fault | None] = (),
        latency: float = 0.0,
    ) -> None:
        self.script, self.messages, self.poison = list(script), list(messages), list(poison)
        self.latency = latency
        self.accepted: list[Operation] = []
        self.repeated: list[Operation] = []
        self.refused: list[Operation] = []
        self.violations: list[str] = []
        self.requests = 0
        self.on_accepted: Callable[[Operation], object] | None = None
        self._messages = 0
        self._ulids: set[str] = set()
        self._ca_file = folder / "emulator-ca.pem"
        self._tls = _tls(self._ca_file)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="emulator", daemon=True)
        self._listening = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> "Emulator":
        self._thread.start()
        assert self._listening.wait(PATIENCE), "the emulator does not listen"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        join(self._thread)

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return settings of the Customer.io destination that lead here."""
        url = f"https://127.0.0.1:{self.port}"
        return {
            "siteId": CREDENTIALS.site_id,
            "apiKey": CREDENTIALS.api_key,
            "appApiKey": CREDENTIALS.app_api_key,
            "trackUrl": url,
            "apiUrl": url,
            "caFile": str(self._ca_file),
            "rateLimit": 100_000,
            "appRateLimit": 100_000,
            **more,
        }

    # --- sockets ---------------------------------------------------------------------------

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=self._tls, limit=2**20, backlog=500
        )
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._stop.wait()  # bounded: set at the end of the block
        server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:  # bounded: by the connection
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._answer(head, reader))
                await writer.drain()
        except _Gone:
            _reset(writer)
        except _Said as said:
            writer.transport.set_write_buffer_limits(0)  # `drain` waits until all has left
            writer.write(said.data)
            with contextlib.suppress(OSError):
                await writer.drain()
            writer.transport.abort()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, ssl.SSLError):
            writer.transport.abort()  # the other side is done
        finally:
            self._writers.discard(writer)

    async def _answer(self, head: bytes, reader: asyncio.StreamReader) -> bytes:
        method, target, headers = _head(head)
        message = target.startswith("/v1/send/")
        fault = self._next_fault(message)
        if fault == Reset("unread"):
            raise _Gone
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        number = self.requests - 1
        status, content, more = await self._process(
            Request(number, method, target, headers, body), fault
        )
        if self.latency:
            await asyncio.sleep(self.latency)
        return _response(status, content, more)

    def _next_fault(self, message: bool) -> Fault | None:
        self.requests += 1
        script = self.messages if message else self.script
        number = self._messages if message else self.requests - self._messages - 1
        self._messages += message
        return script[number] if number < len(script) else None

    # --- requests --------------------------------------------------------------------------

    async def _process(
        self, request: Request, fault: Fault | None
    ) -> tuple[int, bytes, dict[str, str]]:
        try:
            parsed, batch = parse(request, CREDENTIALS)
        except Invalid as error:
            self.violations.append(f"{request.method} {request.target}: {error}")
            return error.status, _errors(str(error)), {}
        operations = [item for item in parsed if isinstance(item, Operation)]
        fault = self._poisonous(operations) or fault
        match fault:
            case Answer(status, retry_after):
                wait = {"Retry-After": retry_after} if retry_after is not None else {}
                return status, _errors(f"scripted {status}"), wait
            case Reset("unread" | "read"):
                raise _Gone
            case Garbage(status, body):
                return status, body, {}
            case Raw(data):
                raise _Said(data)
            case TooLarge(items) if len(parsed) > items:
                return 413, _errors(f"more than {items} operations"), {}
        refused, indexed = self._refused(parsed, fault)
        for at, item in enumerate(parsed):
            if isinstance(item, Operation) and at not in refused:
                self._take(item)
        if fault == Reset("accepted"):
            raise _Gone
        if isinstance(fault, Slow):
            await asyncio.sleep(fault.seconds)
        if refused and batch:
            return 207, _refusals(refused, indexed), {}
        if refused:
            return 400, _errors(*refused.values()), {}
        if request.target.startswith("/v1/send/"):
            return 200, b'{"delivery_id":"d%d","queued_at":1700000000}' % request.number, {}
        return 200, b"{}\n", {}

    def _poisonous(self, operations: Sequence[Operation]) -> Fault | None:
        whole = (item for item in self.poison if not isinstance(item.fault, Refuse))
        return next((item.fault for item in whole if item.strike(operations)), None)

    def _refused(self, parsed: Parsed, fault: Fault | None) -> tuple[dict[int, str], bool]:
        """Return the refused operations by index, and whether the answer may tell the index."""
        refused = {at: str(item) for at, item in enumerate(parsed) if isinstance(item, Invalid)}
        self.violations += [f"operation: {reason}" for reason in refused.values()]
        if isinstance(fault, Refuse):
            self.poison.append(Poison(_same_as(parsed[len(parsed) // 2]), fault))
        indexed = True
        for poison in self.poison:
            if not isinstance(poison.fault, Refuse):
                continue
            for at, item in enumerate(parsed):
                if isinstance(item, Operation) and poison.strike([item]):
                    refused[at] = "scripted refusal"
                    self.refused.append(item)
                    indexed = indexed and poison.fault.indexed
        return refused, indexed

    def _take(self, operation: Operation) -> None:
        if operation.ulid is not None:
            if operation.ulid in self._ulids:
                self.repeated.append(operation)
                return
            self._ulids.add(operation.ulid)
        self.accepted.append(operation)
        if self.on_accepted is not None:
            self.on_accepted(operation)


def _same_as(item: Operation | Invalid) -> Callable[[Operation], bool]:
    """Return whether another operation is this one again."""

    def key(operation: Operation) -> object:
        named = (operation.person, operation.action)
        return operation.ulid or (*named, json.dumps(operation.data, sort_keys=True))

    wanted = None if isinstance(item, Invalid) else key(item)
    return lambda operation: key(operation) == wanted


def _tls(ca_file: Path) -> ssl.SSLContext:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side's system says "connection reset by peer"."""
    connection = writer.transport.get_extra_info("socket")
    connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _head(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines if line)
    return method, target, {name.lower(): value.strip() for name, _, value in pairs}


def _response(status: int, content: bytes, more: dict[str, str]) -> bytes:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Content-Length": str(len(content)),
        **more,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + content


def _errors(*messages: str) -> bytes:
    return json.dumps({"meta": {"errors": messages}}).encode()


def _refusals(refused: dict[int, str], indexed: bool) -> bytes:
    errors = [
        {
            **({"batch_index": at} if indexed else {}),
            "reason": "invalid",
            "field": "attributes",
            "message": reason,
        }
        for at, reason in sorted(refused.items())
    ]
    return json.dumps({"errors": errors}).encode()
