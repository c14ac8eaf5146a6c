"""Odd answers are the service's trouble: the webhook's events wait, and nothing hangs or leaks."""

import logging
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests import odd_answers
from walker_collector import DestinationDown, Rejected, RetryLater, Secret
from walker_collector.destinations.http_client import HttpClient, ServiceUnavailable, shown

TIMEOUT = 1.0


def client_of(url: str) -> HttpClient:
    headers = {"X-Key": Secret("secret-header")}
    return HttpClient(
        url, method="POST", headers=headers, timeout=TIMEOUT, ca_file=None, connections=1
    )


@contextmanager
def connected(handle: odd_answers.Handler) -> Iterator[HttpClient]:
    with odd_answers.serve(handle) as port:
        client = client_of(f"http://me:secret-login@127.0.0.1:{port}/in?token=secret-query")
        yield client
        client.close()


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """An event that ends the servers of a test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("kind", odd_answers.SUCCESSES | odd_answers.BODIES)
def test_status_alone_decides_whatever_the_body_is(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    data = (odd_answers.SUCCESSES | odd_answers.BODIES)[kind]
    with connected(odd_answers.saying(data)) as client:
        client.send({"email": "ines@private.example"})
    assert "private.example" not in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("kind", odd_answers.BROKEN)
def test_broken_answer_concerns_every_event(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with (
        connected(odd_answers.saying(odd_answers.BROKEN[kind])) as client,
        pytest.raises(ServiceUnavailable) as caught,
    ):
        client.send({})
    assert "secret" not in caught.value.reason + caplog.text
    assert "private.example" not in caught.value.reason + caplog.text


@pytest.mark.parametrize("status", ["101 x", "402 x", "407 x", "418 x", "499 x", "600 x", "999 x"])
def test_odd_status_says_nothing_about_the_event(status: str) -> None:
    with (
        connected(odd_answers.saying(odd_answers.answer(status))) as client,
        pytest.raises(RetryLater, match=f"answered {status[:3]}"),
    ):
        client.send({})


@pytest.mark.parametrize("location", [b"http://[bad", b"\xff", b"", b"a" * 60_000])
def test_odd_redirect_stops_the_destination(location: bytes) -> None:
    data = odd_answers.answer("302 x", b"Location: " + location + b"\r\n")
    with connected(odd_answers.saying(data)) as client, pytest.raises(DestinationDown):
        client.send({})


@pytest.mark.parametrize("kind", odd_answers.WAITS)
def test_odd_retry_after_is_a_wait_or_none(kind: str) -> None:
    data = odd_answers.answer("503 x", b"Retry-After: " + odd_answers.WAITS[kind] + b"\r\n")
    with connected(odd_answers.saying(data)) as client, pytest.raises(RetryLater) as caught:
        client.send({})
    assert caught.value.after is None or 0 <= caught.value.after <= 86_400


@pytest.mark.parametrize("kind", odd_answers.ENDLESS)
def test_answer_without_an_end_ends_with_the_call(kind: str, over: threading.Event) -> None:
    with connected(odd_answers.repeating(*odd_answers.ENDLESS[kind], over, None)) as client:
        began = time.monotonic()
        with suppress(RetryLater, Rejected):  # a head that has come decides, else none did
            client.send({})
        assert time.monotonic() - began < TIMEOUT * 3


def test_request_that_nobody_reads_ends_with_the_call(over: threading.Event) -> None:
    with connected(odd_answers.deaf(over, None)) as client:
        began = time.monotonic()
        with pytest.raises(ServiceUnavailable):
            client.send("x" * 40_000_000)
        assert time.monotonic() - began < TIMEOUT * 5


def test_next_request_has_its_own_time_and_its_own_answer() -> None:
    """An interim response must not be taken for the answer, else the real one is the next's."""
    client_saw: list[str] = []

    def handle(connection: object) -> None:
        assert isinstance(connection, odd_answers.socket.socket)
        for status in ("200 OK", "400 No", "200 OK"):
            request = b""
            while not request.endswith(b"{}"):  # bounded: the client gives up
                request += connection.recv(1_000_000) or b"{}"
            connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" + odd_answers.answer(status))

    with connected(handle) as client:
        for _ in range(3):
            try:
                client.send({})
                client_saw.append("sent")
            except Exception as error:
                client_saw.append(type(error).__name__)
    assert client_saw == ["sent", "Rejected", "sent"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h/services/T01/B02/x9Xx8Xx7Xx6Xx5Xx4", "https://h/services/T01/B02/***"),
        ("https://h/bot123456:ABC-DEF1234ghIkl/send", "https://h/***/send"),
        ("https://h/0b2f7c1e-6b1f-4b52-9d4e-1c2d3e4f5a6b", "https://h/***"),
        ("https://u:p@h:8443/api/v2/collect?key=1#x", "https://h:8443/api/v2/collect"),
    ],
)
def test_address_is_shown_without_what_may_be_a_credential(url: str, expected: str) -> None:
    assert shown(url) == expected


def test_credentials_are_in_no_attribute_no_pickle_and_no_exception() -> None:
    client = client_of("http://me:secret-login@127.0.0.1:9/in?token=secret-query")
    assert "secret" not in repr(client) + repr(vars(client))
    with pytest.raises((TypeError, AttributeError)):
        pickle.dumps(client)
    with pytest.raises(ServiceUnavailable) as caught:
        client.send({})
    assert "secret" not in repr(caught.value) + str(caught.value.args)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None
