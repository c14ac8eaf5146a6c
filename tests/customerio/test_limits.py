"""What is refused is known before it is sent; what is too long costs no more than itself."""

import logging
from typing import Any

import pytest

from tests.customerio.whole import Json, delivered, simulated
from walker_dest_customerio import limits
from walker_dest_customerio.sandbox import Sandbox

NAME = "order complete"
SMILE = "\N{GRINNING FACE}"  # four bytes

either = pytest.mark.parametrize("delivery", ["batch", "single"])


def of(person: str = "u1", **parts: Any) -> Json:
    return {"name": NAME, "user": {"id": person}, **parts}


def value(made: Any) -> Json:
    return {"value": made}


def email(**request: Any) -> Json:
    body = {"to": "a@b.com", "transactional_message_id": 1, "identifiers": {"id": "u1"}}
    return {"skip": True, "settings": {"sendEmail": value({**body, **request})}}


REFUSED: list[tuple[str, Json, Json, str]] = [
    ("id", of("x" * 151), {}, "track: the id has 151 bytes; Customer.io takes at most 150"),
    ("id of many bytes", of(SMILE * 38), {}, "track: the id has 152 bytes"),
    ("email address", of("a@b." + "c" * 150), {}, "track: the id has 154 bytes"),
    ("dots", of(".."), {}, "track: the id is one or two dots"),
    ("session", {"name": NAME, "user": {"session": "x" * 151}}, {}, "track: the id has 151"),
    ("name", of(), {"name": "x" * 101}, "track: the name has 101 bytes"),
    ("name of an event", of(name=f"a {'b' * 100}"), {}, "track: the name has 102 bytes"),
    ("name of many bytes", of(), {"name": SMILE * 26}, "track: the name has 104 bytes"),
    ("blank name", of(), {"name": "  "}, "track: the name is blank"),
    (
        "data",
        of(data={"text": "x" * 100_000}),
        {"data": "data"},
        "track: data of 100,011 bytes of JSON; Customer.io takes at most 100,000",
    ),
    (
        "page of somebody",
        of("x" * 151),
        {"skip": True, "settings": {"page": value({"url": "/x"})}},
        "page: the id has 151 bytes",
    ),
    (
        "attributes",
        of(),
        {"skip": True, "settings": {"identify": value({f"a{at}": 1 for at in range(301)})}},
        "identify: 301 attributes; Customer.io takes at most 300 at once",
    ),
    (
        "time of an identify",
        of(),
        {"skip": True, "settings": {"identify": value({"_timestamp": "yesterday"})}},
        "identify: attribute '_timestamp' is no time",
    ),
    (
        "platform",
        of(data={"deviceId": "d", "platform": "tv"}),
        {"skip": True, "settings": {"addDevice": "data"}},
        "add_device: platform must be ios or android",
    ),
    (
        "token of dots",
        of(),
        {"skip": True, "settings": {"deleteDevice": value({"deviceId": ".", "platform": "ios"})}},
        "delete_device: the token is one or two dots",
    ),
    (
        "time of a device",
        of(),
        {
            "skip": True,
            "settings": {
                "addDevice": value(
                    {"deviceId": "d", "platform": "ios", "data": {"last_used": "often"}}
                )
            },
        },
        "add_device: data.last_used is no time",
    ),
    (
        "merge",
        of(),
        {
            "skip": True,
            "settings": {
                "merge": value(
                    {
                        "primaryType": "id",
                        "primaryId": "x" * 151,
                        "secondaryType": "id",
                        "secondaryId": "b",
                    }
                )
            },
        },
        "merge: primaryId has 151 bytes",
    ),
    (
        "recipients",
        of(),
        email(to=", ".join(["a@b.com"] * 10), cc=",".join(["a@b.com"] * 6)),
        "send_email: 16 recipients; Customer.io takes at most 15",
    ),
    (
        "attachments",
        of(),
        email(attachments={"a": "x" * 1_500_000, "b": "y" * 500_004}),
        "send_email: attachments of 2,000,004 bytes; Customer.io takes 2,000,000",
    ),
    (
        "message",
        of(),
        email(message_data={"text": "x" * 2048 * 1024}),
        "bytes of JSON; Customer.io takes at most 2,097,152",
    ),
    ("time to send", of(), email(send_at="soon"), "send_email: send_at is no time"),
    (
        "time far ahead",
        of(),
        email(send_at="2150-01-01T00:00:00Z"),
        "send_email: send_at is more than 90 days ahead",
    ),
]
CASES = pytest.mark.parametrize(
    ("event", "rule", "reason"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)


@CASES
def test_simulation_knows_what_will_surely_be_refused(event: Json, rule: Json, reason: str) -> None:
    (result,) = simulated(event, rule=rule)
    assert (result.status, result.calls) == ("invalid", [])
    assert reason in (result.error or "")


@either
@CASES
def test_what_will_surely_be_refused_is_not_sent_and_becomes_a_dead_letter(
    event: Json, rule: Json, reason: str, delivery: str, customerio: Sandbox
) -> None:
    (letter,) = delivered(customerio, event, rule=rule, delivery=delivery)
    assert reason in letter.reason
    assert customerio.requests == []


def test_empty_name_of_a_rule_is_simulated_as_in_walkeros_with_a_warning(
    customerio: Sandbox,
) -> None:
    (result,) = simulated(of(), rule={"name": ""})
    assert (result.status, result.calls[0][2]["name"]) == ("deliver", "")
    assert result.warnings == ("track: the name is blank, so Customer.io refuses it",)
    (letter,) = delivered(customerio, of(), rule={"name": ""}, delivery="batch")
    assert letter.reason == "track: the name is blank"


ALLOWED: list[tuple[str, Json, Json]] = [
    ("id", of("x" * 150), {}),
    ("session", {"name": NAME, "user": {"session": "x" * 150}}, {}),
    ("name", of(), {"name": "x" * 100}),
    ("name between spaces", of(), {"name": f"  {'x' * 100}  "}),
    ("data", of(data={"text": "x" * 99_989}), {"data": "data"}),
    ("attributes", of(), {"settings": {"identify": value({f"a{at}": 1 for at in range(300)})}}),
    ("value", of(), {"settings": {"identify": value({"a": "x" * 1000, "b": ["x" * 996]})}}),
    ("attribute", of(), {"settings": {"identify": value({"x" * 150: 1})}}),
    ("recipients", of(), email(to=", ".join(['"Doe, Ann" <a@b.com>'] * 15))),
    ("attachments", of(), email(attachments={"a": "x" * 2_000_000})),
]


@either
@pytest.mark.parametrize(
    ("event", "rule"), [case[1:] for case in ALLOWED], ids=[case[0] for case in ALLOWED]
)
def test_what_is_just_short_enough_is_taken(
    event: Json, rule: Json, delivery: str, customerio: Sandbox
) -> None:
    (result,) = simulated(event, rule=rule)
    assert (result.status, result.warnings) == ("deliver", ())
    assert delivered(customerio, event, rule=rule, delivery=delivery) == []
    assert {request.status for request in customerio.requests} == {200}


OVERLONG: Json = {
    "bio": "x" * 1001,
    "smile": SMILE * 251,
    "list": ["x" * 500, "y" * 500],
    "object": {"deep": {"deeper": "x" * 1000}},
    "y" * 151: 1,
    "anonymous_id": "x" * 151,
}


@either
def test_attribute_that_is_too_long_costs_itself_and_is_told(
    delivery: str, customerio: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    rule = {"settings": {"identify": value({"plan": "pro", **OVERLONG})}}
    (told,) = simulated(of(), rule=rule)
    assert told.status == "deliver"
    assert [call[0] for call in told.calls] == ["identify", "track"]
    assert told.calls[0][2] == {"plan": "pro"}
    assert told.warnings[0] == (
        "attribute 'bio' takes more than Customer.io's 1,000 bytes and is left out"
    )
    assert len(told.warnings) == len(OVERLONG)
    with caplog.at_level(logging.WARNING):
        assert delivered(customerio, of(id="e1"), rule=rule, delivery=delivery) == []
    person = customerio.people["u1"]
    assert person["attributes"] == {"plan": "pro"}
    assert [event["name"] for event in person["events"]] == [NAME]
    assert f"event e1: {told.warnings[0]}" in caplog.text
    assert "x" * 20 not in caplog.text


def test_warning_about_many_events_does_not_flood_the_log(
    customerio: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    rule = {"settings": {"identify": value({"bio": "x" * 1001})}}
    with caplog.at_level(logging.WARNING):
        assert delivered(customerio, *(of(f"u{at}") for at in range(50)), rule=rule) == []
    first, *more = [line for line in caplog.messages if "is left out" in line]
    assert "more like this" not in first
    assert [line.endswith("(and 48 more like this)") for line in more] == [True]  # at the close


def test_person_whose_attribute_was_left_out_is_not_identified_again_and_again() -> None:
    rule = {"settings": {"identify": value(OVERLONG)}}
    first, second = simulated(of(), of(), rule=rule)
    assert [call[0] for call in first.calls] == ["identify", "track"]
    assert [call[0] for call in second.calls] == ["track"]


def test_preferences_and_relationships_have_no_limit_of_a_value() -> None:
    structures = {
        "cio_subscription_preferences": {"topics": {f"topic_{at}": True for at in range(200)}},
        "cio_relationships": {"action": "add_relationships", "relationships": []},
    }
    (told,) = simulated(of(), rule={"settings": {"identify": value(structures)}})
    assert (told.calls[0][2], told.warnings) == (structures, ())


@either
def test_refused_part_of_an_event_leaves_the_rest_to_be_delivered(
    delivery: str, customerio: Sandbox
) -> None:
    many = value({f"a{at}": 1 for at in range(301)})
    rule = {"settings": {"identify": many, "page": value({"url": "/x"})}}
    (told,) = simulated(of(), rule=rule)
    assert told.status == "invalid"
    assert [call[0] for call in told.calls] == ["pageview", "track"]
    (letter,) = delivered(customerio, of(), rule=rule, delivery=delivery)
    assert letter.reason.startswith("identify: 301 attributes")
    assert [event["name"] for event in customerio.people["u1"]["events"]] == ["/x", NAME]


URL = "https://shop.example/tea/oolong"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (URL, URL),
        (f"{URL}?utm_source=mail&utm_campaign={'x' * 200}", URL),
        (f"{URL}?a?b#c", URL),
        (f"{URL}#leaves", f"{URL}#leaves"),
        (f"https://shop.example/{'x' * 200}", f"https://shop.example/{'x' * 79}"),
        (f"/{SMILE * 30}", f"/{SMILE * 24}"),
        ("?only=query", "?only=query"),
    ],
)
@either
def test_page_is_named_by_its_url_without_the_query_and_keeps_all_of_it_in_its_data(
    url: str, name: str, delivery: str, customerio: Sandbox
) -> None:
    rule = {"skip": True, "settings": {"page": {"map": {"url": "data.url", "title": value("X")}}}}
    events = [
        of(data={"url": url}),
        {"name": NAME, "user": {"session": "s1"}, "data": {"url": url}},
    ]
    known, stranger = simulated(*events, rule=rule)
    assert known.calls == [["pageview", "u1", url, {"title": "X"}]]
    assert stranger.calls == [["pageview_anonymous", "s1", url, {"title": "X"}]]
    assert delivered(customerio, *events, rule=rule, delivery=delivery) == []
    seen = [(event["type"], event["name"], event["data"]) for event in customerio.events]
    assert seen == [("page", name, {"url": url, "title": "X"})] * 2


def test_page_has_the_name_of_its_rule() -> None:
    rule = {"name": "Tea", "skip": True, "settings": {"page": value({"url": URL})}}
    (told,) = simulated(of(), rule=rule)
    assert told.calls == [["pageview", "u1", URL]]


@either
def test_name_of_a_rule_is_that_of_its_page(delivery: str, customerio: Sandbox) -> None:
    rule = {"name": "Tea", "skip": True, "settings": {"page": value({"url": URL})}}
    assert delivered(customerio, of(), rule=rule, delivery=delivery) == []
    assert [event["name"] for event in customerio.events] == ["Tea"]


@either
def test_numeric_token_of_a_device_is_a_text(delivery: str, customerio: Sandbox) -> None:
    device = {"deviceId": "data.token", "platform": value("ios")}
    add = {"name": "app open", "user": {"id": "u1"}, "data": {"token": 12345}}
    rule: Json = {"skip": True, "settings": {"addDevice": {"map": device}}}
    (told,) = simulated(add, rule=rule)
    assert told.calls == [["add_device", "u1", "12345", "ios"]]
    assert delivered(customerio, add, rule=rule, delivery=delivery) == []
    assert list(customerio.people["u1"]["devices"]) == ["12345"]
    rule = {"skip": True, "settings": {"deleteDevice": {"map": device}}}
    assert delivered(customerio, add, rule=rule, delivery=delivery) == []
    assert list(customerio.people["u1"]["devices"]) == []


def test_cut_text_is_whole_and_fits() -> None:
    for text in ("", "abc", "x" * 200, SMILE * 60, "é" * 99, "a" + SMILE * 60):
        found = limits.cut(text, 100)
        assert text.startswith(found)
        assert not limits.is_longer(found, 100)
        assert found == text or limits.is_longer(text[: len(found) + 1], 100)
