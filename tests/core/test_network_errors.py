"""Reasons of requests without a response name the host and the cause."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
import urllib3

from walker_collector.clients import failure_text


@contextmanager
def listening(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """Answer each connection, and close it; yield the port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            while True:  # bounded: until the listener is shut down
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def failure(url: str) -> str:
    """Return the text for a request that fails."""
    with urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=0.1)) as pool:
        try:
            pool.request("GET", url)
        except Exception as error:
            return failure_text(error, url, 0.1)
    raise AssertionError("it has not failed")


def test_host_without_an_address_is_named() -> None:
    assert failure("http://nowhere.invalid/in").startswith("cannot resolve nowhere.invalid: ")


def test_refused_connection_is_named() -> None:
    with closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert failure(url) == f"{url} refused the connection"


def test_silence_is_told_with_its_limit() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert failure(url) == f"no answer from {url} within 0.1 s"


@pytest.mark.parametrize(
    ("scheme", "answer", "told"),
    [
        ("http", lambda connection: None, "{} closed the connection"),
        (
            "http",
            lambda connection: (connection.recv(1_000), connection.sendall(b"hello\r\n\r\n")),
            "{} answered with something that is not HTTP",
        ),
        (
            "https",
            lambda connection: (connection.recv(1_000), connection.sendall(b"no TLS at all\r\n")),
            "no TLS connection to {}: ",
        ),
    ],
)
def test_broken_connection_is_told(
    scheme: str, answer: Callable[[socket.socket], object], told: str
) -> None:
    with listening(answer) as port:
        url = f"{scheme}://127.0.0.1:{port}"
        assert failure(url).startswith(told.format(url))


def test_text_of_the_other_side_is_not_quoted() -> None:
    secret = ValueError("the token is s3cr3t")
    assert failure_text(secret, "shop.example") == "no answer from shop.example: ValueError"
    untrusted = ssl.SSLCertVerificationError(1, "certificate verify failed")
    untrusted.verify_message = "self-signed certificate"
    wanted = "the certificate of shop.example is not trusted: self-signed certificate"
    assert failure_text(untrusted, "shop.example") == wanted
