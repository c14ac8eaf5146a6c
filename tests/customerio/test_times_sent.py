"""Times reach Customer.io as it compares them: whole unix seconds."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.customerio.whole import Json, delivered, simulated
from walker_dest_customerio.sandbox import Sandbox

MAY_DAY = 1_714_564_800
TEXT = "2024-05-01T14:00:00.250+02:00"
DAY = "2024-05-01"

either = pytest.mark.parametrize("delivery", ["batch", "single"])


def value(made: Any) -> Json:
    return {"value": made}


EVENT: Json = {
    "name": "trial start",
    "user": {"id": TEXT, "email": "a@b.com"},
    "data": {
        "at": datetime(2024, 5, 1, 14, 0, 0, 250_000, timezone(timedelta(hours=2))),
        "naive": datetime(2024, 5, 1, 12),
        "day": datetime(2024, 5, 1).date(),
        "ms": MAY_DAY * 1000,
        "deep": [{"at": TEXT, "day": DAY}, [TEXT]],
    },
}
SENT: Json = {
    "at": MAY_DAY,
    "naive": MAY_DAY,
    "day": DAY,
    "ms": MAY_DAY * 1000,
    "deep": [{"at": MAY_DAY, "day": DAY}, [MAY_DAY]],
}
RULE: Json = {
    "name": TEXT,
    "data": "data",
    "settings": {"identify": "data", "page": {"map": {"url": value(TEXT), "at": "data.at"}}},
}


@either
def test_date_times_in_attributes_and_data_become_unix_seconds_and_nothing_else_does(
    delivery: str, customerio: Sandbox
) -> None:
    (told,) = simulated(EVENT, rule=RULE)
    assert [call[:1] for call in told.calls] == [["identify"], ["pageview"], ["track"]]
    assert told.calls[0][1:] == [TEXT, SENT]
    assert told.calls[1][3] == {"at": MAY_DAY}
    assert (told.calls[2][2]["name"], told.calls[2][2]["data"]) == (TEXT, SENT)
    assert delivered(customerio, EVENT, rule=RULE, delivery=delivery) == []
    person = customerio.people[TEXT]
    assert person["attributes"] == SENT
    assert [(event["name"], event["data"]) for event in person["events"]] == [
        (TEXT, {"url": TEXT, "at": MAY_DAY}),
        (TEXT, SENT),
    ]


def test_anonymous_events_have_their_times_too() -> None:
    (told,) = simulated({**EVENT, "user": {"session": "s1"}}, rule=RULE)
    assert told.calls[0][:2] == ["pageview_anonymous", "s1"]
    assert told.calls[0][3] == {"at": MAY_DAY}
    assert told.calls[1][2]["data"] == SENT


def test_times_stay_text_where_the_settings_say_so() -> None:
    (told,) = simulated(EVENT, rule=RULE, timestamps="text")
    kept = {**SENT, "at": "2024-05-01T14:00:00.250000+02:00", "naive": "2024-05-01T12:00:00+00:00"}
    kept["deep"] = [{"at": TEXT, "day": DAY}, [TEXT]]
    assert told.calls[0][2] == told.calls[2][2]["data"] == kept


def test_identifiers_among_attributes_are_no_times() -> None:
    named = {"id": TEXT, "anonymous_id": TEXT, "email": TEXT, "phone": TEXT, "since": TEXT}
    (told,) = simulated(EVENT, rule={"skip": True, "settings": {"identify": value(named)}})
    assert told.calls[0][2] == {**named, "since": MAY_DAY}


def test_relationships_have_times_in_attributes_and_numbers_as_ids() -> None:
    tie = {
        "identifiers": {"object_type_id": 1, "object_id": 42},
        "relationship_attributes": {"since": TEXT},
    }
    made = {
        "identifiers": {"object_type_id": "1", "object_id": "42"},
        "relationship_attributes": {"since": MAY_DAY},
    }
    dated = {"identifiers": {"object_type_id": "1", "object_id": TEXT}}
    given = {"action": "add_relationships", "relationships": [tie, dated]}
    rule = {"skip": True, "settings": {"identify": value({"cio_relationships": given})}}
    (told,) = simulated(EVENT, rule=rule)
    assert told.calls[0][2]["cio_relationships"]["relationships"] == [made, dated]


FORMS = [
    *(MAY_DAY, MAY_DAY * 1000, MAY_DAY + 0.5, TEXT, str(MAY_DAY * 1000)),
    *("2024-05-01T12:00:00", "2024-05-01 12:00:00", "2024-05-01 14:00:00+02:00"),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("timestamps", ["unix", "text"])
def test_what_is_always_a_time_is_unix_seconds_in_whatever_form_it_comes(
    form: object, timestamps: str
) -> None:
    device = {"deviceId": "d1", "platform": "ios", "data": {"last_used": form, "note": TEXT}}
    rule = {
        "skip": True,
        "settings": {
            "identify": value({"_timestamp": form}),
            "addDevice": value(device),
            "sendEmail": value({"to": "a@b.com", "send_at": form, "message_data": {"at": TEXT}}),
            "sendPush": value({"to": 12, "custom_device": {"token": 7, "last_used": form}}),
        },
    }
    (told,) = simulated(EVENT, rule=rule, timestamps=timestamps)
    assert told.calls == [
        ["identify", TEXT, {"_timestamp": MAY_DAY}],
        ["add_device", TEXT, "d1", "ios", {"last_used": MAY_DAY, "note": TEXT}],
        ["send_email", {"to": "a@b.com", "send_at": MAY_DAY, "message_data": {"at": TEXT}}],
        ["send_push", {"to": "12", "custom_device": {"token": "7", "last_used": MAY_DAY}}],
    ]


@either
def test_times_in_any_form_are_taken(delivery: str, customerio: Sandbox) -> None:
    ahead = datetime.now(UTC) + timedelta(days=30)
    rule = {
        "settings": {
            "identify": value({"_timestamp": TEXT, "created_at": MAY_DAY * 1000}),
            "addDevice": value(
                {"deviceId": "d1", "platform": "ios", "data": {"last_used": MAY_DAY * 1000}}
            ),
            "sendEmail": value(
                {
                    "to": "a@b.com",
                    "transactional_message_id": 1,
                    "identifiers": {"id": "u1"},
                    "send_at": ahead.isoformat(),
                }
            ),
        }
    }
    event = {"name": "trial start", "user": {"id": "u1"}}
    assert delivered(customerio, event, rule=rule, delivery=delivery) == []
    person = customerio.people["u1"]
    assert person["attributes"]["created_at"] == MAY_DAY
    assert person["devices"]["d1"]["last_used"] == MAY_DAY
    assert customerio.messages[0]["request"]["send_at"] == int(ahead.timestamp())


def test_identify_never_claims_a_time_to_come_whoever_says_so() -> None:
    rule = {"skip": True, "settings": {"identify": value({"_timestamp": 4_000_000_000})}}
    (told,) = simulated(EVENT, rule=rule)
    assert told.calls[0][2]["_timestamp"] < 4_000_000_000
