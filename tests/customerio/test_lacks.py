"""An event of which a rule makes nothing is skipped, with the reason."""

import pytest

from tests.customerio.support import event_of
from tests.customerio.whole import Json, delivered, simulated
from walker_dest_customerio.sandbox import Sandbox

SMS = {"transactional_message_id": 1, "identifiers": {"id": "u1"}}


def reason_of(settings: Json, event: Json) -> str:
    (result,) = simulated(event, rule={"skip": True, "settings": settings})
    assert (result.status, result.calls) == ("empty", [])
    return result.error or ""


@pytest.mark.parametrize(
    ("settings", "data", "reason"),
    [
        ({}, {}, "its rule asks for nothing else"),
        ({"screen": "data"}, {"title": "Home"}, "screen: name is missing"),
        ({"page": "data.url"}, {"url": "/home"}, "page: an object is needed"),
        ({"page": "data.page"}, {}, "page: nothing is made of the event"),
        ({"destroy": "yes"}, {}, "destroy: only true has an effect"),
        ({"object": "data"}, {"id": "acme"}, "object: typeId is missing"),
        ({"relate": "data.all"}, {"all": [{"typeId": 1}]}, "relate: id is missing"),
        ({"addDevice": "data"}, {"platform": "ios"}, "addDevice: deviceId is missing"),
        (
            {"screen": "data.screen", "sendSms": "data.sms"},
            {"sms": "hello"},
            "screen: nothing is made of the event; sendSms: an object is needed",
        ),
    ],
)
def test_setting_is_named_with_what_it_lacks(settings: Json, data: Json, reason: str) -> None:
    assert reason_of(settings, event_of(data=data)) == f"the rule skips the event; {reason}"


def test_person_who_is_not_known_is_among_the_reasons() -> None:
    settings = {"destroy": True, "relate": "data"}
    assert reason_of(settings, event_of(None, data={"typeId": 1, "id": "acme"})) == (
        "the rule skips the event; destroy: the event is of no known person; "
        "relate: the event is of no known person"
    )


def test_identify_without_changes_is_among_the_reasons() -> None:
    rule = {"skip": True, "settings": {"identify": {"map": {"plan": {"value": "pro"}}}}}
    _, again = simulated(event_of(), event_of(id="e2"), rule=rule)
    assert again.error == "the rule skips the event; identify: nothing has changed"


def test_wrong_identifier_or_attributes_of_an_object_are_warned_of(customerio: Sandbox) -> None:
    settings = {"object": "data.company", "relate": "data.team"}
    data = {
        "company": {"typeId": 1, "id": "acme", "attributes": 7},
        "team": {"typeId": 2, "id": True},
    }
    rule = {"skip": True, "settings": settings}
    (result,) = simulated(event_of(data=data), rule=rule)
    assert list(result.warnings) == [
        "object: attributes must be an object; they are left out",
        "relate: id must be text; nothing is sent of it",
    ]
    assert delivered(customerio, event_of(data=data), rule=rule) == []
    assert customerio.state()["objects"] == {"1:acme": {}}


@pytest.mark.parametrize(
    ("setting", "request_", "reason"),
    [
        ("sendEmail", {**SMS, "too": "a@b.com"}, "to is missing; it has a field that Customer.io"),
        ("sendPush", {**SMS, "message_data": "Ines"}, "message_data must be an object"),
        ("sendSms", {**SMS, "message_data": "Ines"}, "message_data must be an object"),
    ],
)
@pytest.mark.parametrize("delivery", ["batch", "single"])
def test_message_with_wrong_fields_is_refused_before_it_is_sent(
    customerio: Sandbox, setting: str, request_: Json, reason: str, delivery: str
) -> None:
    rule = {"skip": True, "settings": {setting: "data.message"}}
    event = event_of(data={"message": request_})
    (letter,) = delivered(customerio, event, rule=rule, delivery=delivery)
    assert reason in letter.reason
    assert customerio.requests == []
    (result,) = simulated(event, rule=rule)
    told = "; ".join([result.error or "", *result.warnings])
    assert reason in told


def test_field_that_the_flow_names_is_named_in_the_reason(customerio: Sandbox) -> None:
    fields = {"to": "user.id", "transactional_message_id": {"value": 1}, "foo": "data.foo"}
    rule = {"skip": True, "settings": {"sendEmail": {"map": fields}}}
    (letter,) = delivered(customerio, event_of(data={"foo": "secret"}), rule=rule)
    assert "Customer.io does not take 'foo'" in letter.reason
    assert "secret" not in letter.reason
