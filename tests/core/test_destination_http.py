"""The webhook: what is sent over real sockets, and what each answer means."""

import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from attrs import define, field

from tests.core.destination_harness import BASE, Harness
from tests.support import join
from walker_collector import ConfigError, DestinationDown, NotAttempted, Rejected, RetryLater
from walker_collector.destinations.http_client import ServiceUnavailable, failure_of

Answer = tuple[int, dict[str, str], bytes]


@define
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    port: int


@define
class Hook:
    """A web server that records requests and answers as told, 204 unless told otherwise."""

    server: ThreadingHTTPServer
    scheme: str = "http"
    requests: list[Request] = field(factory=list)
    answers: list[Answer] = field(factory=list)

    def url(self, path: str = "/in", login: str = "") -> str:
        return f"{self.scheme}://{login}localhost:{self.server.server_port}{path}"

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, named, body))

    @property
    def bodies(self) -> list[Any]:
        return [request.body for request in self.requests]


def _handler(hook: Callable[[], Hook]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(length))
            headers = {name.lower(): value for name, value in self.headers.items()}
            hook().requests.append(
                Request(self.command, self.path, headers, body, self.client_address[1])
            )
            status, extra, answer = hook().answers.pop(0) if hook().answers else (204, {}, b"")
            self.send_response(status)
            for name, value in {"Content-Length": str(len(answer)), **extra}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def do_PUT(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None: ...

    return Handler


def _serve(context: ssl.SSLContext | None = None) -> Iterator[Hook]:
    server = ThreadingHTTPServer(("localhost", 0), _handler(lambda: served))
    server.daemon_threads = True
    served = Hook(server, "https" if context else "http")
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield served
    server.shutdown()
    server.server_close()
    join(thread)


@pytest.fixture
def hook() -> Iterator[Hook]:
    yield from _serve()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure_hook(authority: trustme.CA) -> Iterator[Hook]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    yield from _serve(context)


def make(url: str, **settings: Any) -> Harness:
    return Harness("http", {"url": url, **settings}).init()


def push_one(http: Harness, **event: Any) -> Exception | None:
    return http.push(http.item("a b", {"x": 1}, **event)).get(0)


# --- what is sent -----------------------------------------------------------------------------


def test_mapped_data_is_sent_else_the_event(hook: Hook) -> None:
    http = make(hook.url())
    assert http.push(http.item("a b", {"x": 1}), http.item("c d")) == {}
    assert hook.bodies == [{"x": 1}, {**BASE, "name": "c d"}]
    assert (hook.requests[0].method, hook.requests[0].path) == ("POST", "/in")
    assert hook.requests[0].headers["content-type"] == "application/json"
    http.shutdown()


def test_connection_is_used_again(hook: Hook) -> None:
    hook.answer(200, b"thanks")
    http = make(hook.url())
    http.push(*[http.item("a b", number) for number in range(3)])
    assert len({request.port for request in hook.requests}) == 1


def test_method_query_and_headers_are_as_configured(hook: Hook) -> None:
    http = make(
        hook.url("/in?key=1#part"),
        method="PUT",
        headers={"Authorization": "Bearer hunter2", "content-type": "text/plain"},
    )
    push_one(http)
    (request,) = hook.requests
    assert (request.method, request.path) == ("PUT", "/in?key=1")
    assert request.headers["authorization"] == "Bearer hunter2"
    assert request.headers["content-type"] == "text/plain"


def test_user_and_password_of_the_url_become_a_header(hook: Hook) -> None:
    push_one(make(hook.url(login="me:p%40ss@")))
    push_one(make(hook.url(login="me@")))
    assert [request.headers["authorization"] for request in hook.requests] == [
        "Basic bWU6cEBzcw==",
        "Basic bWU6",
    ]


def test_batch_is_one_json_list(hook: Hook) -> None:
    http = make(hook.url(), batch=True)
    skipped = http.item("a b", 2, skip=True)
    assert http.push(http.item("a b", 1), skipped, http.item("a b", 3)) == {}
    assert hook.bodies == [[1, 3]]
    assert http.push(skipped) == {}
    assert len(hook.requests) == 1


def test_rule_that_skips_sends_nothing(hook: Hook) -> None:
    http = make(hook.url())
    skipped = http.item("a b", 2, skip=True)
    assert http.push(skipped) == {}
    assert http.simulate(skipped) == []
    assert hook.requests == []


def test_server_is_trusted_by_the_given_authority(
    secure_hook: Hook, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert push_one(make(secure_hook.url(), caFile=str(tmp_path / "ca.pem"))) is None
    assert secure_hook.bodies == [{"x": 1}]


# --- what answers mean ------------------------------------------------------------------------


def test_transient_answers_are_retried_after_what_they_ask(hook: Hook) -> None:
    hook.answer(503, Retry_After="7")
    error = push_one(make(hook.url()))
    assert isinstance(error, RetryLater)
    assert (error.after, error.reason) == (7.0, f"{hook.url()} answered 503")


def test_redirect_is_not_followed(hook: Hook) -> None:
    hook.answer(302, Location=hook.url("/elsewhere"))
    error = push_one(make(hook.url()))
    assert isinstance(error, DestinationDown)
    assert "set url to where it points" in error.reason
    assert len(hook.requests) == 1


def test_refused_event_does_not_stop_the_next(hook: Hook) -> None:
    hook.answer(422, b'{"error": "email a@b.c is invalid"}')
    http = make(hook.url())
    failures = http.push(http.item("a b", 1), http.item("a b", 2))
    assert [str(error) for error in failures.values()] == [
        f"{hook.url()} answered 422: email ... is invalid"
    ]
    assert isinstance(failures[0], Rejected)
    assert hook.bodies == [1, 2]


def test_explanation_may_name_the_fields_that_were_sent(hook: Hook) -> None:
    hook.answer(422, b'{"detail": [{"loc": ["body", "price"], "msg": "field required"}]}')
    http = make(hook.url())
    failures = http.push(http.item("a b", {"price": None, "email": "ines@example.org"}))
    assert str(failures[0]) == f"{hook.url()} answered 422: body.price: field required"


def test_failed_event_holds_back_its_person_only(hook: Hook) -> None:
    hook.answer(500)
    http = make(hook.url())
    failures = http.push(
        http.item("a b", 1),
        http.item("a b", 2, user={"session": "s"}),
        http.item("a b", 3),
        http.item("a b", 4, user={}),
    )
    assert {index: type(error) for index, error in failures.items()} == {
        0: RetryLater,
        2: NotAttempted,
    }
    assert hook.bodies == [1, 2, 4]


def test_event_that_may_not_be_sent_any_more_is_left_out_with_its_persons_later_ones(
    hook: Hook,
) -> None:
    http = make(hook.url())
    first, second, third, other = (
        http.item("a b", number, user={"id": user})
        for number, user in enumerate(("u1", "u1", "u1", "u2"))
    )
    second.context.proceed = lambda: not hook.bodies  # withdrawn while the first was on its way
    failures = http.push(first, second, third, other)
    assert {index: type(error) for index, error in failures.items()} == {
        1: NotAttempted,
        2: NotAttempted,
    }
    assert hook.bodies == [0, 3]


def test_failed_event_holds_back_its_person_whatever_identifier_the_later_ones_name(
    hook: Hook,
) -> None:
    hook.answer(500)
    http = make(hook.url())
    before, after = http.item("a b", 1, user={"session": "s"}), http.item("a b", 2)
    before.context.person = after.context.person = "id:u1"
    assert list(http.push(before, after)) == [0, 1]
    assert hook.bodies == [1]


def test_failed_event_of_nobody_holds_back_no_one(hook: Hook) -> None:
    hook.answer(500)
    http = make(hook.url())
    failures = http.push(http.item("a b", 1, user={}), http.item("a b", 2, user=None))
    assert list(failures) == [0]


@pytest.mark.parametrize("status", [401, 429])
def test_answer_that_concerns_everybody_stops_the_batch(hook: Hook, status: int) -> None:
    hook.answer(status)
    http = make(hook.url())
    failures = http.push(http.item("a b", 1), http.item("a b", 2, user={"id": "other"}))
    assert failures[0] is failures[1]
    assert hook.bodies == [1]


def test_failed_batch_fails_as_a_whole(hook: Hook) -> None:
    hook.answer(500)
    http = make(hook.url(), batch=True)
    with pytest.raises(RetryLater, match="answered 500"):
        http.push(http.item("a b", 1), http.item("a b", 2))


def test_long_answer_is_not_read_to_its_end(hook: Hook) -> None:
    hook.answer(200, b"x" * 1_000_000)
    http = make(hook.url())
    assert http.push(http.item("a b", 1), http.item("a b", 2)) == {}
    assert len({request.port for request in hook.requests}) == 2


def test_answer_that_breaks_off_was_an_answer(hook: Hook) -> None:
    hook.answer(200, b"short", Content_Length="1000", Connection="close")
    assert push_one(make(hook.url())) is None


def test_refused_connection_is_retried_and_stops_the_batch() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/in"
        http = make(url)
        failures = http.push(http.item("a b", 1), http.item("a b", 2, user={}))
    assert isinstance(failures[0], RetryLater)
    assert failures[0] is failures[1]
    assert str(failures[0]) == f"{url} refused the connection"


def test_silent_server_is_given_up_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        http = make(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=50)
        error = push_one(http)
    assert isinstance(error, RetryLater)
    assert re.fullmatch(r"no answer from http://127\.0\.0\.1:\d+ within 0\.05 s", str(error))


def test_unknown_certificate_stops_the_destination_and_says_what_to_set(secure_hook: Hook) -> None:
    error = push_one(make(secure_hook.url()))
    assert isinstance(error, DestinationDown)
    assert "is not trusted" in error.reason
    assert error.reason.endswith("set caFile to the authority that signed it")


def test_tls_with_a_server_that_speaks_none_is_retried(hook: Hook) -> None:
    error = push_one(make(hook.url().replace("http:", "https:")))
    assert isinstance(error, RetryLater)


@pytest.mark.parametrize(
    ("text", "reason"), [(None, "there is no such file"), ("no PEM", "it is no PEM file")]
)
def test_authority_that_cannot_be_read_is_a_problem_of_the_flow(
    tmp_path: Path, text: str | None, reason: str
) -> None:
    path = tmp_path / "ca.pem"
    if text:
        path.write_text(text)
    with pytest.raises(ConfigError, match=reason):
        make("https://localhost", caFile=str(path))


@pytest.mark.parametrize(
    ("path", "told"),
    [("", "is empty; name a file"), ("ca.pem", "there is no such file: ca.pem in {folder}")],
)
def test_missing_authority_is_named_with_the_folder_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        make("https://localhost", caFile=path)
    assert told.format(folder=tmp_path) in str(caught.value)


def test_event_that_is_no_json_is_rejected(hook: Hook) -> None:
    http = make(hook.url())
    failures = http.push(http.item("a b", 2**70))
    assert isinstance(failures[0], Rejected)
    assert hook.requests == []


# --- what is shown ----------------------------------------------------------------------------


def test_credentials_and_payload_are_never_shown(hook: Hook) -> None:
    hook.answer(401, b"hunter2")
    url = hook.url("/in?token=hunter2", login="me:hunter2@")
    http = make(url, headers={"X-Key": "hunter2"})
    error = push_one(http, user={"id": "u1", "email": "hunter2"})
    simulated = http.simulate(http.item("a b", 1))
    assert simulated == [["post", hook.url(), 1]]
    for text in (str(error), repr(http.context.settings), str(simulated)):
        assert "hunter2" not in text


def test_simulation_of_a_batch_shows_a_list() -> None:
    http = Harness("http", {"url": "https://x.example/in", "batch": True, "method": "PUT"})
    assert http.simulate(http.item("a b", 1)) == [["put", "https://x.example/in", [1]]]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "ftp://x"}, "url: must be http://host/... or https://host/..."),
        ({"url": "https:///x"}, "url: must be http://host/... or https://host/..."),
        ({"timeout": 0}, "timeout: must be at least 1, got 0"),
        ({"headers": {"a b": "x"}}, "headers: 'a b' is not the name of a header"),
        (
            {"headers": {"a": "hunter2\r\nb: c"}},
            "headers: the value of a has characters that a header cannot carry",
        ),
    ],
)
def test_settings_that_cannot_work_are_problems(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Harness("http", {"url": "https://x", **settings})
    assert [str(found) for found in caught.value.problems] == [
        f"destinations.d.config.settings.{problem}"
    ]


# --- the meaning of a status, by itself -------------------------------------------------------


def test_too_many_requests_concern_every_event() -> None:
    busy = failure_of("https://x", 429, "7", now=0.0)
    assert isinstance(busy, ServiceUnavailable)
    assert (busy.reason, busy.after) == ("https://x answered 429", 7.0)
    assert not isinstance(failure_of("https://x", 503, None, now=0.0), ServiceUnavailable)


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "the credentials were not accepted; check headers and url"),
        (403, "the credentials give no right to this; check headers and url"),
        (308, "redirects are not followed; set url to where it points"),
    ],
)
def test_failure_that_a_person_must_mend_names_the_settings(status: int, advice: str) -> None:
    error = failure_of("https://x", status, None, now=0.0)
    assert isinstance(error, DestinationDown)
    assert error.reason == f"https://x answered {status}: {advice}"
