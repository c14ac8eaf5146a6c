"""A server whose answers nobody means, and events on their way to it."""

import gzip
import json
import logging
import random
import re
import socket
import ssl
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, Self

from attrs import Factory, define, field

from tests.core.support import PATIENCE
from tests.fuzz.mutation import Mutator
from tests.fuzz.wrong import short_pauses
from walker_collector import Collector
from walker_dest_customerio.sandbox.certificates import server_context

TIMEOUT: Final = 400
"""Milliseconds that a request may take."""
STATUSES: Final = (
    *(b"100", b"101", b"200", b"200", b"201", b"204", b"205", b"206", b"207", b"207", b"299"),
    *(b"300", b"301", b"304", b"307", b"308", b"400", b"401", b"403", b"404", b"405", b"407"),
    *(b"408", b"409", b"410", b"411", b"413", b"414", b"418", b"421", b"422", b"423", b"425"),
    *(b"428", b"429", b"431", b"451", b"499", b"500", b"501", b"502", b"503", b"504", b"505"),
    *(b"508", b"511", b"529", b"599", b"600", b"777", b"999", b"1000", b"0", b"-1", b"abc", b""),
)
HEADERS: Final = (
    b"Retry-After: 0",
    b"Retry-After: 0.01",
    b"Retry-After: -5",
    b"Retry-After: 1e400",
    b"Retry-After: NaN",
    b"Retry-After: Fri, 31 Dec 9999999999 23:59:59 GMT",
    b"Retry-After: " + b"9" * 5_000,
    b"Retry-After: \xb2",
    b"Location: http://[bad",
    b"Location: //[::1/%zz",
    b"Location: ",
    b"Location: https://127.0.0.1:1/elsewhere",
    b"Content-Encoding: gzip",
    b"Content-Encoding: br, gzip, \xff",
    b"Content-Encoding: " + b"gzip," * 50,
    b"Content-Type: application/json; charset=nothing",
    b"Content-Type: \xff\xfe",
    b"Content-Length: -1",
    b"Content-Length: 5, 6",
    b"Content-Length: many",
    b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Connection: close",
    b"Connection: \x00",
    b"Set-Cookie: a=b; expires=never; domain=\xff; path=" + b"/" * 5_000,
    b"WWW-Authenticate: Digest realm=\x1b[31m",
    b"X: " + b"y" * 100_000,
    b"no colon",
    b": no name",
    b" folded",
    b"\x00\xff: \xff",
    *(b"X-%d: y" % n for n in range(3)),
)
ERROR: Final = {"batch_index": 0, "reason": "invalid", "field": "a", "message": "no"}
BODIES: Final[Sequence[Any]] = (
    {},
    {"errors": [ERROR]},
    {"errors": [ERROR, {**ERROR, "batch_index": 3}, {**ERROR, "batch_index": 1}]},
    {"errors": [{"reason": "invalid"}]},
    {"meta": {"error": "what"}},
    {"meta": {"errors": ["one", "two"]}},
    {"delivery_id": "d", "queued_at": 1},
)
RAW: Final = (
    b"",
    b"null",
    b"[]",
    b"5",
    b"\xff\xfe\x00",
    b"\xef\xbb\xbf{}",
    b"[" * 100_000,
    b"9" * 10_000,
    b'"' + b"x" * 100_000 + b'"',
    b'{"errors":[{"message":"\\ud800\\u001b[2J"}]}',
    b" " * 2_000_000,
    gzip.compress(b"{}"),
    gzip.compress(b" " * 30_000_000),
    gzip.compress(b'{"errors":[]}')[:-4],
    b"5\r\nabc\r\nzz\r\n",
    b"2\r\n{}\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\n",
)


@define(eq=False)
class OddServer:
    """Answers each request as a seed decides, until `mend`; then as a healthy service does."""

    seed: int
    tls: ssl.SSLContext | None = None
    answered: int = 0
    _healthy: threading.Event = Factory(threading.Event)
    _lock: threading.Lock = Factory(threading.Lock)
    _mutator: Mutator = field(init=False)
    _listener: socket.socket = field(init=False)

    @_mutator.default
    def _new_mutator(self) -> Mutator:
        return Mutator(self.seed, BODIES)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._healthy.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def mend(self) -> None:
        """Answer properly from now on."""
        self._healthy.set()

    def _accept(self) -> None:
        with suppress(OSError):  # the server is closed
            while True:  # bounded: the listener is shut down at the end
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(PATIENCE)
        with suppress(OSError, ValueError), plain:
            wrapped = self.tls.wrap_socket(plain, server_side=True) if self.tls else plain
            with wrapped, wrapped.makefile("rb") as reader:
                while _read_request(reader):
                    if self._healthy.is_set():
                        wrapped.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                    else:
                        self._answer_oddly(wrapped)

    def _answer_oddly(self, connection: socket.socket) -> None:
        with self._lock:
            self.answered += 1
            chance = self._mutator.chance
            answer, way = self._odd_answer(), chance.random()
            cut = chance.randrange(len(answer) + 1)
        if way < 0.05:
            raise OSError("closed without an answer")
        if way < 0.1:
            _reset(connection)
        elif way < 0.15:
            connection.sendall(answer[:cut])
            raise OSError("closed in the midst")
        elif way < 0.17:
            self._healthy.wait(2 * TIMEOUT / 1000)
        elif way < 0.2:
            for at in range(min(len(answer), 200)):
                connection.sendall(answer[at : at + 1])
                self._healthy.wait(0.01)
        else:
            connection.sendall(answer)

    def _odd_answer(self) -> bytes:
        chance = self._mutator.chance
        body = self._body()
        lines = [b"HTTP/1.1 " + chance.choice(STATUSES) + b" X"]
        if chance.random() < 0.05:
            lines = [
                chance.choice((b"", b"\x00\xff", b"ICY 200 OK", b"HTTP/9.9 200 OK", b"<html>"))
            ]
        lines += chance.sample(HEADERS, chance.choice((0, 0, 0, 1, 1, 2, 5)))
        if chance.random() < 0.9:
            lines.append(b"Content-Length: %d" % (len(body) + chance.choice((0,) * 8 + (5, -1))))
        if chance.random() < 0.02:
            lines += [b"X-%d: y" % n for n in range(1_000)]
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    def _body(self) -> bytes:
        chance = self._mutator.chance
        if chance.random() < 0.3:
            return chance.choice(RAW)
        body = chance.choice(BODIES)
        if chance.random() < 0.6:
            body = self._mutator.mutate(body)
        content = json.dumps(body).encode("utf-8", "surrogatepass")
        return self._mutator.damage(content) if chance.random() < 0.2 else content


def _read_request(reader: Any) -> bool:
    """Read a request to its end; return whether there was one."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):  # bounded: an end of the stream ends it
        line = reader.readline(1_000_000)
        if not line:
            return False
        head += line
    length = re.search(rb"(?i)content-length: (\d+)", head)
    reader.read(int(length[1]) if length else 0)
    return True


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise OSError("reset")


Kind = Literal["batch", "single", "http", "http batch"]


@define(eq=False)
class AnswerFuzz:
    """Sends events to an odd server; each must end once, or wait until the server has recovered."""

    kind: Kind
    seed: int
    folder: Path
    durable: bool = False
    found: list[str] = Factory(list)
    accepted: int = 0
    died: int = 0
    delivered: int = 0

    def run(self, answers: int) -> None:
        """Push until the server has given so many odd answers; then check the end."""
        ca_file = self.folder / "ca.pem"
        tls = server_context(["127.0.0.1"], ca_file) if not self.kind.startswith("http") else None
        log = _Errors()
        logging.getLogger("walker_collector").addHandler(log)
        try:
            with (
                short_pauses(),
                OddServer(self.seed, tls) as server,
                Collector.from_config(self._flow(server, ca_file)) as collector,
            ):
                self._push(collector, server, answers)
                server.mend()
                self._check(collector)
        finally:
            logging.getLogger("walker_collector").removeHandler(log)
        self.found += log.found[:5]

    def _flow(self, server: OddServer, ca_file: Path) -> dict[str, Any]:
        config: dict[str, Any] = {
            "retry": {"base": 1, "cap": 20, "attempts": 1_000},
            "breaker": {"threshold": 5, "cooldown": 5},
            "concurrency": 4,
            "batch": {"size": 7, "wait": 1},
        }
        if tls := server.tls is not None:
            mail = {"map": {"to": "user.email", "transactional_message_id": {"value": 1}}}
            config["mapping"] = {"order": {"pay": {"settings": {"sendEmail": mail}}}}
        settings: dict[str, Any] = {"timeout": TIMEOUT, "caFile": str(ca_file)}
        url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
        if tls:
            settings |= {"siteId": "s", "apiKey": "k", "appApiKey": "a", "delivery": self.kind}
            settings |= {"trackUrl": url, "apiUrl": url, "rateLimit": 1e5, "appRateLimit": 1e5}
            config["mapping"]["*"] = {"*": {"settings": {"identify": {"map": {"n": "data.n"}}}}}
        else:
            settings = {"timeout": TIMEOUT, "url": url, "batch": self.kind == "http batch"}
        package = "customerio" if tls else "http"
        spool = {"spool": {"path": str(self.folder / "spool.db")}} if self.durable else {}
        entry = {"package": package, "config": {"settings": settings, **config}}
        return {"collector": spool, "destinations": {"there": entry}}

    def _push(self, collector: Collector, server: OddServer, answers: int) -> None:
        chance = random.Random(self.seed)
        while server.answered < answers and self.accepted < 20 * answers:
            for _ in range(10):
                n, person = self.accepted, f"u{chance.randrange(12)}"
                user = {"id": person, "email": f"{person}@example.com"}
                name = "order pay" if n % 10 == 0 else "cart add"
                collector.push(name, data={"n": n}, user=user)
                self.accepted += 1
            collector.flush(0.1)

    def _check(self, collector: Collector) -> None:
        if not collector.flush(PATIENCE):
            self.found.append(f"some wait for ever: {collector.status()}")
        status = collector.status_of("there")
        ended = status.delivered + status.empty + status.died
        self.delivered, self.died = status.delivered, status.died
        if self.accepted != status.accepted or status.accepted + status.requeued != ended:
            self.found.append(f"figures do not add up: {status}")
        letters = collector.dead()
        if len(letters) != status.died - status.requeued:
            self.found.append(f"{len(letters)} dead letters: {status}")
        for letter in letters:
            if not letter.reason.strip() or not letter.reason.isprintable():
                self.found.append(f"reason of a dead letter: {letter.reason!r}")
            if re.search(r"\.py:\d+", letter.reason):
                self.found.append(f"died of an error of ours: {letter.reason}")


class _Errors(logging.Handler):
    """Keeps what the log tells of exceptions that were not meant."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if " raised " in message or record.exc_info:
            self.found.append(message)
