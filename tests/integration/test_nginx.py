"""The source `http` behind a real nginx, with the flow and the configuration of the how-to."""

import getpass
import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.core.cli_support import spawned
from tests.docs.pages import ROOT, Block, parts
from tests.services import missing
from tests.support import PATIENCE, program, wait_until

PAGE = ROOT / "docs" / "howto" / "http-behind-nginx.md"
VISITOR = "127.0.0.77"
"""The address of a client: of this machine, and not that of nginx."""


@pytest.fixture(scope="session")
def nginx() -> str:
    """nginx's program."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        missing("nginx is not installed (Debian: nginx-light)")
    return found


def written(name: str) -> str:
    """Return a file of the page."""
    (block,) = (
        part for part in parts(PAGE) if isinstance(part, Block) and part.word.strip() == name
    )
    return block.text


def free_port() -> int:
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        port: int = once.getsockname()[1]
    return port


class Front:
    """What stands in front: its port, and a context that trusts it."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.port = port
        self.context = context

    @contextmanager
    def connected(self) -> Iterator[ssl.SSLSocket]:
        here = (VISITOR, 0)
        plain = socket.create_connection(("127.0.0.1", self.port), PATIENCE, source_address=here)
        with self.context.wrap_socket(plain, server_hostname="events.shop.example") as connection:
            yield connection

    def ask(self, body: bytes, path: str = "/collect", *headers: str) -> tuple[int, bytes]:
        """Post on a connection of its own; return status and body."""
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: events.shop.example",
            "Connection: close",
            f"Content-Length: {len(body)}",
            *headers,
        ]
        with self.connected() as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            with connection.makefile("rb") as answer:
                head, _, said = answer.read().partition(b"\r\n\r\n")
        return int(head.split()[1]), said


@pytest.fixture
def front(nginx: str, tmp_path: Path) -> Iterator[Front]:
    """The flow, served behind nginx."""
    authority = trustme.CA()
    made = authority.issue_cert("events.shop.example")
    made.private_key_and_cert_chain_pem.write_to_path(tmp_path / "events.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    inner, outer = free_port(), free_port()
    (tmp_path / "flow.json").write_text(written("flow.json").replace("8080", str(inner)))
    server = written("events.conf")
    for old, new in (
        ("8080", str(inner)),
        ("listen 443", f"listen 127.0.0.1:{outer}"),
        ("/etc/ssl/events.pem", str(tmp_path / "events.pem")),
        ("/etc/ssl/events.key", str(tmp_path / "events.pem")),
    ):
        assert old in server
        server = server.replace(old, new)
    paths = "\n".join(
        f"{kind}_temp_path {tmp_path};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; user {getpass.getuser()}; worker_processes 1; pid {tmp_path}/pid;"
        f"error_log {tmp_path}/error.log;"
        f"events {{}} http {{ {paths}\n{server} }}"
    )
    command = [nginx, "-p", tmp_path, "-e", tmp_path / "error.log", "-c", tmp_path / "nginx.conf"]
    with spawned("serve", tmp_path / "flow.json", cwd=tmp_path) as served, program(command):
        assert served.stderr is not None
        assert "http://127.0.0.1" in served.stderr.readline()
        wait_until(lambda: _listens(outer))
        yield Front(outer, context)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


def events(folder: Path) -> list[dict[str, Any]]:
    file = folder / "events.ndjson"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_events_come_through_with_the_address_of_their_sender(front: Front, tmp_path: Path) -> None:
    event = json.dumps({"name": "page view"}).encode()
    assert front.ask(event)[0] == 200
    assert front.ask(event, "/collect", "X-Forwarded-For: 203.0.113.9")[0] == 200
    wait_until(lambda: len(events(tmp_path)) == 2)
    assert [item["user"]["ip"] for item in events(tmp_path)] == ["127.0.0.0"] * 2


def test_what_is_too_large_is_refused_by_the_collector(front: Front) -> None:
    status, said = front.ask(b" " * 1_010_000)
    assert (status, json.loads(said)["error"][:33]) == (413, "the body is larger than 1,000,000")
    assert front.ask(b"", "/metrics")[0] == 403
    settings = front.ask(b"{}", "/v1/track", "X-Odd: 1")
    assert settings[0] == 400
    assert json.loads(settings[1])["code"] == "bad_request"


def test_connections_are_kept_on_both_sides(front: Front) -> None:
    body = b'{"name": "page view"}'
    request = (
        b"POST /collect HTTP/1.1\r\nHost: events.shop.example\r\nContent-Length: %d\r\n\r\n%s"
        % (len(body), body)
    )
    with front.connected() as connection, connection.makefile("rb") as answers:
        for _ in range(50):
            connection.sendall(request)
            assert b" 200 " in answers.readline()
            length = 0
            while (line := answers.readline().strip().lower()) != b"":
                if line.startswith(b"content-length"):
                    length = int(line.split()[1])
            assert json.loads(answers.read(length))["success"] is True
