"""Track v1, asked by the official SDK and by plain requests."""

from typing import Any

import pytest
from customerio import CustomerIO, CustomerIOException

from tests.customerio.sandbox.conftest import NOW, Clock, Web
from walker_dest_customerio.sandbox import Sandbox

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
PERSON = "/api/v1/customers/u1"


def names(sandbox: Sandbox, person: str) -> list[str]:
    return [event["name"] for event in sandbox.people[person]["events"]]


def test_success_looks_like_the_recorded_real_answer(web: Web) -> None:
    answer = web("PUT", PERSON, json={"plan": "pro"})
    assert answer.status_code == 200
    assert answer.content == b"{}\n"
    assert answer.headers["Content-Length"] == "3"
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


def test_identify_merges_attributes(track: CustomerIO, sandbox: Sandbox) -> None:
    track.identify("u1", email="A@b.c", plan="free", seats=3)
    track.identify("u1", plan="pro", seats=None)
    assert sandbox.people["u1"]["attributes"] == {"email": "A@b.c", "plan": "pro"}
    assert sandbox.people["u1"]["edited_at"] == NOW


def test_control_keys_steer_and_are_not_stored(track: CustomerIO, sandbox: Sandbox) -> None:
    relate = {
        "action": "add_relationships",
        "relationships": [
            {"identifiers": {"object_type_id": "1", "object_id": "acme"}},
            {"identifiers": {"cio_object_id": "ob1"}, "relationship_attributes": {"role": "x"}},
        ],
    }
    track.identify("u1", _timestamp=NOW, _update=False, cio_relationships=relate, plan="pro")
    person = sandbox.people["u1"]
    assert person["attributes"] == {"plan": "pro"}
    assert [tie["object_id"] for tie in person["relationships"]] == ["acme", "ob1"]
    cut = {**relate, "action": "delete_relationships"}
    track.identify("u1", cio_relationships=cut)
    assert sandbox.people["u1"]["relationships"] == []


def test_older_timestamp_is_dropped_with_200(track: CustomerIO, sandbox: Sandbox) -> None:
    track.identify("u1", plan="pro", _timestamp=NOW)
    assert track.identify("u1", plan="old", _timestamp=NOW - 1).status_code == 200
    assert sandbox.people["u1"]["attributes"] == {"plan": "pro"}
    assert sandbox.ignored == [
        {
            "operation": "Identify",
            "person": "id:u1",
            "reason": "older than the latest attribute update",
        }
    ]
    track.identify("u1", plan="new", _timestamp=NOW)
    assert sandbox.people["u1"]["attributes"] == {"plan": "new"}


def test_update_only_never_creates(track: CustomerIO, sandbox: Sandbox) -> None:
    assert track.identify("u1", _update=True, plan="pro").status_code == 200
    assert sandbox.people == {}
    assert sandbox.counters["ignored"] == 1


def test_person_is_addressed_by_id_email_and_cio_id(track: CustomerIO, sandbox: Sandbox) -> None:
    track.identify("u1", email="a@b.c")
    cio_id = sandbox.people["u1"]["cio_id"]
    track.identify("A@B.C", by_email=True)
    track.identify(f"cio_{cio_id}", by_cio_id=True)
    assert list(sandbox.people) == ["u1"]
    assert sandbox.people["u1"]["attributes"].keys() == {"email", "by_email", "by_cio_id"}


def test_new_path_identifier_is_given_to_the_known_person(
    track: CustomerIO, sandbox: Sandbox
) -> None:
    track.identify("a@b.c", plan="pro")
    track.identify("u1", email="a@b.c")
    assert list(sandbox.people) == ["u1"]
    assert sandbox.people["u1"]["attributes"] == {"email": "a@b.c", "plan": "pro"}


def test_odd_identifiers_survive_the_path(track: CustomerIO, sandbox: Sandbox) -> None:
    track.identify("a/b c@x+y?#%", plan="pro")
    track.track("ünï", "seen")
    track.add_device("ünï", "to/ken", "ios")
    assert list(sandbox.people) == ["a/b c@x+y?#%", "ünï"]
    track.delete_device("ünï", "to/ken")
    assert sandbox.people["ünï"]["devices"] == {}


def test_events_of_all_kinds_are_kept(track: CustomerIO, sandbox: Sandbox, web: Web) -> None:
    track.track("u1", " order complete ", {"total": 5}, id=ULID, timestamp=NOW - 60)
    track.pageview("u1", "/pricing", title="Pricing")
    screen = {"name": "home", "type": "screen", "timestamp": NOW - 5}
    assert web("POST", f"{PERSON}/events", json=screen).status_code == 200
    kinds = [(event["type"], event["name"]) for event in sandbox.people["u1"]["events"]]
    assert kinds == [("event", "order complete"), ("page", "/pricing"), ("screen", "home")]
    first = sandbox.people["u1"]["events"][0]
    assert first == {
        "person": "u1",
        "anonymous_id": None,
        "type": "event",
        "name": "order complete",
        "data": {"total": 5},
        "timestamp": NOW - 60,
        "id": ULID,
        "received_at": float(NOW),
    }


def test_duplicate_event_id_is_ignored(track: CustomerIO, sandbox: Sandbox) -> None:
    track.track("u1", "first", id=ULID)
    assert track.track("u2", "second", id=ULID.lower()).status_code == 200
    assert [event["name"] for event in sandbox.events] == ["first"]
    assert sandbox.counters["duplicates"] == 1


def test_anonymous_events_join_on_identify(
    track: CustomerIO, sandbox: Sandbox, clock: Clock
) -> None:
    track.track_anonymous("a1", "before")
    assert [event["name"] for event in sandbox.anonymous_events["a1"]] == ["before"]
    track.identify("u1", anonymous_id="a1")
    clock.now += 299
    track.track_anonymous("a1", "soon after")
    clock.now += 2
    track.track_anonymous("a1", "too late")
    assert names(sandbox, "u1") == ["before", "soon after"]
    track.identify("u1", anonymous_id="a1")
    assert names(sandbox, "u1") == ["before", "soon after", "too late"]
    assert sandbox.anonymous_events == {}


def test_invite_needs_a_recipient(track: CustomerIO, sandbox: Sandbox, web: Web) -> None:
    track.track_anonymous(None, "invite", {"recipient": "a@b.c"})
    assert [event["name"] for event in sandbox.state()["invites"]] == ["invite"]
    answer = web("POST", "/api/v1/events", json={"name": "invite", "data": {}})
    assert answer.status_code == 400
    assert "recipient" in answer.json()["meta"]["errors"][0]


def test_device_is_kept_with_its_attributes(track: CustomerIO, sandbox: Sandbox) -> None:
    track.add_device("u1", "T", "ios", last_used=NOW, attributes={"app_version": "1"})
    device = {"platform": "ios", "last_used": NOW, "attributes": {"app_version": "1"}}
    assert sandbox.people["u1"]["devices"] == {"T": device}
    track.delete_device("u1", "T")
    track.delete_device("u1", "T")
    assert sandbox.people["u1"]["devices"] == {}


def test_deleted_person_is_gone_and_may_return_without_history(
    track: CustomerIO, sandbox: Sandbox
) -> None:
    track.identify("u1", plan="pro")
    track.track("u1", "before")
    track.delete("u1")
    assert sandbox.people == {}
    assert track.delete("u1").status_code == 200
    track.track("u1", "after")
    assert names(sandbox, "u1") == ["after"]
    assert sandbox.people["u1"]["attributes"] == {}


def test_suppressed_identifiers_are_ignored_until_unsuppressed(
    track: CustomerIO, sandbox: Sandbox
) -> None:
    track.identify("u1", email="a@b.c")
    track.suppress("u1")
    assert sandbox.suppressed == ["a@b.c", "u1"]
    for answer in (
        track.identify("u1", plan="pro"),
        track.identify("a@b.c", plan="pro"),
        track.track("a@b.c", "seen"),
        track.add_device("u1", "T", "ios"),
        track.delete("u1"),
    ):
        assert answer.status_code == 200
    assert sandbox.people == {}
    assert {note["reason"] for note in sandbox.ignored} == {"suppressed"}
    track.unsuppress("u1")
    assert sandbox.suppressed == []
    track.identify("a@b.c", plan="pro")
    assert list(sandbox.people) == ["a@b.c"]


def test_merge_moves_the_secondary_into_the_primary(track: CustomerIO, sandbox: Sandbox) -> None:
    track.identify("u1", plan="pro")
    track.track("old@b.c", "before")
    track.identify("old@b.c", plan="free", city="Oslo")
    track.add_device("old@b.c", "T", "android")
    track.track("u1", "after")
    track.merge_customers("id", "u1", "email", "OLD@b.c")
    person = sandbox.people["u1"]
    assert list(sandbox.people) == ["u1"]
    assert person["attributes"] == {"plan": "pro", "city": "Oslo", "email": "old@b.c"}
    assert names(sandbox, "u1") == ["before", "after"]
    assert list(person["devices"]) == ["T"]


@pytest.mark.parametrize("missing", ["primary", "secondary"])
def test_merge_with_someone_missing_does_nothing(
    track: CustomerIO, sandbox: Sandbox, missing: str
) -> None:
    track.identify("u2" if missing == "primary" else "u1", plan="free")
    before = sandbox.people
    assert track.merge_customers("id", "u1", "id", "u2").status_code == 200
    assert sandbox.people == before
    assert sandbox.ignored[0]["reason"] == "unknown person"


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"id": 5}, "id attribute must be a string value"),
        ({"id": ""}, "id attribute cannot be an empty string"),
        ({"id": "u2"}, "id attribute and identifier are not the same value"),
        (
            {f"a{n}": n for n in range(301)},
            "cannot identify more than 300 attributes in one request",
        ),
        ({"n" * 151: 1}, "attribute name cannot be longer than 150 bytes"),
        ({"bio": "x" * 1001}, "value for attribute 'bio' cannot be longer than 1000 bytes"),
        ({"bio": "é" * 501}, "value for attribute 'bio' cannot be longer than 1000 bytes"),
        ({"bio": ["x" * 1000]}, "value for attribute 'bio' cannot be longer than 1000 bytes"),
        ({"email": "nobody"}, "email attribute must be an email address"),
        ({"anonymous_id": 7}, "anonymous_id attribute must be a string value"),
        ({"_timestamp": 1.5}, "_timestamp must be an integer (unix seconds)"),
        ({"_update": "yes"}, "_update must be a boolean"),
        (
            {"cio_relationships": []},
            "cio_relationships must be a hash with action and relationships",
        ),
        (
            {"cio_relationships": {"action": "add", "relationships": []}},
            "cio_relationships action must be add_relationships or delete_relationships",
        ),
        (
            {"cio_relationships": {"action": "add_relationships", "relationships": [{}]}},
            "cio_relationships relationships must name object_type_id and object_id",
        ),
    ],
)
def test_identify_is_rejected_whole(
    web: Web, sandbox: Sandbox, attributes: dict[str, Any], message: str
) -> None:
    answer = web("PUT", PERSON, json={"plan": "pro", **attributes})
    assert answer.status_code == 400
    assert answer.json() == {"meta": {"errors": [message]}}
    assert sandbox.people == {}
    assert sandbox.counters["rejected"] == 1


def test_long_id_is_rejected_beside_an_email_in_the_path(web: Web) -> None:
    answer = web("PUT", "/api/v1/customers/a@b.c", json={"id": "u" * 151})
    assert answer.json() == {"meta": {"errors": ["id attribute cannot be longer than 150 bytes"]}}


def test_every_problem_of_an_identify_is_listed(web: Web) -> None:
    long = {"a": "x" * 1001, "b": "y" * 1001}
    assert len(web("PUT", PERSON, json=long).json()["meta"]["errors"]) == 2


@pytest.mark.parametrize(
    "attributes",
    [
        {"a": "x" * 1000, "b": "é" * 500, "n" * 150: 1},
        {f"a{n}": n for n in range(300)} | {"_timestamp": NOW},
        {"nested": {"deep": [1, 2.5, None]}, "flag": True},
        {"cio_subscription_preferences": {"topics": {f"topic_{n}": True for n in range(200)}}},
    ],
)
def test_identify_up_to_the_limits_is_accepted(web: Web, attributes: dict[str, Any]) -> None:
    assert web("PUT", PERSON, json=attributes).status_code == 200


@pytest.mark.parametrize("call", ["", "/events", "/suppress", "/devices"])
def test_long_identifier_is_rejected(web: Web, call: str) -> None:
    method = "PUT" if call in ("", "/devices") else "POST"
    body = {"name": "x"} if call == "/events" else {}
    if call == "/devices":
        body = {"device": {"id": "T", "platform": "ios"}}  # type: ignore[dict-item]
    for identifier, status in (("u" * 151, 400), ("%20", 400), ("u" * 150, 200)):
        answer = web(method, f"/api/v1/customers/{identifier}{call}", json=body)
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({}, "event name must not be blank"),
        ({"name": "  "}, "event name must not be blank"),
        ({"name": "n" * 101}, "event name cannot be longer than 100 bytes"),
        ({"name": "x", "type": "click"}, "event type must be event, page or screen"),
        (
            {"name": "x", "data": ""},
            'event data must be a hash (e.g., send "data":{} instead of "data":"")',
        ),
        (
            {"name": "x", "data": {"a": "b" * 100_000}},
            "event data cannot be longer than 100000 bytes",
        ),
        ({"name": "x", "timestamp": 1.5}, "event timestamp must be an integer (unix seconds)"),
        ({"name": "x", "id": "not-a-ulid"}, "event id must be a ULID"),
        ({"name": "x", "attributes": {}}, "unknown event field 'attributes'"),
    ],
)
def test_event_is_rejected(web: Web, event: dict[str, Any], message: str) -> None:
    answer = web("POST", f"{PERSON}/events", json=event)
    assert answer.status_code == 400
    assert answer.json() == {"meta": {"errors": [message]}}
    anonymous = web("POST", "/api/v1/events", json={"anonymous_id": "a1", **event})
    assert anonymous.json() == answer.json()


def test_blank_anonymous_id_is_rejected(web: Web) -> None:
    answer = web("POST", "/api/v1/events", json={"name": "x", "anonymous_id": ""})
    assert answer.json() == {"meta": {"errors": ["anonymous_id must be a string value"]}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"id": "T", "platform": "ios"}, "device must be a hash"),
        ({"device": {"platform": "ios"}}, "device id must not be blank"),
        ({"device": {"id": "T"}}, "device platform must be ios or android"),
        (
            {"device": {"id": "T", "platform": "ios", "last_used": "now"}},
            "device last_used must be an integer (unix seconds)",
        ),
        (
            {"device": {"id": "T", "platform": "ios", "attributes": []}},
            "device attributes must be a hash",
        ),
        (
            {"device": {"id": "T", "platform": "ios", "app_version": "1"}},
            "unknown device field 'app_version'",
        ),
    ],
)
def test_device_is_rejected(web: Web, content: dict[str, Any], message: str) -> None:
    answer = web("PUT", f"{PERSON}/devices", json=content)
    assert answer.status_code == 400
    assert answer.json() == {"meta": {"errors": [message]}}


@pytest.mark.parametrize(
    ("primary", "message"),
    [
        (None, "primary must have exactly one identifier"),
        ({"id": "u1", "email": "a@b.c"}, "primary must have exactly one identifier"),
        ({"phone": "+4712345678"}, "primary must be identified by id, email or cio_id"),
        ({"id": 5}, "primary id must be a string value"),
    ],
)
def test_merge_is_rejected_with_a_single_error(web: Web, primary: Any, message: str) -> None:
    content = {"primary": primary, "secondary": {"id": "u2"}}
    answer = web("POST", "/api/v1/merge_customers", json=content)
    assert answer.status_code == 400
    assert answer.json() == {"meta": {"error": message}}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"a": NaN}'])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", PERSON),
        ("POST", f"{PERSON}/events"),
        ("POST", "/api/v1/events"),
        ("PUT", f"{PERSON}/devices"),
        ("POST", "/api/v1/merge_customers"),
    ],
)
def test_body_that_is_no_json_object_is_rejected(
    web: Web, method: str, path: str, body: bytes
) -> None:
    answer = web(method, path, data=body)
    assert answer.status_code == 400
    assert "JSON" in answer.json()["meta"]["error"]


def test_region_of_the_account_is_told(web: Web) -> None:
    content = web("GET", "/api/v1/accounts/region").json()
    assert content["data_center"] == "us"
    assert f"https://{content['url']}" == web.base


def test_wrong_credentials_are_refused(sandbox: Sandbox, web: Web, track: CustomerIO) -> None:
    track.http.auth = (sandbox.site_id, "wrong")
    with pytest.raises(CustomerIOException, match=r"^401"):
        track.identify("u1", plan="pro")
    web.session.auth = None
    answer = web("PUT", PERSON, json={})
    assert answer.status_code == 401
    assert answer.json() == {"meta": {"error": "unauthorized"}}
    assert sandbox.people == {}
