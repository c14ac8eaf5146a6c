"""Requests to the source `http`, and what comes of them: pure, without a server."""

import gzip
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walker_collector import PushResult, Received, Secret
from walker_collector.errors import EventError, NotTrusted, SpoolFull, WalkerError
from walker_collector.events import is_command, whole
from walker_collector.intake.commands import check_claim
from walker_collector.sources.http import Key, Route, Settings
from walker_collector.sources.http.exchange import Exchange
from walker_collector.sources.http.messages import Request, Response
from walker_collector.sources.http.respond import Responder

NOW = 1_700_000_000_000
KEYS = {
    "web": Key(key=Secret("w-key"), origins=["https://shop.example"]),
    "server": Key(key=Secret("s-key"), trusted=True),
}


class Door:
    """Accepts events as a collector does, and keeps them, as many as there is `room` for."""

    def __init__(self, *, room: int = 1_000) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.senders: list[Received] = []
        self.room = room

    def __call__(self, events: Iterable[Received]) -> list[PushResult | WalkerError]:
        taken = list(events)
        self.senders += taken
        return [self._accept(received) for received in taken]

    def _accept(self, received: Received) -> PushResult | WalkerError:
        event = whole(received.event)
        if len(self.events) >= self.room:
            return SpoolFull("full")
        if is_command(event.get("name")) and not received.trusted:
            try:
                check_claim(event["name"], event.get("user"))
            except NotTrusted as error:
                return error
        if not isinstance(event.get("name"), str) or " " not in event["name"]:
            return EventError("event name is missing")
        self.events.append(event)
        return PushResult(str(event.get("id", f"e{len(self.events)}")))


def ask(
    door: Door,
    body: Any = b"",
    path: str = "/collect",
    method: str = "POST",
    settings: Settings | None = None,
    client: str = "192.0.2.7",
    **headers: str,
) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request.of(method, path, named, raw, client)
    return respond(request, door, settings or Settings())


def respond(request: Request, door: Door, settings: Settings) -> Response:
    exchange = Exchange(Responder(settings, lambda: NOW), door, lambda refusal: None, waits=False)
    (response,) = exchange.answers([request])
    assert isinstance(response, Response)
    return response


def answer(response: Response) -> tuple[int, Any]:
    return response.status, json.loads(response.body)


# --- walkerOS's clients --------------------------------------------------------------------------


def test_an_event_is_accepted_and_answered_with_its_id() -> None:
    door = Door()
    assert answer(ask(door, {"name": "page view", "id": "a"})) == (
        200,
        {"success": True, "timestamp": NOW, "id": "a"},
    )
    assert door.events == [{"name": "page view", "id": "a"}]


@pytest.mark.parametrize("wrap", [list, lambda events: {"batch": events}])
def test_a_batch_is_answered_with_all_ids(wrap: Any) -> None:
    door = Door()
    events = [{"name": "page view", "id": "a"}, {"name": "page view", "id": "b"}]
    assert answer(ask(door, wrap(events))) == (
        200,
        {"success": True, "processed": 2, "ids": ["a", "b"]},
    )


def test_the_bad_events_of_a_batch_are_named_and_the_others_accepted() -> None:
    door = Door()
    status, body = answer(ask(door, [{"name": "page view", "id": "a"}, {"name": "x"}, 5]))
    assert status == 207
    assert body == {
        "success": False,
        "processed": 1,
        "failed": 2,
        "ids": ["a"],
        "errors": [
            {"index": 1, "error": "event name is missing"},
            {"index": 2, "error": "an event must be an object"},
        ],
    }
    assert len(door.events) == 1


def test_beacons_and_packed_bodies_are_read() -> None:
    door = Door()
    event = {"name": "page view", "data": {"title": "Träume"}}
    packed = gzip.compress(json.dumps(event).encode())
    assert ask(door, event, content_type="text/plain;charset=UTF-8").status == 200
    assert ask(door, packed, content_encoding="gzip").status == 200
    form = "application/x-www-form-urlencoded"  # as RudderStack's SDK for Node sends JSON
    assert ask(door, packed, content_encoding="gzip", content_type=form).status == 200
    assert door.events == [event, event, event]


def test_a_pixel_gets_its_picture_whatever_its_event() -> None:
    door = Door()
    query = "?name=page+view&data[id]=7&data[tags][0]=a&data[ok]=true&user[session]=s"
    for target in (f"/collect{query}", "/collect?name=x", "/collect"):
        response = ask(door, path=target, method="GET")
        assert (response.status, response.headers["Content-Type"]) == (200, "image/gif")
        assert response.body.startswith(b"GIF89a")
    data = {"id": 7, "tags": ["a"], "ok": True}
    assert door.events == [{"name": "page view", "data": data, "user": {"session": "s"}}]


def test_paths_and_methods_are_those_of_the_settings() -> None:
    settings = Settings(paths=["/a", Route(path="/b", methods=["POST"])], segment=False)
    door, event = Door(), {"name": "page view"}
    assert ask(door, event, "/a", settings=settings).status == 200
    assert ask(door, event, "/b", settings=settings).status == 200
    refused = ask(door, path="/b", method="GET", settings=settings)
    assert (refused.status, refused.headers["Allow"]) == (405, "POST, OPTIONS")
    assert ask(door, event, "/collect", settings=settings).status == 404
    assert ask(door, event, "/v1/track", settings=settings).status == 404


def test_a_preflight_allows_the_headers_that_are_asked_for() -> None:
    response = ask(
        Door(),
        method="OPTIONS",
        origin="https://shop.example",
        access_control_request_headers="content-type, x-walker",
    )
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Headers"] == "content-type, x-walker"
    assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("cors", "origin", "allowed"),
    [
        (True, "https://any.example", "*"),
        (["https://shop.example"], "https://shop.example", "https://shop.example"),
        (["https://shop.example"], "https://other.example", None),
        (False, "https://shop.example", None),
    ],
)
def test_pages_of_other_origins_read_answers_as_configured(
    cors: bool | list[str], origin: str, allowed: str | None
) -> None:
    response = ask(Door(), {"name": "page view"}, settings=Settings(cors=cors), origin=origin)
    assert response.headers.get("Access-Control-Allow-Origin") == allowed
    credentials = "true" if isinstance(cors, list) and allowed else None
    assert response.headers.get("Access-Control-Allow-Credentials") == credentials


def test_a_full_spool_is_told_with_the_time_to_come_back() -> None:
    for body in ({"name": "page view"}, [{"name": "page view"}], [1, {"name": "page view"}]):
        response = ask(Door(room=0), body)
        assert (response.status, response.headers["Retry-After"]) == (429, "1")


# --- bad bodies ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "status", "word"),
    [
        (b"{", {}, 400, "line 1, column 2"),
        (b"", {}, 400, "not JSON"),
        (b"\xff", {}, 400, "UTF-8"),
        (b"[" * 100_000, {}, 400, "deeply"),
        (b'{"a": NaN}', {}, 400, "NaN"),
        (b"5", {}, 400, "must be an event"),
        (b"{}", {}, 400, "name is missing"),
        (b"{}", {"content_type": "text/html"}, 415, "text/html"),
        (b"{}", {"content_type": "text/plain; charset=latin-1"}, 415, "latin-1"),
        (b"{}", {"content_encoding": "br"}, 415, "br"),
        (b"{}", {"content_encoding": "gzip"}, 400, "not valid gzip"),
        (gzip.compress(b"{}", mtime=0)[:-9], {"content_encoding": "gzip"}, 400, "too early"),
        (b" " * 1_000_001, {}, 413, "1,000,000"),
        (gzip.compress(b" " * 50_000_000, mtime=0), {"content_encoding": "gzip"}, 413, "1,000,000"),
        ([{}] * 1_001, {}, 400, "1,000 events"),
    ],
)
def test_a_bad_body_is_refused_with_its_reason(
    body: Any, headers: dict[str, str], status: int, word: str
) -> None:
    door = Door()
    found, told = answer(ask(door, body, **headers))
    assert (found, told["success"]) == (status, False)
    assert word in told["error"]
    assert not door.events


def test_gzip_of_endless_members_costs_nothing() -> None:
    door, member = Door(), gzip.compress(b"", mtime=0)
    event = gzip.compress(b'{"name": "page view"}', mtime=0)
    assert ask(door, event + member * 50, content_encoding="gzip").status == 200
    status, told = answer(ask(door, member * 49_000, content_encoding="gzip"))
    assert (status, told["error"]) == (400, "the gzip file has more than 100 members")
    assert ask(door, b"", content_encoding="gzip").status == 400


def test_short_query_makes_no_large_event() -> None:
    door = Door()
    deep = "".join(f"&a{at}" + "[99]" * 40 + "=1" for at in range(100))
    assert ask(door, path=f"/collect?name=page+view&b[99]=1&b[100]=2{deep}", method="GET").body
    assert [*door.events[0]] == ["name", "b"]
    assert door.events[0]["b"] == [None] * 99 + [1]


def test_odd_parts_of_requests_are_refused_as_any_other() -> None:
    status, told = answer(ask(Door(), {"batch": [{"type": ["track"], "userId": "u"}]}, "/v1/batch"))
    assert (status, told["message"][:5]) == (400, "type:")
    body = b'{"name": "page view", "writeKey": "\\ud800"}'
    assert ask(Door(), body, settings=Settings(keys=KEYS)).status == 401
    for odd in ("a\r\nb: c", "a\x00", "\u00e9", ""):
        response = ask(Door(), method="OPTIONS", access_control_request_headers=odd)
        assert response.status == 204
        assert "Access-Control-Allow-Headers" not in response.headers


texts = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
keys = st.sampled_from(["name", "type", "event", "userId", "batch", "user", "context", "traits"])
HEADERS = [
    "content-type",
    "content-encoding",
    "authorization",
    "origin",
    "x-write-key",
    "x-forwarded-for",
    "access-control-request-headers",
]
headers = st.dictionaries(
    st.sampled_from(HEADERS),
    st.sampled_from(["gzip", "application/json", "text/plain; charset=", "Basic x", "Bearer"])
    | texts,
)
paths = st.sampled_from(["/collect", "/v1/track", "/v1/b", "/v1/projects/x/settings", "/v1", ""])


@given(
    method=st.sampled_from(["GET", "POST", "OPTIONS", "PUT", ""]),
    path=paths,
    query=texts,
    body=st.binary(max_size=40)
    | values.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(keys, values).map(lambda value: json.dumps(value).encode()),
    named=headers,
    locked=st.booleans(),
)
def test_whatever_is_sent_gets_an_answer_and_no_fault(
    method: str, path: str, query: str, body: bytes, named: dict[str, str], locked: bool
) -> None:
    settings = Settings(keys=KEYS if locked else {}, ip="truncated", proxies=["10.0.0.0/8"])
    request = Request(method, path, query, named, body, "10.0.0.1")
    response = respond(request, Door(), settings)
    assert 200 <= response.status < 500
    assert all(isinstance(value, str) for value in response.headers.values())


# --- keys and trust ------------------------------------------------------------------------------


def basic(key: str) -> str:
    return "Basic " + b64encode(f"{key}:".encode()).decode()


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/collect", {"authorization": basic("w-key")}),
        ("/collect", {"authorization": "Bearer w-key"}),
        ("/collect", {"x_write_key": "w-key"}),
        ("/collect?key=w-key", {}),
    ],
)
def test_a_key_is_shown_in_any_of_the_ways(target: str, shown: dict[str, str]) -> None:
    settings = Settings(keys=KEYS)
    event = {"name": "page view"}
    assert ask(Door(), event, target, settings=settings, **shown).status == 200
    body = {"type": "track", "event": "A", "userId": "u", "writeKey": "w-key"}
    assert ask(Door(), body, "/v1/track", settings=settings).status == 200


@pytest.mark.parametrize("shown", [{}, {"x_write_key": "other"}, {"authorization": "Basic ?"}])
def test_a_request_without_a_known_key_is_refused(shown: dict[str, str]) -> None:
    door, settings = Door(), Settings(keys=KEYS)
    assert ask(door, {"name": "page view"}, settings=settings, **shown).status == 401
    refused = ask(door, {"event": "A", "userId": "u"}, "/v1/track", settings=settings, **shown)
    assert answer(refused)[1]["code"] == "unauthorized"
    assert not door.events


def test_a_page_of_another_origin_may_not_use_a_key() -> None:
    settings, event = Settings(keys=KEYS), {"name": "page view"}
    for origin, status in (("https://shop.example", 200), ("https://evil.example", 403)):
        response = ask(Door(), event, settings=settings, origin=origin, x_write_key="w-key")
        assert response.status == status


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ({"name": "walker consent", "data": {"a": True}, "user": {"session": "s"}}, 200),
        ({"name": "walker consent", "data": {"a": True}, "user": {"id": "u"}}, 403),
        ({"name": "walker consent", "data": {"a": True}}, 403),
        ({"name": "walker user", "data": {"id": "u"}}, 403),
        ({"name": "walker globals", "data": {"a": 1}}, 403),
    ],
)
def test_only_trusted_callers_speak_for_others(command: dict[str, Any], status: int) -> None:
    settings = Settings(keys=KEYS)
    assert ask(Door(), command, settings=settings, x_write_key="w-key").status == status
    assert ask(Door(), command).status == status
    assert ask(Door(), command, settings=settings, x_write_key="s-key").status == 200


@pytest.mark.parametrize(
    ("kept", "client", "forwarded", "ip"),
    [
        ("none", "192.0.2.7", "", None),
        ("full", "192.0.2.7", "", "192.0.2.7"),
        ("truncated", "192.0.2.7", "", "192.0.2.0"),
        ("truncated", "2001:db8:1:2::5", "", "2001:db8:1::"),
        ("full", "::ffff:192.0.2.7", "", "192.0.2.7"),
        ("full", "192.0.2.7", "198.51.100.9", "192.0.2.7"),
        ("full", "10.0.0.1", "203.0.113.1, 198.51.100.9, 10.0.0.2", "198.51.100.9"),
        ("full", "10.0.0.1", "", "10.0.0.1"),
        ("full", "::ffff:10.0.0.1", "203.0.113.1, 198.51.100.9", "198.51.100.9"),
        ("full", "10.0.0.1", "203.0.113.1, unknown", None),
        ("full", "", "", None),
    ],
)
def test_the_address_is_kept_as_configured(
    kept: Any, client: str, forwarded: str, ip: str | None
) -> None:
    door = Door()
    settings = Settings(ip=kept, proxies=["10.0.0.0/8"])
    ask(door, {"name": "page view"}, settings=settings, client=client, x_forwarded_for=forwarded)
    assert door.events[0].get("user", {}).get("ip") == ip


@pytest.mark.parametrize(
    ("keys", "shown", "trusted", "limited"),
    [({}, "", False, False), (KEYS, "w-key", False, True), (KEYS, "s-key", True, False)],
)
@pytest.mark.parametrize("learn", [True, False])
def test_events_come_with_what_is_known_of_their_sender(
    keys: dict[str, Key], shown: str, trusted: bool, limited: bool, learn: bool
) -> None:
    door, settings = Door(), Settings(keys=keys, learn_consent=learn)
    headers = {"x_write_key": shown} if shown else {}
    ask(door, {"name": "page view"}, settings=settings, **headers)
    ask(door, b"", "/collect?name=page%20view", "GET", settings, **headers)
    track = {"type": "track", "event": "A", "userId": "u"}
    ask(door, track, "/v1/track", settings=settings, **headers)
    assert [(item.trusted, item.limited, item.learn) for item in door.senders] == [
        (trusted, limited, learn)
    ] * 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"path": "collect"}, "must begin with /; write /collect"),
        ({"paths": ["/a", Route(path="b")]}, "write /b"),
        ({"names": {"Signup": "signup"}}, "Signup: .*entity action"),
        ({"keys": {"a": Key(key=Secret(""))}}, "a: the key is empty"),
        (
            {"keys": {"a": Key(key=Secret("k-1")), "b": Key(key=Secret("k-1"), trusted=True)}},
            "a and b are the same key",
        ),
    ],
)
def test_settings_that_would_lose_events_or_trust_strangers_are_refused(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**wrong)


def test_sender_without_a_key_is_told_how_to_show_one() -> None:
    status, body = answer(ask(Door(), {"name": "page view"}, settings=Settings(keys=KEYS)))
    assert status == 401
    assert "X-Write-Key" in body["error"]
    bare = ask(
        Door(), {"name": "page view"}, settings=Settings(keys=KEYS), authorization="Basic s-key"
    )
    assert (bare.status, "base64" in answer(bare)[1]["error"]) == (401, True)
    assert bare.headers["WWW-Authenticate"] == 'Basic realm="walker"'  # clients insist on one


def test_settings_of_a_mounted_application_lead_back_to_it() -> None:
    request = Request("GET", "/v1/projects/k/settings", headers={"host": "a.b"}, root="/events")
    response = respond(request, Door(), Settings())
    assert json.loads(response.body)["integrations"]["Segment.io"]["apiHost"] == "a.b/events/v1"
