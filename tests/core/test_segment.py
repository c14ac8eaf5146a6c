"""Segment's calls made in Python are the events that the same calls become by HTTP."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support import PATIENCE
from walker_collector import EventError, segment
from walker_collector.sources.http import Settings, app
from walker_collector.testing import Recorder

AT = datetime(2026, 3, 2, 8, 22, tzinfo=UTC)
CONTEXT = {
    "campaign": {"source": "news"},
    "ip": "198.51.100.9",
    "consent": {"categoryPreferences": {"Advertising": True}},
}
CALLS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        segment.track("ines", "Order Completed", {"total": 25.5}, CONTEXT, AT),
        {
            "type": "track",
            "userId": "ines",
            "event": "Order Completed",
            "properties": {"total": 25.5},
            "context": CONTEXT,
            "timestamp": "2026-03-02T08:22:00Z",
        },
    ),
    (
        segment.track(event="Signup", anonymous_id="a", integrations={"All": False}),
        {"type": "track", "anonymousId": "a", "event": "Signup", "integrations": {"All": False}},
    ),
    (
        segment.identify("ines", {"plan": "team"}, anonymous_id="a", message_id="m-1"),
        {
            "type": "identify",
            "userId": "ines",
            "anonymousId": "a",
            "traits": {"plan": "team"},
            "messageId": "m-1",
        },
    ),
    (
        segment.page("ines", "Shop", "Home", {"name": "H"}),
        {
            "type": "page",
            "userId": "ines",
            "category": "Shop",
            "name": "Home",
            "properties": {"name": "H"},
        },
    ),
    (
        segment.screen(anonymous_id="a", name="Home"),
        {"type": "screen", "anonymousId": "a", "name": "Home"},
    ),
    (
        segment.group(7, "g-1", {"employees": 3}),
        {"type": "group", "userId": 7, "groupId": "g-1", "traits": {"employees": 3}},
    ),
    (
        segment.identify("ines", context={"traits": {"plan": "team"}}),
        {"type": "identify", "userId": "ines", "context": {"traits": {"plan": "team"}}},
    ),
    (segment.alias("a", "ines"), {"type": "alias", "previousId": "a", "userId": "ines"}),
]


def without_the_run(event: dict[str, Any]) -> dict[str, Any]:
    """Leave out the parts of an event that differ each time."""
    kept = {key: event[key] for key in event if key not in ("timing", "source", "id", "timestamp")}
    return {**kept, "from": event["source"]["type"]}


@pytest.mark.parametrize(("event", "call"), CALLS, ids=[call["type"] for _, call in CALLS])
def test_call_in_python_is_the_event_of_the_call_by_http(
    event: dict[str, Any], call: dict[str, Any]
) -> None:
    recorder = Recorder()
    with recorder.collector() as collector:
        collector.push(event)
        serve = app(collector, Settings())
        body = json.dumps({"batch": [call]})
        status, _, answer = serve.respond(
            "POST", "/v1/batch", {"content-type": "application/json"}, body
        )
        assert (status, json.loads(answer)) == (200, {"success": True})
        assert collector.flush(PATIENCE)
    pushed, posted = recorder.events
    assert without_the_run(pushed) == without_the_run(posted)
    assert "ip" not in pushed["custom"]["segment"].get("context", {})
    if "timestamp" in call:
        assert pushed["timestamp"] == posted["timestamp"] == AT.timestamp() * 1000
    if "messageId" in call:
        assert pushed["id"] == posted["id"] == "m-1"


PAGE = {"url": "https://shop.example/teas", "path": "/teas", "title": "Teas", "referrer": ""}


@pytest.mark.parametrize(
    ("call", "data"),
    [
        ({"type": "identify", "context": {"traits": {"plan": "team"}}}, {"plan": "team"}),
        (
            {"type": "identify", "traits": {}, "context": {"traits": {"plan": "team"}}},
            {"plan": "team"},
        ),
        (
            {"type": "identify", "traits": {"plan": "free"}, "context": {"traits": {"n": 1}}},
            {"plan": "free"},
        ),
        ({"type": "identify", "context": {"traits": ["plan"]}}, {}),
        ({"type": "identify", "context": None}, {}),
        ({"type": "group", "context": {"traits": {"plan": "team"}}}, {}),
        (
            {"type": "page", "properties": {"title": "Tea"}, "context": {"page": PAGE}},
            {"title": "Tea", "url": "https://shop.example/teas", "path": "/teas"},
        ),
        (
            {"type": "page", "name": "T", "properties": {"url": None}, "context": {"page": PAGE}},
            {"name": "T", "url": PAGE["url"], "path": "/teas", "title": "Teas"},
        ),
        ({"type": "screen", "name": "Home", "context": {"page": PAGE}}, {"name": "Home"}),
    ],
)
def test_traits_and_page_are_found_in_the_context(
    call: dict[str, Any], data: dict[str, Any]
) -> None:
    made = segment.from_call({"userId": "ines", "timestamp": "2026-03-02T08:22:00Z", **call})
    assert made["data"] == data


STORED = {
    "type": "track",
    "userId": "ines",
    "event": "Signed Up",
    "messageId": "m-1",
    "timestamp": "2026-03-02T08:22:00Z",
    "originalTimestamp": "2026-03-02T09:22:00Z",
    "sentAt": "2026-03-02T09:22:01Z",
    "receivedAt": "2026-03-02T08:22:01Z",
}
"""A call as files have it: its client's clock was an hour ahead."""


def test_stored_call_keeps_its_id_and_the_time_that_was_corrected_before() -> None:
    event = segment.from_call(STORED, names={"Signed Up": "user register"})
    assert (event["name"], event["id"]) == ("user register", "m-1")
    assert event["timestamp"] == AT.timestamp() * 1000


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({**STORED, "timestamp": "?", "originalTimestamp": None}, "timestamp: is missing, or no"),
        ({**STORED, "type": "delete"}, "type: must be track"),
        ({**STORED, "userId": None}, "userId or anonymousId is needed"),
        (["track"], "a call must be an object"),
    ],
)
def test_stored_call_that_cannot_be_an_event_is_refused(call: Any, message: str) -> None:
    with pytest.raises(EventError, match=message):
        segment.from_call(call)


def test_names_are_those_of_the_source() -> None:
    names = {"Signed Up": "user register"}
    assert segment.track("ines", "Signed Up", names=names)["name"] == "user register"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: segment.track(event="Order Completed"),
            "track: user_id or anonymous_id is needed",
        ),
        (lambda: segment.track("ines"), "track: event: a track call needs a name"),
        (lambda: segment.identify("ines", ["x"]), "identify: traits: must be an object"),  # type: ignore[arg-type]
        (
            lambda: segment.page("ines", timestamp="yesterday"),
            "page: timestamp: must be a datetime, or ISO 8601 text",
        ),
    ],
)
def test_call_that_cannot_be_an_event_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(EventError, match=message):
        call()
