"""The limits of the source `http`, on real sockets: connections, sizes, times, TLS."""

import contextlib
import json
import re
import select
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.core.sources.http_server_support import Server, served
from tests.support import python, wait_until
from walker_collector.sources.http import connections, tls

BODY = b'{"name": "page view"}'
REQUEST = (
    b"POST /collect HTTP/1.1\r\nHost: walker\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


def answered(connection: socket.socket) -> tuple[int, Any, bool]:
    """Return status and body of the next answer, and whether the server closes after it."""
    with connection.makefile("rb") as file:
        line = file.readline()
        if not line:
            raise ConnectionError("closed without an answer")
        status = int(line.split()[1])
        headers: dict[bytes, bytes] = {}
        while (line := file.readline().strip()) != b"":
            name, _, value = line.partition(b": ")
            headers[name.lower()] = value
        body = json.loads(file.read(int(headers[b"content-length"])))
    return status, body, headers.get(b"connection") == b"close"


def is_closed(connection: socket.socket) -> bool:
    """Return whether the server closes a connection, without a word."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def exchanged(connection: socket.socket, request: bytes = REQUEST) -> int:
    connection.sendall(request)
    return answered(connection)[0]


@pytest.fixture(autouse=True)
def _no_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_LINGER", 0.1)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with the usual limits."""
    with served() as made:
        yield made


@pytest.fixture(scope="module")
def impatient() -> Iterator[Server]:
    """A server that waits for requests and readers for 200 ms."""
    with served(bodyTimeout=200, keepAlive=1_000) as made:
        yield made


# --- slow senders ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /collect HTTP/1.1\r\nHost: wal",
        REQUEST + b"POST",
        REQUEST[:-1],
        b"POST /collect HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    ],
    ids=["headers", "headers of a second request", "body", "body in chunks"],
)
def test_slow_request_is_given_up_with_408(impatient: Server, sent: bytes) -> None:
    with impatient.connect() as connection:
        if sent.startswith(REQUEST):
            assert exchanged(connection) == 200
            sent = sent.removeprefix(REQUEST)
        connection.sendall(sent)
        status, body, closes = answered(connection)
        assert (status, closes) == (408, True)
        assert "too slowly" in body["error"]
        assert is_closed(connection)


@pytest.mark.parametrize("first", [b"", REQUEST], ids=["a first request", "a later one"])
@pytest.mark.parametrize("trickle", [b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000, b"\r\n" * 500])
def test_request_that_comes_byte_by_byte_is_given_up(
    impatient: Server, first: bytes, trickle: bytes
) -> None:
    with impatient.connect() as connection:
        assert not first or exchanged(connection, first) == 200
        for byte in trickle:
            connection.sendall(bytes([byte]))
            if select.select([connection], [], [], 0.01)[0]:
                break
        else:
            pytest.fail("it reads on and on")
        assert answered(connection)[0] == 408


def test_connection_without_a_request_is_closed(impatient: Server) -> None:
    with impatient.connect() as connection:
        assert is_closed(connection)


def test_connection_that_waits_for_a_request_is_closed_in_the_end(impatient: Server) -> None:
    with impatient.connect() as connection:
        assert exchanged(connection) == 200
        assert is_closed(connection)


def test_sender_that_reads_no_answers_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    body = b"[" + b",".join([b"{}"] * 1_000) + b"]"  # each is an error in the answer
    request = REQUEST.replace(b"%d" % len(BODY), b"%d" % len(body)).replace(BODY, body)
    with served(maxConnections=1, bodyTimeout=300) as server, server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with contextlib.suppress(ConnectionError):  # it may be cut off while it sends
            connection.sendall(request * 80)  # the answers are more than all buffers hold
        served_at_once = _is_served(server)
        wait_until(lambda: _is_served(server))
    assert not served_at_once
    assert not caplog.records


def _is_served(server: Server) -> bool:
    with server.connect() as connection:
        try:
            return exchanged(connection) == 200
        except ConnectionError:  # refused before its request was read
            return False


# --- large heads ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(10_000)), 431),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 5_000_000, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 5_000_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 101 + b"\r\n", 431),
        (b"GET /?" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 5_000_000, 431),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 5_000_000, 431),
    ],
    ids=[
        "10,000 headers",
        "endless header",
        "large header",
        "endless address",
        "101 headers",
        "large address",
        "endless trailer",
        "endless extension of a chunk",
    ],
)
def test_large_head_is_refused_and_no_more_of_it_read(
    server: Server, sent: bytes, status: int
) -> None:
    with server.connect() as connection:
        with contextlib.suppress(ConnectionError):  # closed before all of it was sent
            connection.sendall(sent)
        try:
            found, _, closes = answered(connection)
        except (ConnectionError, IndexError):
            assert len(sent) > 1_000_000  # the answer was lost with the rest
        else:
            assert (found, closes) == (status, True)
        with server.connect() as other:
            assert exchanged(other) == 200


def test_usual_headers_are_no_flood(server: Server) -> None:
    headers = b"".join(b"X-%d: %s\r\n" % (n, b"x" * 500) for n in range(95))
    with server.connect() as connection:
        for _ in range(3):  # of each request anew
            request = REQUEST.replace(b"Host: walker\r\n", b"Host: walker\r\n" + headers)
            assert exchanged(connection, request) == 200


def test_requests_are_answered_in_order_and_not_too_many_taken_ahead(server: Server) -> None:
    request = b"GET /%d HTTP/1.1\r\nHost: walker\r\n\r\n"
    with server.connect() as connection, connection.makefile("rb") as file:
        asked = [b"collect?name=page+view", b"nowhere"] * 45
        connection.sendall(b"".join(request.replace(b"%d", path) for path in asked))
        connection.sendall(request[:-2] + b"Connection: close\r\n\r\n")
        found = re.findall(rb"HTTP/1.1 (\d+)", file.read())
        assert found == [b"200", b"404"] * 45 + [b"404"]
    with server.connect() as connection:
        connection.sendall(b"".join(request % at for at in range(5_000)))
        with connection.makefile("rb") as file, contextlib.suppress(ConnectionError):
            assert file.read().count(b"HTTP/1.1 404") <= 102


# --- bad requests ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX : 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET http:// HTTP/1.1\r\n\r\n",
        b"POST /collect HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    ],
)
def test_bytes_that_are_no_request_are_refused(
    server: Server, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with server.connect() as connection:
        connection.sendall(sent)
        status, body, closes = answered(connection)
        assert (status, body["success"], closes) == (400, False, True)
        assert is_closed(connection)
    assert not caplog.records


def test_bad_request_is_not_answered_in_the_place_of_one_before(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(REQUEST + b"\x00\x00\r\n\r\n")
        with connection.makefile("rb") as file:
            assert not file.read().startswith(b"HTTP/1.1 400")


# --- connections ----------------------------------------------------------------------------------


def test_connections_beyond_the_most_are_refused_and_served_later() -> None:
    with served(maxConnections=5) as server, ExitStack() as stack:
        busy = [stack.enter_context(server.connect()) for _ in range(5)]
        for connection in busy:
            connection.sendall(REQUEST[:-1])
        with server.connect() as connection:
            connection.sendall(REQUEST)
            status, body, closes = answered(connection)
            assert (status, closes) == (503, True)
            assert "too many connections" in body["error"]
        for connection in busy:
            assert exchanged(connection, REQUEST[-1:]) == 200
        busy[0].close()
        wait_until(lambda: _is_served(server))


def test_connection_that_waits_for_a_request_makes_room() -> None:
    with served(maxConnections=3) as server, ExitStack() as stack:
        waiting = [stack.enter_context(server.connect()) for _ in range(3)]
        for connection in waiting:
            assert exchanged(connection) == 200
        assert exchanged(stack.enter_context(server.connect())) == 200
        assert is_closed(waiting[0])  # the one that waited longest
        assert [exchanged(connection) for connection in waiting[1:]] == [200, 200]


def test_flood_of_connections_is_closed() -> None:
    with served(maxConnections=1) as server, ExitStack() as stack:
        flood = [stack.enter_context(server.connect()) for _ in range(300)]
        flood[0].sendall(REQUEST[:-1])
        assert sum(is_closed(connection) for connection in flood[1:]) == 299
        assert exchanged(flood[0], REQUEST[-1:]) == 200


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize(
    ("soft", "hard", "limit", "connections"),
    [(100, 5_000, 1_356, 1_000), (100, 500, 500, 144), (2_000, 2_000, 2_000, 1_000)],
)
def test_connections_leave_the_process_files_for_the_rest(
    soft: int, hard: int, limit: int, connections: int
) -> None:
    code = """
    import resource, sys
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
    from walker_collector.sources.http.connections import possible_connections
    print(possible_connections(1_000), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    """
    done = python(code, soft, hard)
    assert done.stdout.split() == [str(connections), str(limit)]


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    """A certificate of 127.0.0.1, and its key."""
    made = authority.issue_cert("127.0.0.1")
    made.private_key_pem.write_to_path(tmp_path / "key.pem")
    for blob in made.cert_chain_pems:
        blob.write_to_path(tmp_path / "cert.pem", append=True)
    return {"tlsCert": str(tmp_path / "cert.pem"), "tlsKey": str(tmp_path / "key.pem")}


def test_it_speaks_tls_with_a_certificate(
    authority: trustme.CA, files: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with served(**files) as server:
        assert server.url.startswith("https://127.0.0.1:")
        with context.wrap_socket(server.connect(), server_hostname="127.0.0.1") as connection:
            assert exchanged(connection) == 200
            assert exchanged(connection) == 200
        with server.connect() as plain:
            plain.sendall(REQUEST)
            assert is_closed(plain) or plain.recv(100)[:5] != b"HTTP/"
    assert not caplog.records


def test_slow_handshake_is_given_up(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections, "_HANDSHAKE", 0.2)
    with served(**files) as server, server.connect() as connection:
        connection.sendall(b"\x16\x03\x01")
        assert is_closed(connection)
    assert not caplog.records


def test_new_certificate_is_shown_without_a_restart(
    authority: trustme.CA,
    files: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(tls, "_LOOK", 0.02)
    context = ssl.create_default_context()
    authority.configure_trust(context)

    def shown() -> str:
        with context.wrap_socket(server.connect(), server_hostname="127.0.0.1") as connection:
            assert exchanged(connection) == 200
            return str((connection.getpeercert() or {})["serialNumber"])

    with served(**files) as server:
        first = shown()
        cert, key = Path(files["tlsCert"]), Path(files["tlsKey"])
        made = authority.issue_cert("127.0.0.1")
        made.cert_chain_pems[0].write_to_path(cert)  # its key is not there yet
        wait_until(lambda: "the certificate stays as it was: the certificate" in caplog.text)
        assert shown() == first
        made.private_key_pem.write_to_path(key)
        wait_until(lambda: shown() != first)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_of_tls_are_refused(authority: trustme.CA, files: dict[str, str]) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        served(**files) as server,
        server.connect() as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def problem(**settings: Any) -> str:
    """Return the reason why a flow with these settings cannot be served."""
    with served(**settings) as server:
        (failure,) = server.failures
        return str(failure)


def test_files_that_do_not_fit_are_an_error(
    authority: trustme.CA, files: dict[str, str], tmp_path: Path
) -> None:
    other, absent = tmp_path / "other.pem", str(tmp_path / "absent.pem")
    authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(other)
    assert "key is that of another certificate" in problem(**{**files, "tlsKey": str(other)})
    assert f"{absent}: No such file" in problem(**{**files, "tlsKey": absent})
    swapped = problem(tlsCert=files["tlsCert"], tlsKey=files["tlsCert"])
    assert "not a certificate and its key" in swapped
    assert "(settings.tlsCert, settings.tlsKey)" in swapped
