from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from tests.customerio.support import closed_port, settings_of
from walker_collector import DestinationDown, Rejected, RetryLater
from walker_dest_customerio.clients import Clients, open_clients
from walker_dest_customerio.responses import NoResponse, NotProcessed, RequestRejected
from walker_dest_customerio.sandbox import Sandbox

Open = Callable[..., Clients]


@pytest.fixture
def connect(customerio: Sandbox) -> Iterator[Open]:
    """Open clients that lead to the sandbox, with other settings on top; closed at the end."""
    opened: list[Clients] = []

    def connect(**raw: Any) -> Clients:
        clients = open_clients(settings_of(**{**customerio.settings(), **raw}))
        opened.append(clients)
        return clients

    yield connect
    for clients in opened:
        clients.close()


class Noting(HTTPAdapter):
    """Sends, and notes what."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[PreparedRequest] = []

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        self.sent.append(request)
        return super().send(request, *args, **options)


def test_call_of_the_sdk_arrives(connect: Open, customerio: Sandbox) -> None:
    clients = connect()
    clients.track.identify("a/b ü?#", plan="pro")
    assert customerio.people["a/b ü?#"]["attributes"] == {"plan": "pro"}


def test_each_request_has_its_own_body_and_what_the_sdk_puts_around_it(connect: Open) -> None:
    track, adapter = connect().track, Noting()
    track.http.mount("https://", adapter)
    track.track("u1", "first")
    track.track("u1", "second, and longer")
    track.delete("u1")
    first, second, third = adapter.sent
    assert (first.method, first.url) == (second.method, second.url) == ("POST", first.url)
    assert (third.method, third.url) == ("DELETE", track.get_customer_query_string("u1"))
    assert [b"first" in (request.body or b"") for request in adapter.sent] == [True, False, False]
    for request in adapter.sent:
        assert request.headers["Content-Length"] == str(len(request.body or b""))
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["Authorization"].startswith("Basic ")
        assert request.headers["User-Agent"].startswith("Customer.io Python Client/")


def test_cookies_are_returned_as_long_as_there_are_any(connect: Open) -> None:
    track, adapter = connect().track, Noting()
    track.http.mount("https://", adapter)
    for cookies in ({}, {"lane": "7"}, {"lane": "8"}, {}):
        track.http.cookies.clear()
        track.http.cookies.update(cookies)
        track.track("u1", "seen")
    found = [request.headers.get("Cookie") for request in adapter.sent]
    assert found == [None, "lane=7", "lane=8", None]


def test_proxy_that_the_environment_names_is_used(
    connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(RetryLater, match=r"no connection to .* through the proxy 127"):
        connect().track.delete("u1")


def test_error_of_the_server_means_exactly_one_request(connect: Open, customerio: Sandbox) -> None:
    for status in (500, 502, 503, 504, 429):
        customerio.reset()
        customerio.fault("status", status=status, retry_after=7)
        with pytest.raises(RetryLater) as caught:
            connect().track.delete("u1")
        assert caught.value.after == 7
        assert len(customerio.requests) == 1


def test_redirect_is_not_followed(connect: Open, customerio: Sandbox) -> None:
    for status in (301, 302, 307, 308):
        customerio.reset()
        customerio.fault("redirect", status=status)
        with pytest.raises(DestinationDown, match="region"):
            connect().track.delete("u1")
        assert len(customerio.requests) == 1


def test_connection_that_is_refused_surely_had_no_effect(connect: Open) -> None:
    with pytest.raises(NotProcessed, match=r"no connection to 127.*refused"):
        connect(trackUrl=f"https://127.0.0.1:{closed_port()}").track.delete("u1")


def test_host_without_an_address_surely_had_no_effect(connect: Open) -> None:
    with pytest.raises(NotProcessed):
        connect(trackUrl="https://no-such-host.invalid").track.delete("u1")


@pytest.mark.parametrize("kind", ["hang", "reset", "reset_body"])
def test_answer_that_never_comes_leaves_doubt(
    connect: Open, customerio: Sandbox, kind: str
) -> None:
    customerio.fault(kind)
    with pytest.raises(NoResponse):
        connect(timeout=200).track.delete("u1")


def test_success_that_is_no_json_is_not_customerios(connect: Open, customerio: Sandbox) -> None:
    customerio.fault("garbage")
    with pytest.raises(NoResponse, match="proxy"):
        connect().track.delete("u1")


def test_untrusted_certificate_stops_the_destination(connect: Open) -> None:
    with pytest.raises(DestinationDown, match=r"settings\.caFile"):
        connect(caFile=None).track.delete("u1")


def test_configured_authority_counts_whatever_the_environment_says(
    connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    connect().track.delete("u1")


def test_bad_credentials_stop_the_destination_without_being_shown(connect: Open) -> None:
    clients = connect(apiKey="wrong-track-key", appApiKey="wrong-app-key")
    assert clients.app is not None
    calls: list[Callable[[], object]] = [
        partial(clients.track.delete, "u1"),
        partial(clients.app.send_push, {"to": "all"}),
    ]
    for call in calls:
        with pytest.raises(DestinationDown) as caught:
            call()
        assert "Key" in str(caught.value)
        assert "wrong" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_refusal_says_what_customerio_said_and_not_what_was_sent(connect: Open) -> None:
    with pytest.raises(RequestRejected, match="longer than 1000 bytes") as caught:
        connect().track.identify("person@example.com", note="private" * 200)
    assert "private" not in str(caught.value)
    assert "person@" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_data_that_json_cannot_hold_is_rejected_before_a_request(
    connect: Open, customerio: Sandbox
) -> None:
    with pytest.raises(Rejected, match="JSON"):
        connect().track.identify("u1", note={1, 2})
    assert customerio.requests == []


def test_without_app_api_key_there_is_no_app_client() -> None:
    assert open_clients(settings_of(appApiKey=None)).app is None


@pytest.mark.parametrize("dots", [".", ".."])
def test_id_of_dots_never_reaches_a_path(connect: Open, customerio: Sandbox, dots: str) -> None:
    track = connect().track
    calls: list[Callable[[], object]] = [
        partial(track.delete, dots),
        partial(track.delete_device, "u1", dots),
        partial(track.delete_device, dots, "token"),
        partial(track.track, dots, "seen"),
    ]
    for call in calls:
        with pytest.raises(Rejected, match="dots"):
            call()
    assert customerio.requests == []


@pytest.mark.parametrize(
    "id_", ["a/b", "../x", "a/../b", "%2e%2e", "..%2f", "./", "...", " .. ", "?#;"]
)
def test_id_of_any_characters_is_one_step_of_a_path(
    connect: Open, customerio: Sandbox, id_: str
) -> None:
    track = connect().track
    track.identify(id_, plan="pro")
    track.add_device(id_, id_, "ios")
    assert list(customerio.people) == [id_]
    assert list(customerio.people[id_]["devices"]) == [id_]
    track.delete_device(id_, id_)
    assert customerio.people[id_]["devices"] == {}


def test_region_chooses_the_hosts_and_an_url_overrules_it() -> None:
    europe = open_clients(settings_of(region="eu"))
    assert europe.app is not None
    assert europe.track.base_url == "https://track-eu.customer.io/api/v1"
    assert europe.app.url == "https://api-eu.customer.io"
    moved = open_clients(settings_of(trackUrl="https://proxy:8443", apiUrl="https://proxy:8443/"))
    assert moved.app is not None
    assert moved.track.base_url == "https://proxy:8443/api/v1"
    assert moved.app.url == "https://proxy:8443"


def test_requests_are_paced_per_api(customerio: Sandbox) -> None:
    slept: list[float] = []
    settings = settings_of(**customerio.settings(), rateLimit=10, appRateLimit=5)
    clients = open_clients(settings, clock=lambda: 0.0, sleep=slept.append)
    track, app = clients.limits["track"].wait, clients.limits["app"].wait
    for _ in range(3):
        track()
    assert slept == [0.1, 0.2]
    assert clients.app is not None
    app()
    assert slept == [0.1, 0.2]
    clients.close()


def test_requests_are_paced_by_the_part_of_this_process(customerio: Sandbox) -> None:
    slept: list[float] = []
    settings = settings_of(**customerio.settings(), rateLimit=10)
    clients = open_clients(settings, clock=lambda: 0.0, sleep=slept.append, share=lambda: 0.25)
    track = clients.limits["track"].wait
    for _ in range(3):
        track()
    assert slept == pytest.approx([0.4, 0.8])
    clients.close()
