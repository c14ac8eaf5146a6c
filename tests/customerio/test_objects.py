"""Objects and the relationships of people to them: planned, simulated, and delivered."""

from typing import Any

import jsonschema
import pytest

from tests.customerio.support import NOON, event_of, rule_of, settings_of
from tests.customerio.test_plan import Planner
from tests.customerio.whole import Json, delivered, simulated
from walker_collector import RetryLater
from walker_dest_customerio.clients import open_clients
from walker_dest_customerio.delivery import Delivery
from walker_dest_customerio.event_delivery import EventDelivery
from walker_dest_customerio.operations import (
    DeleteObject,
    Identify,
    IdentifyObject,
    ObjectOperation,
    Operation,
    Relate,
    Track,
    Unrelate,
)
from walker_dest_customerio.plan import Plan
from walker_dest_customerio.sandbox import Sandbox

either = pytest.mark.parametrize("delivery", ["batch", "single"])

ACME = {"typeId": 1, "id": "acme"}


def value(made: Any) -> Json:
    return {"value": made}


def calls(event: Json | None = None, *, skip: bool = True, **settings: Any) -> list[list[Any]]:
    return Planner().calls(event, rule=rule_of(skip=skip, **settings))


def test_object_is_created_with_its_attributes() -> None:
    made = {**ACME, "attributes": {"name": "Acme", "seats": 5, "since": "2026-01-02T03:04:05Z"}}
    attributes = {"name": "Acme", "seats": 5, "since": 1_767_323_045}
    assert calls(object=value(made)) == [["object", "1", "acme", attributes]]
    assert calls(object=value(ACME)) == [["object", "1", "acme", {}]]


def test_object_is_removed_if_delete_is_true() -> None:
    assert calls(object=value({**ACME, "delete": True})) == [["delete_object", "1", "acme"]]
    assert calls(object=value({**ACME, "delete": "true"})) == [["object", "1", "acme", {}]]


def test_people_join_and_leave_objects() -> None:
    admin = {**ACME, "attributes": {"role": "admin"}}
    assert calls(relate=value(admin), unrelate=value({"typeId": "2", "id": 7})) == [
        ["relate", "u1", "1", "acme", {"role": "admin"}],
        ["unrelate", "u1", "2", "7"],
    ]


def test_loop_makes_several_each_with_a_part_of_its_own() -> None:
    event = event_of(data={"teams": [{"id": 1}, {"no": "id"}, {"id": "b"}]})
    loop = {"loop": ["data.teams", {"map": {"typeId": value("2"), "id": "id"}}]}
    planned = Planner().plan(event, rule=rule_of(skip=True, object=loop, relate=loop))
    assert [operation.call for operation in planned.operations] == [
        ["object", "2", "1", {}],
        ["object", "2", "b", {}],
        ["relate", "u1", "2", "1"],
        ["relate", "u1", "2", "b"],
    ]
    parts = [operation.progress_part for operation in planned.operations]
    assert parts == ["object", "object_3", "relate", "relate_3"]


@pytest.mark.parametrize(
    "made", [{"id": "acme"}, {"typeId": 1}, {**ACME, "id": " "}, {**ACME, "id": True}, "acme", 1]
)
def test_object_without_type_or_id_has_no_effect(made: Any) -> None:
    assert calls(object=value(made), relate=value(made), unrelate=value([made])) == []


def test_order_of_objects_among_the_operations_of_an_event() -> None:
    names = calls(
        skip=False,
        identify=value({"plan": "pro"}),
        unrelate=value({"typeId": 1, "id": "old"}),
        relate=value(ACME),
        object=value(ACME),
        page=value({"url": "/"}),
        unsuppress=True,
    )
    expected = ["identify", "object", "relate", "unrelate", "pageview", "unsuppress", "track"]
    assert [call[0] for call in names] == expected


def test_visitor_may_change_objects_and_joins_none() -> None:
    visitor = event_of(None)
    settings = {"object": value(ACME), "relate": value(ACME), "unrelate": value(ACME)}
    names = [call[0] for call in calls(visitor, skip=False, **settings)]
    assert names == ["object", "track_anonymous"]


def test_object_needs_nobody() -> None:
    nobody = event_of(user={})
    planned = Planner().plan(nobody, rule=rule_of(object=value(ACME)))
    assert [operation.call[0] for operation in planned.operations] == ["object"]
    assert planned.warnings == ["names nobody: its objects go out, the event itself does not"]
    assert Planner().plan(nobody, rule=rule_of(relate=value(ACME))).is_unidentified


def test_attribute_that_is_too_long_is_left_out_with_a_warning() -> None:
    made = {**ACME, "attributes": {"about": "x" * 1001, "email": "y" * 1000}}
    for setting in ("object", "relate"):
        planned = Planner().plan(rule=rule_of(skip=True, **{setting: value(made)}))
        assert [operation.call[-1] for operation in planned.operations] == [{"email": "y" * 1000}]
        (warning,) = planned.warnings
        assert warning.startswith(f"{setting}: attribute 'about' takes more than")


REFUSED = {
    "id": ({**ACME, "id": "x" * 151}, "the object's id has 151 bytes; Customer.io takes at most"),
    "type": ({**ACME, "typeId": "company"}, "typeId must be the number"),
    "size": (
        {**ACME, "attributes": {f"a{at}": "x" * 1000 for at in range(40)}},
        "bytes of JSON; Customer.io takes at most 32,000",
    ),
}


@either
@pytest.mark.parametrize("setting", ["object", "relate", "unrelate"])
@pytest.mark.parametrize(("made", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_will_be_refused_is_known_before(
    made: Json, reason: str, setting: str, delivery: str, customerio: Sandbox
) -> None:
    rule = {"skip": True, "settings": {setting: "data.made"}}
    event = event_of(data={"made": made})
    (result,) = simulated(event, rule=rule)
    assert (result.status, result.calls) == ("invalid", [])
    assert reason in (result.error or "")
    (letter,) = delivered(customerio, event, rule=rule, delivery=delivery)
    assert letter.reason.startswith(f"{setting}: ")
    assert reason in letter.reason
    assert customerio.requests == []


def test_more_than_300_attributes_are_refused() -> None:
    made = {**ACME, "attributes": {f"a{at}": 1 for at in range(301)}}
    rule = {"skip": True, "settings": {"object": value(made)}}
    (result,) = simulated(event_of(), rule=rule)
    assert "301 attributes; Customer.io takes at most 300" in (result.error or "")


# --- delivered ------------------------------------------------------------------------------------

ACCOUNT = {
    "skip": True,
    "settings": {
        "identify": {"map": {"email": "user.email"}},
        "object": {
            "map": {
                "typeId": value(1),
                "id": "data.company.id",
                "delete": "data.closed",
                "attributes": {
                    "map": {
                        "name": "data.company.name",
                        "plan": {"key": "data.company.plan", "nullable": True},
                    }
                },
            }
        },
        "relate": {
            "map": {
                "typeId": value(1),
                "id": "data.company.id",
                "attributes": {"map": {"role": "data.role"}},
            }
        },
        "unrelate": {"map": {"typeId": value(1), "id": "data.left"}},
    },
}


def account(id_: str, user: str = "ines", **data: Any) -> Json:
    person = {"id": user, "email": f"{user}@post.example"}
    return {"name": "account change", "id": id_, "timestamp": NOON, "user": person, "data": data}


@either
def test_life_of_an_account(delivery: str, customerio: Sandbox) -> None:
    assert not delivered(
        customerio,
        account("1", company={"id": 7, "name": "Acme", "plan": "pro"}, role="admin"),
        account("2", "eva", company={"id": 7, "plan": None}),
        rule=ACCOUNT,
        delivery=delivery,
    )
    admin = {"object_type_id": "1", "object_id": "7", "attributes": {"role": "admin"}}
    assert customerio.state()["objects"] == {"1:7": {"name": "Acme"}}
    assert customerio.people["ines"]["relationships"] == [admin]
    assert customerio.people["eva"]["relationships"] == [{**admin, "attributes": {}}]
    left = account("3", left="7")
    assert not delivered(customerio, left, rule=ACCOUNT, delivery=delivery)
    assert customerio.people["ines"]["relationships"] == []
    assert customerio.people["eva"]["relationships"] != []
    closing = {"skip": True, "settings": {"object": ACCOUNT["settings"]["object"]}}
    closed = account("4", company={"id": 7}, closed=True)
    assert not delivered(customerio, closed, rule=closing, delivery=delivery)
    assert customerio.state()["objects"] == {}
    assert customerio.people["eva"]["relationships"] == []
    assert customerio.ignored == []
    paths = {request.path for request in customerio.requests}
    assert ("/api/v2/entity" in paths) == (delivery == "single")


# --- order in a batch -----------------------------------------------------------------------------


def in_one_batch(customerio: Sandbox, *operations: Operation) -> list[int]:
    """Deliver operations, each that of an event; return how many each request had."""
    clients = open_clients(settings_of(**customerio.settings()))
    clients.track.batch([Identify(person, {"a": 1}).entry() for person in ("ines", "eva")])
    deliveries = [
        EventDelivery(Plan([operation], person=getattr(operation, "person", "ines")))
        for operation in operations
    ]
    Delivery(clients).deliver(deliveries)
    clients.close()
    assert [delivery.error for delivery in deliveries] == [None] * len(operations)
    return [request.operations for request in customerio.requests[1:]]


def relate(person: str, company: str = "acme", **attributes: Any) -> Relate:
    return Relate(1, "1", company, person, attributes or None)


def test_many_people_join_one_company_in_one_request(customerio: Sandbox) -> None:
    joins = [relate(person) for person in ("ines", "eva")]
    named = IdentifyObject(1, "1", "acme", {"name": "Acme"})
    assert in_one_batch(customerio, named, *joins, Track("ines", "seen", {})) == [4]


def test_joining_and_leaving_a_company_keep_their_order(customerio: Sandbox) -> None:
    leave = Unrelate(1, "1", "acme", "ines")
    others = [relate("eva"), Unrelate(1, "1", "beta", "ines")]
    assert in_one_batch(customerio, relate("ines"), leave, *others, relate("ines")) == [2, 2, 1]
    assert len(customerio.people["ines"]["relationships"]) == 1


def test_later_attributes_of_an_object_and_of_a_relationship_count(customerio: Sandbox) -> None:
    objects = [IdentifyObject(1, "1", "acme", {"seats": seats}) for seats in (1, 2)]
    roles = [relate("ines", role=role) for role in ("guest", "admin")]
    assert in_one_batch(customerio, *objects, *roles) == [1, 2, 1]
    assert customerio.state()["objects"]["1:acme"] == {"seats": 2}
    assert customerio.people["ines"]["relationships"][0]["attributes"] == {"role": "admin"}


def test_removal_of_an_object_stands_between_everything_about_it(customerio: Sandbox) -> None:
    before = [relate("ines"), IdentifyObject(1, "1", "acme", {"old": True}), relate("eva", "beta")]
    delete = DeleteObject(1, "1", "acme")
    assert in_one_batch(customerio, *before, delete, relate("eva"), delete, relate("ines")) == [
        *(3, 1, 1, 1, 1),
    ]
    assert customerio.state()["objects"] == {"1:beta": {}, "1:acme": {}}
    assert [len(one["relationships"]) for one in customerio.people.values()] == [1, 1]


def test_later_changes_of_an_object_wait_for_one_without_an_answer(customerio: Sandbox) -> None:
    clients = open_clients(settings_of(**customerio.settings()))
    customerio.fault("status", status=500)
    named = IdentifyObject(1, "1", "acme", {"name": "Acme"})
    changes = [named, relate("eva"), IdentifyObject(2, "1", "acme", {}), DeleteObject(1, "1", "b")]
    deliveries = [EventDelivery(Plan([change])) for change in changes]
    Delivery(clients, "single").deliver(deliveries)
    clients.close()
    first, joins, waits, other = [delivery.error for delivery in deliveries]
    assert isinstance(first, RetryLater)
    assert "earlier event about the same object" in str(waits)
    assert (joins, other) == (None, None)


@either
def test_refused_one_of_a_loop_costs_no_other(delivery: str, customerio: Sandbox) -> None:
    loop = {"loop": ["data.teams", {"map": {"typeId": value(1), "id": "id"}}]}
    rule = {"skip": True, "settings": {"object": loop}}
    event = event_of(data={"teams": [{"id": "a"}, {"id": "x" * 151}, {"id": "c"}]})
    (letter,) = delivered(customerio, event, rule=rule, delivery=delivery)
    assert letter.reason.startswith("object_2: the object's id has 151 bytes")
    assert customerio.state()["objects"] == {"1:a": {}, "1:c": {}}


# --- against the reference ------------------------------------------------------------------------


def exactly(**properties: Any) -> Json:
    return {
        "type": "object",
        "required": list(properties),
        "additionalProperties": False,
        "properties": properties,
    }


TEXT = {"type": "string", "minLength": 1, "maxLength": 150}
NAMED = exactly(object_type_id={"type": "string", "pattern": "^[0-9]+$"}, object_id=TEXT)
PERSON = {"oneOf": [exactly(**{kind: TEXT}) for kind in ("id", "email", "cio_id")]}


def one_of(*values: str) -> Json:
    return {"enum": list(values)}


RELATIONSHIP = {
    **exactly(identifiers=NAMED, relationship_attributes={"type": "object"}),
    "required": ["identifiers"],
}
ENTRY = {
    "oneOf": [
        exactly(
            type=one_of("object"),
            action=one_of("identify"),
            identifiers=NAMED,
            attributes={"type": "object"},
        ),
        exactly(type=one_of("object"), action=one_of("delete"), identifiers=NAMED),
        exactly(
            type=one_of("person"),
            action=one_of("add_relationships", "delete_relationships"),
            identifiers=PERSON,
            cio_relationships={"type": "array", "items": RELATIONSHIP, "minItems": 1},
        ),
    ]
}
"""The entries of the Track API's reference for objects, without what it leaves open."""


@pytest.mark.parametrize(
    "operation",
    [
        IdentifyObject(1, "1", "acme", {"name": "Acme", "plan": None}),
        DeleteObject(2, "1", "acme"),
        relate("ines"),
        relate("a@b.com", role="admin"),
        Unrelate(1, "1", "acme", "cio_a3000001"),
    ],
    ids=repr,
)
def test_entries_are_those_of_the_reference(operation: ObjectOperation) -> None:
    jsonschema.validate(operation.entry(), ENTRY)
