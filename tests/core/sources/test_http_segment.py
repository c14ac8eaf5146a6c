"""Segment's calls as events, and the answers to its SDKs."""

from typing import Any

import pytest

from tests.core.sources.test_http_respond import NOW, Door, answer, ask
from walker_collector.sources.http import Settings

CONTEXT = {"library": {"name": "analytics.js"}, "ip": "198.51.100.9"}


@pytest.mark.parametrize(
    ("path", "call", "name", "user", "data"),
    [
        (
            "/v1/track",
            {"event": "Order Completed", "userId": "u", "properties": {"total": 5}},
            "order completed",
            {"id": "u"},
            {"total": 5},
        ),
        ("/v1/t", {"event": "Signup", "anonymousId": "a"}, "signup track", {"device": "a"}, {}),
        (
            "/v1/identify",
            {"userId": "u", "anonymousId": "a", "traits": {"email": "a@b.example"}},
            "user identify",
            {"id": "u", "device": "a"},
            {"email": "a@b.example"},
        ),
        (
            "/v1/page",
            {"anonymousId": "a", "name": "Home", "category": "Shop", "properties": {"name": "H"}},
            "page view",
            {"device": "a"},
            {"name": "H", "category": "Shop"},
        ),
        ("/v1/screen", {"anonymousId": "a"}, "screen view", {"device": "a"}, {}),
        ("/v1/g", {"userId": 7, "groupId": "g"}, "group identify", {"id": 7}, {}),
        (
            "/v1/alias",
            {"userId": "u", "previousId": "a"},
            "user alias",
            {"id": "u", "device": "a"},
            {},
        ),
    ],
)
def test_a_call_becomes_an_event(
    path: str, call: dict[str, Any], name: str, user: Any, data: Any
) -> None:
    door = Door()
    assert answer(ask(door, {**call, "messageId": "m", "context": CONTEXT}, path)) == (
        200,
        {"success": True},
    )
    (event,) = door.events
    assert (event["name"], event["user"], event["data"], event["id"]) == (name, user, data, "m")
    kept = event["custom"]["segment"]
    assert kept["context"] == {"library": {"name": "analytics.js"}}
    assert kept.get("groupId") == call.get("groupId")


def test_names_of_calls_can_be_mapped() -> None:
    door = Door()
    settings = Settings(names={"Order Completed": "order complete"})
    ask(door, {"event": "Order Completed", "userId": "u"}, "/v1/track", settings=settings)
    assert door.events[0]["name"] == "order complete"


def test_consent_of_the_page_comes_along() -> None:
    door = Door()
    consent = {"categoryPreferences": {"Advertising": True, "Analytics": False, "Odd": "yes"}}
    ask(door, {"event": "A B", "userId": "u", "context": {"consent": consent}}, "/v1/track")
    assert door.events[0]["consent"] == {"Advertising": True, "Analytics": False}


def test_the_time_of_a_call_is_that_of_the_server() -> None:
    door = Door()
    call = {"event": "A B", "userId": "u", "timestamp": "2001-01-01T00:00:00.000Z"}
    ask(door, {**call, "sentAt": "2001-01-01T00:00:10.500Z"}, "/v1/track")
    ask(door, {"batch": [{**call, "type": "track"}], "sentAt": "2001-01-01T00:00:02Z"}, "/v1/batch")
    ask(door, {**call, "sentAt": "2000-01-01T00:00:00Z"}, "/v1/track")
    ask(door, {**call, "timestamp": "soon"}, "/v1/track")
    times = [event.get("timestamp") for event in door.events]
    assert times == [NOW - 10_500, NOW - 2_000, NOW, None]


def test_the_time_that_a_caller_gives_goes_before_that_of_the_call() -> None:
    door = Door()
    given, made, sent = (f"2001-01-01T0{hour}:00:00.000Z" for hour in (1, 2, 3))
    call = {"event": "A B", "userId": "u", "originalTimestamp": made, "sentAt": sent}
    ask(door, {**call, "timestamp": given}, "/v1/track")
    ask(door, call, "/v1/track")
    assert [event["timestamp"] for event in door.events] == [NOW - 7_200_000, NOW - 3_600_000]


def test_the_good_calls_of_a_batch_are_accepted() -> None:
    door = Door()
    good = {"type": "track", "event": "A B", "userId": "u"}
    bad = [{"type": "track", "userId": "u"}, {"type": "x", "userId": "u"}, {"type": "page"}, 5]
    status, body = answer(ask(door, {"batch": [good, *bad]}, "/v1/batch"))
    assert (status, body["success"]) == (200, True)
    assert [error["index"] for error in body["errors"]] == [1, 2, 3, 4]
    assert len(door.events) == 1
    status, body = answer(ask(door, {"batch": bad}, "/v1/import"))
    assert (status, body["code"]) == (400, "bad_request")


def test_batch_that_finds_room_for_a_part_of_it_is_to_be_sent_again() -> None:
    """SDKs look at the status alone: under a 200, they drop the calls that were not accepted."""
    good = {"type": "track", "event": "A B", "userId": "u", "messageId": "m1"}
    for room, first in ((1, good), (0, {"type": "page"})):
        door = Door(room=room)
        response = ask(door, {"batch": [first, {**good, "messageId": "m2"}]}, "/v1/batch")
        assert (response.status, response.headers["Retry-After"]) == (429, "1")
        assert len(door.events) == room


def test_what_all_calls_of_a_batch_share_is_in_each() -> None:
    door = Door()
    calls = [{"type": "page", "userId": "u"}, {"type": "page", "userId": "u", "context": {"b": 1}}]
    ask(door, {"batch": calls, "context": {"a": 1}}, "/v1/batch")
    contexts = [event["custom"]["segment"]["context"] for event in door.events]
    assert contexts == [{"a": 1}, {"b": 1}]


def test_analytics_js_is_told_to_send_here() -> None:
    response = ask(
        Door(), path="/v1/projects/k1/settings", method="GET", host="events.shop.example"
    )
    told = answer(response)[1]["integrations"]["Segment.io"]
    assert (told["apiKey"], told["apiHost"]) == ("k1", "events.shop.example/v1")


def test_a_full_spool_makes_an_sdk_come_back() -> None:
    response = ask(Door(room=0), {"event": "A B", "userId": "u"}, "/v1/track")
    assert (response.status, response.headers["Retry-After"]) == (429, "1")
    assert answer(response)[1]["code"] == "too_many_requests"
