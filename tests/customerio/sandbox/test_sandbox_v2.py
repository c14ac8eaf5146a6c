"""Track v2: single operations and batches."""

from typing import Any

import orjson
import pytest
from customerio import CustomerIO, CustomerIOException

from tests.customerio.sandbox.conftest import NOW, Clock, Web
from walker_dest_customerio.sandbox import Sandbox

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
WHO = {"id": "42"}


def person(action: str, identifiers: Any = WHO, **rest: Any) -> dict[str, Any]:
    return {"type": "person", "identifiers": identifiers, "action": action, **rest}


def thing(action: str, **rest: Any) -> dict[str, Any]:
    names = {"object_type_id": "1", "object_id": "acme"}
    return {"type": "object", "identifiers": names, "action": action, **rest}


def test_mixed_batch_is_applied_in_order(track: CustomerIO, sandbox: Sandbox) -> None:
    device = {"token": "T", "platform": "ios", "attributes": {"app_version": "1"}}
    answer = track.batch(
        [
            person("identify", attributes={"plan": "pro", "email": "a@b.c"}),
            person("event", name="order complete", id=ULID, timestamp=NOW, attributes={"n": 1}),
            person("page", name="/pricing", attributes={"url": "https://x.y"}),
            person("screen", {"email": "A@B.c"}, name="home"),
            person("add_device", device=device),
        ]
    )
    assert (answer.status_code, answer.content) == (200, b"{}\n")
    known = sandbox.people["42"]
    assert known["attributes"] == {"plan": "pro", "email": "a@b.c"}
    kinds = [(event["type"], event["name"], event["data"]) for event in known["events"]]
    assert kinds == [
        ("event", "order complete", {"n": 1}),
        ("page", "/pricing", {"url": "https://x.y"}),
        ("screen", "home", {}),
    ]
    assert known["devices"] == {"T": {"platform": "ios", "attributes": {"app_version": "1"}}}
    assert sandbox.counters["largest_batch"]["operations"] == 5


def test_rejected_items_are_named_and_the_rest_is_applied(
    track: CustomerIO, sandbox: Sandbox
) -> None:
    answer = track.batch(
        [
            person("identify", attributes={"plan": "pro"}),
            person("identify", attributes={"plan": "x" * 1001}),
            person("event", name="", id="no-ulid"),
            person("event", name="order complete"),
        ]
    )
    assert answer.status_code == 207
    assert answer.json() == {
        "errors": [
            {
                "batch_index": 1,
                "reason": "invalid",
                "field": "attributes.plan",
                "message": "property value cannot be longer than 1000 bytes",
            },
            {
                "batch_index": 2,
                "reason": "invalid",
                "field": "name",
                "message": "event name must not be blank",
            },
            {
                "batch_index": 2,
                "reason": "invalid",
                "field": "id",
                "message": "event id must be a ULID",
            },
        ]
    }
    assert [event["name"] for event in sandbox.events] == ["order complete"]
    counters = sandbox.counters
    assert (counters["operations"], counters["rejected"]) == (4, 2)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"{}", b'{"batch": []}', b'{"batch": {}}', b'{"batch": [NaN]}'],
)
def test_malformed_batch_is_refused_whole(web: Web, body: bytes) -> None:
    answer = web("POST", "/api/v2/batch", data=body)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error.keys() == {"reason", "field", "message"}


def test_batch_above_500_000_bytes_is_too_large(web: Web, sandbox: Sandbox) -> None:
    def body(size: int) -> bytes:
        filler = person("event", name="x", attributes={"a": "y" * 31_000})
        content = orjson.dumps({"batch": [filler] * 15})
        return content + b" " * (size - len(content))

    assert web("POST", "/api/v2/batch", data=body(500_000)).status_code == 200
    answer = web("POST", "/api/v2/batch", data=body(500_001))
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["field"] == "batch"
    assert len(sandbox.events) == 15


def test_operation_above_32_000_bytes_is_rejected(web: Web, track: CustomerIO) -> None:
    def operation(size: int) -> dict[str, Any]:
        result = person("event", name="x", attributes={"a": ""})
        result["attributes"]["a"] = "y" * (size - len(orjson.dumps(result)))
        return result

    answer = track.batch([operation(32_000), operation(32_001)])
    assert [error["batch_index"] for error in answer.json()["errors"]] == [1]
    for size, status in ((32_000, 200), (32_001, 413)):
        data = orjson.dumps(operation(size))
        assert web("POST", "/api/v2/entity", data=data).status_code == status


@pytest.mark.parametrize(
    ("operation", "field", "reason"),
    [
        ([], "", "invalid"),
        ({"type": "robot"}, "type", "invalid"),
        ({"type": ["person"]}, "type", "invalid"),
        (person("greet"), "action", "invalid"),
        (person(["event"]), "action", "invalid"),  # type: ignore[arg-type]
        (person("identify", {"id": "1", "email": "a@b.c"}), "identifiers", "invalid"),
        (person("identify", {}), "identifiers", "invalid"),
        (person("identify", None), "identifiers", "required"),
        (person("identify", {"id": 42}), "identifiers.id", "invalid"),
        (person("identify", {"id": ""}), "identifiers.id", "invalid"),
        (person("identify", {"id": "x" * 151}), "identifiers.id", "invalid"),
        (person("identify", {"email": "nobody"}), "identifiers.email", "invalid"),
        (person("identify", {"phone": "5551234"}), "identifiers.phone", "invalid"),
        (person("identify", {"cio_id": "cio_a3"}), "identifiers.cio_id", "invalid"),
        (person("identify", {"anonymous_id": "a"}), "identifiers.anonymous_id", "invalid"),
        (person("suppress", {"anonymous_id": "a"}), "identifiers.anonymous_id", "invalid"),
        (person("identify", attributes=[]), "attributes", "invalid"),
        (
            person("identify", attributes={f"a{n}": n for n in range(301)}),
            "attributes",
            "invalid",
        ),
        (person("identify", attributes={"n" * 151: 1}), f"attributes.{'n' * 151}", "invalid"),
        (person("identify", attributes={"id": 5}), "attributes.id", "invalid"),
        (person("identify", attributes={"email": "nobody"}), "attributes.email", "invalid"),
        (person("identify", attributes={"anonymous_id": 5}), "attributes.anonymous_id", "invalid"),
        (person("identify", attributes={"_update": 1}), "attributes._update", "invalid"),
        (person("identify", attributes={"_timestamp": "1"}), "attributes._timestamp", "invalid"),
        (
            person("identify", attributes={"cio_relationships": {}}),
            "attributes.cio_relationships",
            "invalid",
        ),
        (person("identify", timestamp=1.5), "timestamp", "invalid"),
        (person("identify", timestamp=True), "timestamp", "invalid"),
        (person("identify", name="x"), "name", "invalid"),
        (person("identify", cio_relationships={}), "cio_relationships", "invalid"),
        (person("identify", cio_relationships=[5]), "cio_relationships.0", "invalid"),
        (person("event"), "name", "required"),
        (person("event", name=" "), "name", "invalid"),
        (person("event", name="n" * 101), "name", "invalid"),
        (person("event", name="x", data={}), "data", "invalid"),
        (person("event", name="x", attributes=[]), "attributes", "invalid"),
        (person("event", name="x", id="u1"), "id", "invalid"),
        (person("event", name="x", timestamp=1.0), "timestamp", "invalid"),
        (person("add_device"), "device", "required"),
        (person("add_device", device="T"), "device", "invalid"),
        (person("add_device", device={"token": "T"}), "device.platform", "required"),
        (
            person("add_device", device={"token": "T", "platform": "web"}),
            "device.platform",
            "invalid",
        ),
        (
            person("add_device", device={"token": "T", "platform": "ios", "last_used": "x"}),
            "device.last_used",
            "invalid",
        ),
        (
            person("add_device", device={"token": "T", "platform": "ios", "attributes": 5}),
            "device.attributes",
            "invalid",
        ),
        (person("delete_device", device={"token": ""}), "device.token", "invalid"),
        (person("delete_device", device={}), "device.token", "required"),
        (
            {"type": "person", "action": "merge", "primary": {"id": "1"}},
            "secondary",
            "required",
        ),
        (person("merge", primary={"id": "1"}, secondary={"id": "2"}), "identifiers", "invalid"),
        (
            {
                "type": "person",
                "action": "merge",
                "primary": {"id": "1"},
                "secondary": {"phone": "+4712345678"},
            },
            "secondary.phone",
            "invalid",
        ),
        (person("add_relationships"), "cio_relationships", "required"),
        (
            person("add_relationships", cio_relationships=[{}]),
            "cio_relationships.0.identifiers",
            "required",
        ),
        (
            person(
                "add_relationships",
                cio_relationships=[
                    {"identifiers": {"cio_object_id": "o"}, "relationship_attributes": 5}
                ],
            ),
            "cio_relationships.0.relationship_attributes",
            "invalid",
        ),
        ({"type": "object", "action": "delete"}, "identifiers", "required"),
        (
            {"type": "object", "action": "delete", "identifiers": {"object_id": "a"}},
            "identifiers",
            "invalid",
        ),
        (
            {"type": "object", "action": "delete", "identifiers": {"cio_object_id": 5}},
            "identifiers",
            "invalid",
        ),
        (
            {"type": "object", "action": "delete", "identifiers": {"cio_object_id": "x" * 151}},
            "identifiers",
            "invalid",
        ),
        (
            thing("identify_anonymous", cio_relationships=[{"identifiers": {"id": "1"}}]),
            "cio_relationships.0.identifiers.id",
            "invalid",
        ),
    ],
)
def test_operation_is_rejected_alone_and_in_a_batch(
    web: Web, sandbox: Sandbox, operation: Any, field: str, reason: str
) -> None:
    batch = web("POST", "/api/v2/batch", json={"batch": [person("delete"), operation]})
    assert batch.status_code == 207
    (error,) = batch.json()["errors"]
    assert (error["batch_index"], error["field"], error["reason"]) == (1, field, reason)
    if isinstance(operation, dict):
        alone = web("POST", "/api/v2/entity", json=operation)
        assert alone.status_code == 400
        assert alone.json() == {"errors": [{k: error[k] for k in ("reason", "field", "message")}]}
    assert sandbox.people == {}


def test_device_id_in_place_of_token_is_pointed_out(web: Web) -> None:
    answer = web.entity(**person("add_device", device={"id": "T", "platform": "ios"}))
    fields = [(error["field"], error["reason"]) for error in answer.json()["errors"]]
    assert fields == [("device.token", "required"), ("device.id", "invalid")]


@pytest.mark.parametrize("action", ["event", "page", "screen"])
def test_anonymous_id_may_be_the_sole_identifier_of_an_event(
    web: Web, sandbox: Sandbox, action: str
) -> None:
    assert web.entity(**person(action, {"anonymous_id": "a1"}, name="x")).status_code == 200
    (event,) = sandbox.anonymous_events["a1"]
    assert (event["type"], event["anonymous_id"], event["person"]) == (action, "a1", None)


def test_top_level_timestamp_orders_updates(
    track: CustomerIO, sandbox: Sandbox, clock: Clock
) -> None:
    track.batch(
        [
            person("identify", timestamp=NOW - 10, attributes={"plan": "pro"}),
            person("identify", timestamp=NOW - 20, attributes={"plan": "old"}),
            person("identify", attributes={"_timestamp": NOW - 20, "plan": "older"}),
        ]
    )
    assert sandbox.people["42"]["attributes"] == {"plan": "pro"}
    assert sandbox.counters["ignored"] == 2
    track.batch([person("identify", attributes={"plan": "now"})])
    clock.now -= 60
    track.batch([person("identify", attributes={"plan": "past"})])
    assert sandbox.people["42"]["attributes"] == {"plan": "now"}


def test_person_may_be_known_by_phone_only(track: CustomerIO, sandbox: Sandbox) -> None:
    phone = {"phone": "+4712345678"}
    track.batch([person("identify", phone, attributes={"plan": "pro"})])
    track.batch([person("event", phone, name="x")])
    assert sandbox.people["+4712345678"]["attributes"] == {"plan": "pro", "phone": "+4712345678"}
    assert len(sandbox.people["+4712345678"]["events"]) == 1


def test_lifecycle_actions(web: Web, sandbox: Sandbox) -> None:
    web.entity(**person("identify", attributes={"plan": "pro"}))
    web.entity(**person("event", {"email": "old@b.c"}, name="before"))
    merge = {"primary": {"id": "42"}, "secondary": {"email": "old@b.c"}}
    assert web.entity(action="merge", **merge).status_code == 200
    assert [event["person"] for event in sandbox.events] == ["42"]
    web.entity(**person("suppress"))
    assert sandbox.suppressed == ["42", "old@b.c"]
    web.entity(**person("unsuppress", {"email": "old@b.c"}))
    assert sandbox.suppressed == []
    web.entity(**person("add_device", device={"token": "T", "platform": "android"}))
    web.entity(**person("delete_device", device={"token": "T"}))
    assert sandbox.people["42"]["devices"] == {}
    web.entity(**person("delete"))
    assert sandbox.people == {}


def test_objects_and_their_ties(track: CustomerIO, sandbox: Sandbox) -> None:
    tie = {
        "identifiers": {"object_type_id": "1", "object_id": "acme"},
        "relationship_attributes": {"role": "admin"},
    }
    by_id = [{"identifiers": {"id": "42"}, "relationship_attributes": {"since": 1}}]
    by_anonymous = [{"identifiers": {"anonymous_id": "a1"}}]
    track.batch(
        [
            person("identify", cio_relationships=[tie]),
            thing("identify", attributes={"name": "Acme"}, cio_relationships=by_id),
            thing("identify_anonymous", cio_relationships=by_anonymous),
            person("identify", {"id": "43"}, attributes={"anonymous_id": "a1"}),
            thing("identify_anonymous", cio_relationships=by_anonymous),
            person("add_relationships", {"id": "nobody"}, cio_relationships=[tie]),
        ]
    )
    people = sandbox.people
    assert sandbox.state()["objects"] == {"1:acme": {"name": "Acme"}}
    assert people["42"]["relationships"] == [
        {"object_type_id": "1", "object_id": "acme", "attributes": {"role": "admin", "since": 1}}
    ]
    assert [one["object_id"] for one in people["43"]["relationships"]] == ["acme"]
    assert "nobody" not in people
    track.batch([thing("delete_relationships", cio_relationships=by_id)])
    track.batch([person("delete_relationships", {"id": "43"}, cio_relationships=[tie])])
    assert [one["relationships"] for one in sandbox.people.values()] == [[], []]
    track.batch([person("add_relationships", cio_relationships=[tie])])
    track.batch([thing("add_relationships", cio_relationships=by_id), thing("delete")])
    assert sandbox.state()["objects"] == {}
    assert sandbox.people["42"]["relationships"] == []


def test_wrong_credentials_are_refused(sandbox: Sandbox, track: CustomerIO) -> None:
    track.http.auth = ("wrong", sandbox.api_key)
    with pytest.raises(CustomerIOException, match=r"^401"):
        track.batch([person("delete")])
    assert sandbox.counters["operations"] == 0
