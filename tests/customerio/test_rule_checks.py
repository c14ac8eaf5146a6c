"""What rule settings plainly make is checked when the flow is loaded."""

from typing import Any

import pytest

from tests.customerio.test_settings import KEYS, PLACE, problems_of
from walker_collector.flow import load_flow

SETTINGS = {**KEYS, "appApiKey": "app"}
AT = f"{PLACE}.mapping.order.complete.settings"
OBJECT = {"map": {"typeId": {"value": 1}, "id": "data.id"}}
MESSAGE = {
    "transactional_message_id": {"value": "parcel"},
    "identifiers": {"map": {"id": "user.id"}},
}


def value(made: Any) -> dict[str, Any]:
    return {"value": made}


def objects(**parts: Any) -> dict[str, Any]:
    return {"map": {**OBJECT["map"], **parts}}


def device(platform: Any) -> dict[str, Any]:
    return {"map": {"deviceId": "data.token", "platform": platform}}


def mapping_of(settings: dict[str, Any]) -> dict[str, Any]:
    return {"order": {"complete": {"skip": True, "settings": settings}}}


def warnings_of(settings: dict[str, Any]) -> list[str]:
    config = {"settings": SETTINGS, "mapping": mapping_of(settings)}
    raw = {"destinations": {"customerio": {"package": "customerio", "config": config}}}
    return list(load_flow(raw, environ={}).warnings)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"object": {"map": {"id": "data.id"}}}, "object: typeId is missing"),
        (
            {"object": objects(typeId=value("companies"))},
            "object: typeId must be the number that Customer.io shows for the type of object",
        ),
        ({"object": objects(attributes=value(7))}, "object: attributes must be an object"),
        ({"object": objects(delete=value("yes"))}, "object: delete must be true or false"),
        (
            {"object": {"loop": ["data.teams", {"map": {"typeId": value(1)}}]}},
            "object.loop[1]: id is missing",
        ),
        ({"relate": objects(id=value(True))}, "relate: id must be text"),
        ({"relate": {"set": [OBJECT, {"map": {}}]}}, "relate.set[1]: typeId and id are missing"),
        ({"unrelate": value([{"typeId": 1, "id": "a"}, 7])}, "unrelate: makes no object"),
        ({"screen": {"map": {"title": "data.title"}}}, "screen: name is missing"),
        ({"page": value("/home")}, "page: makes no object"),
        ({"addDevice": device(value("windows"))}, "addDevice: platform must be ios or android"),
        ({"deleteDevice": {"map": {}}}, "deleteDevice: deviceId and platform are missing"),
        ({"identify": {"map": {"_update": value("yes")}}}, "identify: _update must be true or"),
        ({"recipient": value("nope")}, "recipient: must be an email address"),
        (
            {
                "merge": {
                    "map": {
                        "primaryType": value("phone"),
                        "primaryId": "data.phone",
                        "secondaryType": value("id"),
                        "secondaryId": "user.id",
                    }
                }
            },
            "merge: primaryType must be cio_id, email or id",
        ),
        ({"sendInbox": {"map": {**MESSAGE, "to": value("x")}}}, "sendInbox: Customer.io does not"),
        (
            {"sendSms": {"map": {**MESSAGE, "message_data": value("Ines")}}},
            "sendSms: message_data must be an object",
        ),
        (
            {"sendSms": {"map": {**MESSAGE, "identifiers": value({"phone": "1"})}}},
            "sendSms: identifiers must be an object with exactly one of id, email and cio_id",
        ),
        (
            {"sendSms": {"map": {"transactional_message_id": value(1), "from": value("x")}}},
            "sendSms: identifiers is missing; Customer.io does not take 'from'; known: ",
        ),
    ],
)
def test_value_that_plainly_is_wrong_is_a_mistake_of_the_flow(
    settings: dict[str, Any], problem: str
) -> None:
    (found,) = problems_of(SETTINGS, mapping_of(settings))
    assert found.startswith(f"{AT}.{problem}")


def test_every_alternative_and_the_identify_of_the_destination_are_checked() -> None:
    settings = {"screen": ["data.screen", {"map": {"title": "data.title"}}]}
    identify = {"map": {"_update": value(1)}}
    assert problems_of({**SETTINGS, "identify": identify}, mapping_of(settings)) == [
        f"{PLACE}.settings.identify: _update must be true or false",
        f"{AT}.screen[1]: name is missing",
    ]


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ({"destroy": "yes"}, "destroy: has no effect: only true has"),
        (
            {"relate": [OBJECT, OBJECT]},
            "relate[1]: is never used: a list has alternatives, and [0] always makes something; "
            'for several objects write {"set": [...]}',
        ),
        (
            {"sendEmail": {"map": {**MESSAGE, "too": value("a@b.com")}}},
            "sendEmail: Customer.io refuses these messages: to is missing; "
            "Customer.io does not take 'too'; known: to, ",
        ),
        (
            {"sendEmail": {"map": {"to": "user.email", "transactional_message_id": value(1)}}},
            "sendEmail: has no identifiers, which Customer.io asks for",
        ),
        (
            {"sendPush": {"map": {**MESSAGE, "tracked": value(True)}}},
            "sendPush: Customer.io refuses these messages: Customer.io does not take 'tracked'",
        ),
    ],
)
def test_setting_in_vain_is_warned_of(settings: dict[str, Any], warning: str) -> None:
    (found,) = warnings_of(settings)
    assert found.startswith(f"{AT}.{warning}")


@pytest.mark.parametrize(
    "settings",
    [
        {"object": "data.company", "page": "data.page"},
        {"object": objects(typeId="data.type", attributes="data.company", delete="data.gone")},
        {"relate": {"set": [OBJECT, objects(typeId=value("2"))]}},
        {"relate": [{**OBJECT, "condition": "operator:truth"}, OBJECT]},
        {"screen": {"map": {"name": {"key": "data.screen", "value": 7}}}},
        {"addDevice": device("data.platform"), "deleteDevice": device(value("windows"))},
        {"identify": {"map": {"_update": "data.update"}}},
        {"sendEmail": "data.email", "sendSms": "data.sms"},
        {"sendEmail": {"map": {**MESSAGE, "to": "user.email", "tracked": "data.tracked"}}},
        {"destroy": False},
    ],
    ids=str,
)
def test_what_the_event_decides_is_left_to_it(settings: dict[str, Any]) -> None:
    assert warnings_of(settings) == []
