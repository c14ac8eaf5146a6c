"""What fails before the first byte of a request has left is tried again, also a mail."""

import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.customerio import sockets
from tests.customerio.support import Memory, closed_port, settings_of
from walker_collector import DestinationDown, Rejected, Secret
from walker_dest_customerio.clients import Clients, open_clients
from walker_dest_customerio.delivery import Delivery
from walker_dest_customerio.event_delivery import EventDelivery
from walker_dest_customerio.operations import SendEmail, Track
from walker_dest_customerio.plan import Plan
from walker_dest_customerio.responses import NoResponse, NotProcessed
from walker_dest_customerio.sandbox import Sandbox
from walker_dest_customerio.sandbox.certificates import server_context

Open = Callable[..., Clients]


@pytest.fixture
def connect(customerio: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open clients that lead to the sandbox, with other settings on top; closed at the end."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    opened: list[Clients] = []

    def connect(**raw: Any) -> Clients:
        opened.append(open_clients(settings_of(**{**customerio.settings(), **raw})))
        return opened[-1]

    yield connect
    for clients in opened:
        clients.close()


@contextlib.contextmanager
def refused() -> Iterator[int]:
    yield closed_port()


SERVERS: dict[str, tuple[Callable[[], Any], str]] = {
    "refused": (refused, "Connection refused"),
    "closed in the handshake": (
        lambda: sockets.listening(sockets.close),
        "TLS handshake: .*(reset|EOF)",
    ),
    "reset in the handshake": (
        lambda: sockets.listening(sockets.reset),
        "TLS handshake: Connection reset",
    ),
    "hanging in the handshake": (
        lambda: sockets.listening(sockets.hang),
        r"TLS handshake: none within 1 s",
    ),
    "no TLS": (lambda: sockets.listening(sockets.no_tls), "TLS handshake: WRONG_VERSION"),
}
PROXIES: dict[str, tuple[Callable[[], Any], str]] = {
    "refused": (refused, "Connection refused"),
    "407": (lambda: sockets.listening(sockets.refusing_proxy(407)), "the proxy answered 407"),
    "503": (lambda: sockets.listening(sockets.refusing_proxy(503)), "the proxy answered 503"),
    "closed": (lambda: sockets.listening(sockets.close), "the proxy: .*(closed|reset)"),
    "hanging": (lambda: sockets.listening(sockets.hang), r"the proxy: none within 1 s"),
    "no HTTP": (lambda: sockets.listening(lambda c: c.sendall(b"?\r\n\r\n")), "the proxy: "),
    "reset beyond": (
        lambda: sockets.listening(sockets.proxy(sockets.reset)),
        "TLS handshake: Connection reset",
    ),
    "hanging beyond": (
        lambda: sockets.listening(sockets.proxy(sockets.hang)),
        r"TLS handshake: none within 1 s",
    ),
}


def mail(clients: Clients, progress: Memory) -> EventDelivery:
    """Deliver an event that sends a mail; return what became of it."""
    request = {"transactional_message_id": 1, "to": "a@b.com", "identifiers": {"id": "u1"}}
    job = EventDelivery(Plan([SendEmail(request), Track("u1", "seen", {})], person="u1"), progress)
    Delivery(clients).deliver([job])
    return job


def check_sent_later(
    connect: Open, customerio: Sandbox, clients: Clients, host: str, reason: str
) -> None:
    progress = Memory()
    for _ in range(2):
        job = mail(clients, progress)
        assert isinstance(job.error, NotProcessed)
        assert job.error.reason.startswith(f"App API: no connection to {host}")
        with pytest.raises(NotProcessed, match=reason):
            raise job.error
        assert "secret" not in job.error.reason
    assert progress.parts == {"track": "done"}
    assert mail(connect(), progress).error is None
    assert len(customerio.messages) == 1


@pytest.mark.parametrize("kind", SERVERS)
def test_mail_is_sent_later_where_no_connection_was_made(
    connect: Open, customerio: Sandbox, kind: str
) -> None:
    server, reason = SERVERS[kind]
    with server() as port:
        clients = connect(apiUrl=f"https://127.0.0.1:{port}", timeout=1_000)
        check_sent_later(connect, customerio, clients, f"127.0.0.1:{port}", reason)


@pytest.mark.parametrize("kind", PROXIES)
def test_mail_is_sent_later_where_a_proxy_did_not_let_it_through(
    connect: Open, customerio: Sandbox, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, reason = PROXIES[kind]
    with server() as port:
        # Only the App API, whose host has another name here, is behind the proxy.
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        away = customerio.api_url.replace("127.0.0.1", "localhost")
        clients = connect(apiUrl=away, timeout=1_000)
        host = f"{away.removeprefix('https://')} through the proxy 127.0.0.1:{port} "
        check_sent_later(connect, customerio, clients, host, reason)


def test_host_without_an_address_is_named_with_the_cause(connect: Open) -> None:
    with pytest.raises(NotProcessed, match=r"^Track API: cannot resolve no-such-host\.invalid: .+"):
        connect(trackUrl="https://no-such-host.invalid").track.delete("u1")


def test_mail_is_in_doubt_once_its_request_has_left(connect: Open, customerio: Sandbox) -> None:
    clients = connect()
    assert mail(clients, Memory()).error is None  # the connection is made, and kept
    customerio.fault("reset", path="/v1/send")
    progress = Memory()
    job = mail(clients, progress)
    assert isinstance(job.error, Rejected)
    assert "may have been sent (App API: no answer from" in job.error.reason
    assert progress.parts == {"send_email": "begun", "track": "done"}


def test_request_goes_through_the_proxy_that_the_environment_names(
    connect: Open, customerio: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sockets.listening(sockets.proxy()) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        job = mail(connect(), Memory())
    assert job.error is None
    assert len(customerio.messages) == len(customerio.events) == 1


def test_mail_is_in_doubt_behind_a_proxy_once_its_request_has_left(
    connect: Open, customerio: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    customerio.fault("hang", path="/v1/send")
    with sockets.listening(sockets.proxy()) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        job = mail(connect(timeout=1_000), Memory())
    assert isinstance(job.error, Rejected)
    assert "none within 1 s" in job.error.reason


@pytest.mark.parametrize(
    "address",
    [
        "http://",
        "http://\u20ac:x@127.0.0.1:9",
        "http://p:99999",
        "http://[bad",
        "http://user:secret@[::1",
        "http://user:secret@p\n:9",
        "ftp://user:secret@p",
        "x" * 70_000,
    ],
)
def test_proxy_that_cannot_be_stops_the_destination_and_no_event(
    connect: Open, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    progress = Memory()
    job = mail(connect(), progress)
    assert isinstance(job.error, DestinationDown)
    assert "proxies" in job.error.reason
    assert "secret" not in job.error.reason
    assert len(job.error.reason) < 500
    assert progress.parts == {}


@pytest.mark.parametrize("wrong", ["key\n", "key\u200b", "k\u00e9y\r\nX-Evil: 1"])
def test_credential_that_no_header_carries_stops_the_destination_and_no_event(
    customerio: Sandbox, wrong: str
) -> None:
    # Past the check of settings; whatever comes to pass, no event may die of it.
    with attrs.validators.disabled():
        settings = attrs.evolve(
            settings_of(**customerio.settings()), api_key=Secret(wrong), app_api_key=Secret(wrong)
        )
    clients = open_clients(settings)
    progress = Memory()
    job = mail(clients, progress)
    clients.close()
    assert isinstance(job.error, DestinationDown)
    assert progress.parts == {}
    assert customerio.messages == customerio.events == []
    assert "key" not in job.error.reason.replace("settings.appApiKey", "").replace("apiKey", "")


def test_file_of_authorities_that_is_not_there_stops_the_destination(
    connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    with pytest.raises(DestinationDown, match="certificates"):
        connect(caFile=None).track.delete("u1")


def test_credentials_are_not_replaced_by_those_of_a_netrc(
    connect: Open, customerio: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert mail(connect(), Memory()).error is None
    assert len(customerio.messages) == 1


@pytest.mark.parametrize("status", [200, 202, 204])
def test_success_without_a_body_is_a_success(
    connect: Open, customerio: Sandbox, status: int
) -> None:
    customerio.fault("status", status=status, body="", apply=True, times=None)
    progress = Memory()
    assert mail(connect(), progress).error is None
    assert progress.parts == {"send_email": "done"}


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (301, {"location": "http://[bad"}),
        (302, {"location": "//[::1/%zz"}),
        (308, {"location": ""}),
    ],
)
def test_odd_redirect_stops_the_destination(
    connect: Open, customerio: Sandbox, status: int, headers: dict[str, str]
) -> None:
    customerio.fault("redirect", status=status, times=None, **headers)
    with pytest.raises(DestinationDown, match="region"):
        connect().track.delete("u1")


@pytest.mark.parametrize(
    "value", ["9" * 400, "Fri, 31 Dec 9999999999 23:59:59 GMT", "-1e999", "NaN", "\u00b2", "1" * 30]
)
def test_odd_retry_after_is_a_wait_like_any_other(
    connect: Open, customerio: Sandbox, value: str
) -> None:
    customerio.fault("status", status=429, retry_after=value)
    with pytest.raises(NotProcessed) as caught:
        connect().track.delete("u1")
    assert caught.value.after is None or 0 <= caught.value.after <= 3600


def test_answer_that_drips_ends_with_the_time_limit(tmp_path: Path) -> None:
    tls = server_context(["127.0.0.1"], tmp_path / "ca.pem")

    def drip(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65_536)
            for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000:
                secure.sendall(bytes([byte]))
                over.wait(0.02)

    over = threading.Event()
    with sockets.listening(drip) as port:
        url, ca_file = f"https://127.0.0.1:{port}", str(tmp_path / "ca.pem")
        clients = open_clients(settings_of(trackUrl=url, caFile=ca_file, timeout=1_000))
        began = time.monotonic()
        with pytest.raises(NoResponse, match=r"none within 1 s"):
            clients.track.delete("u1")
        assert time.monotonic() - began < 5
        over.set()
        clients.close()


def test_large_request_that_is_taken_slowly_ends_with_the_time_limit(tmp_path: Path) -> None:
    tls = server_context(["127.0.0.1"], tmp_path / "ca.pem")

    def sip(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with tls.wrap_socket(connection, server_side=True) as secure:
            while secure.recv(1_000):
                over.wait(0.02)

    over = threading.Event()
    with sockets.listening(sip) as port:
        url, ca_file = f"https://127.0.0.1:{port}", str(tmp_path / "ca.pem")
        clients = open_clients(settings_of(trackUrl=url, caFile=ca_file, timeout=1_000))
        began = time.monotonic()
        with pytest.raises(NoResponse):
            clients.track.track("u1", "large", {"text": "x" * 20_000_000})
        assert 0.9 < time.monotonic() - began < 5
        over.set()
        clients.close()


def test_time_limit_is_that_of_each_request_on_a_kept_connection(
    connect: Open, customerio: Sandbox
) -> None:
    clients = connect(timeout=1_000)
    customerio.fault("latency", ms=300, times=None)
    for _ in range(5):
        clients.track.delete("u1")


@pytest.mark.parametrize("status", [200, 400])
def test_answer_without_an_end_is_not_read_to_it(tmp_path: Path, status: int) -> None:
    tls = server_context(["127.0.0.1"], tmp_path / "ca.pem")
    bomb = gzip.compress(b" " * 50_000_000)
    head = f"HTTP/1.1 {status} OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"

    def answer(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65_536)
            secure.sendall(head.encode() + bomb)
            secure.recv(1)

    with sockets.listening(answer) as port:
        url, ca_file = f"https://127.0.0.1:{port}", str(tmp_path / "ca.pem")
        clients = open_clients(settings_of(trackUrl=url, caFile=ca_file))
        with pytest.raises(NoResponse, match=r"no answer from .*ResponseTooLong"):
            clients.track.delete("u1")
        clients.close()


def test_answer_that_breaks_off_is_no_answer(connect: Open, customerio: Sandbox) -> None:
    customerio.fault("reset_body")
    with pytest.raises(NoResponse, match="no answer from 127"):
        connect().track.delete("u1")
