"""Odd answers of Customer.io are its own trouble: events wait, and nothing hangs."""

import logging
import pickle
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests import odd_answers
from tests.customerio.support import settings_of
from walker_collector import DestinationDown, RetryLater
from walker_dest_customerio.clients import TrackClient, open_clients
from walker_dest_customerio.responses import NoResponse, NotProcessed
from walker_dest_customerio.sandbox.certificates import server_context

TIMEOUT = 1.0
BATCH = "/api/v2/batch"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A TLS context for servers, and the file of its authority."""
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    return server_context(["127.0.0.1"], path), str(path)


Connect = Callable[[odd_answers.Handler], AbstractContextManager[TrackClient]]


@pytest.fixture
def connect(authority: tuple[ssl.SSLContext, str]) -> Connect:
    """Open a client of a server that handles connections so."""

    @contextmanager
    def connect(handle: odd_answers.Handler) -> Iterator[TrackClient]:
        with odd_answers.serve(handle) as port:
            clients = open_clients(
                settings_of(
                    trackUrl=f"https://127.0.0.1:{port}",
                    caFile=authority[1],
                    timeout=int(TIMEOUT * 1000),
                )
            )
            yield clients.track
            clients.close()

    return connect


@pytest.fixture
def tls(authority: tuple[ssl.SSLContext, str]) -> ssl.SSLContext:
    return authority[0]


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """An event that ends the servers of a test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("kind", odd_answers.SUCCESSES)
def test_odd_success_is_a_success(
    connect: Connect, tls: ssl.SSLContext, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with connect(odd_answers.saying(odd_answers.SUCCESSES[kind], tls)) as track:
        track.delete("person@private.example")
    assert "private.example" not in caplog.text


@pytest.mark.parametrize("kind", odd_answers.BROKEN | odd_answers.BODIES)
def test_broken_answer_is_no_answer(
    connect: Connect, tls: ssl.SSLContext, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    data = (odd_answers.BROKEN | odd_answers.BODIES)[kind]
    with connect(odd_answers.saying(data, tls)) as track, pytest.raises(NoResponse) as caught:
        track.delete("person@private.example")
    assert "private.example" not in caught.value.reason + caplog.text


@pytest.mark.parametrize("status", ["402 x", "407 x", "418 x", "421 x", "426 x", "499 x", "999 x"])
def test_odd_status_says_nothing_about_the_event(
    connect: Connect, tls: ssl.SSLContext, status: str
) -> None:
    with (
        connect(odd_answers.saying(odd_answers.answer(status), tls)) as track,
        pytest.raises(RetryLater, match=f"answered {status[:3]}"),
    ):
        track.delete("u1")


@pytest.mark.parametrize("status", ["300", "301", "302", "304", "305", "307", "308", "399"])
@pytest.mark.parametrize("location", [b"http://[bad", b"\xff", b"", b"a" * 60_000])
def test_odd_redirect_stops_the_destination(
    connect: Connect, tls: ssl.SSLContext, status: str, location: bytes
) -> None:
    data = odd_answers.answer(f"{status} x", b"Location: " + location + b"\r\n")
    with connect(odd_answers.saying(data, tls)) as track, pytest.raises(DestinationDown):
        track.delete("u1")


@pytest.mark.parametrize("kind", odd_answers.WAITS)
@pytest.mark.parametrize("status", ["429 x", "503 x"])
def test_odd_retry_after_is_a_wait_or_none(
    connect: Connect, tls: ssl.SSLContext, kind: str, status: str
) -> None:
    data = odd_answers.answer(status, b"Retry-After: " + odd_answers.WAITS[kind] + b"\r\n")
    with (
        connect(odd_answers.saying(data, tls)) as track,
        pytest.raises(NotProcessed) as caught,
    ):
        track.delete("u1")
    assert caught.value.after is None or 0 <= caught.value.after <= 3600


@pytest.mark.parametrize("kind", odd_answers.ENDLESS)
def test_answer_without_an_end_ends_with_the_call(
    connect: Connect, tls: ssl.SSLContext, over: threading.Event, kind: str
) -> None:
    handle = odd_answers.repeating(*odd_answers.ENDLESS[kind], over, tls)
    with connect(handle) as track:
        began = time.monotonic()
        with pytest.raises(NoResponse):
            track.delete("u1")
        assert time.monotonic() - began < TIMEOUT * 3


def test_request_that_nobody_reads_ends_with_the_call(
    connect: Connect, tls: ssl.SSLContext, over: threading.Event
) -> None:
    with connect(odd_answers.deaf(over, tls)) as track:
        began = time.monotonic()
        with pytest.raises(NoResponse, match="none within 1 s"):
            track.send_request(
                "POST", f"https://{track.host}:{track.port}{BATCH}", {"a": "x" * 9**8}
            )
        assert time.monotonic() - began < TIMEOUT * 5


def test_slow_handshake_ends_with_the_call(connect: Connect, tls: ssl.SSLContext) -> None:
    with (
        odd_answers.serve(odd_answers.saying(odd_answers.answer(), tls)) as beyond,
        connect(odd_answers.slow_relay(beyond, 0.01)) as track,
    ):
        began = time.monotonic()
        with pytest.raises(NotProcessed, match="TLS handshake: none within 1 s"):
            track.delete("u1")
        assert time.monotonic() - began < TIMEOUT * 3


def test_credentials_are_in_no_attribute_and_no_pickle() -> None:
    clients = open_clients(settings_of(apiKey="track-secret", appApiKey="app-secret"))
    assert clients.app is not None
    for client in (clients.track, clients.app):
        assert client.http.auth is not None
        shown = [repr(client), repr(vars(client)), repr(vars(client.http))]
        assert not any("secret" in text for text in shown)
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(client)
