from collections.abc import Callable
from typing import Any

import pytest

from tests.customerio.support import settings_of
from walker_dest_customerio.clients import open_clients
from walker_dest_customerio.operations import (
    AddDevice,
    Delete,
    DeleteDevice,
    Identify,
    Merge,
    Operation,
    Page,
    PageAnonymous,
    Screen,
    ScreenAnonymous,
    SendEmail,
    SendPush,
    Suppress,
    Track,
    TrackAnonymous,
    Unsuppress,
)
from walker_dest_customerio.sandbox import Sandbox

NOON = 1_700_000_000
ULID = "01HF7YAT00XDMA8RYTZ2FS40FG"
DATA = {"id": 1, "customer_id": 2}
VIEW = {"page": 1, "customer_id": 2}

WITH_ID = {"person": "u1"}
NAMED = {"type": "person", "identifiers": {"id": "u1"}}

Case = tuple[Operation, list[Any], dict[str, Any]]

CASES: dict[str, Case] = {
    "identify": (
        Identify(person="u1", attributes={"id": "u1", "plan": "pro"}, timestamp=NOON),
        ["identify", "u1", {"id": "u1", "plan": "pro"}],
        {
            **NAMED,
            "action": "identify",
            "timestamp": NOON,
            "attributes": {"id": "u1", "plan": "pro"},
        },
    ),
    "identify without a time": (
        Identify(person="u1", attributes={}),
        ["identify", "u1", {}],
        {**NAMED, "action": "identify", "attributes": {}},
    ),
    "identify with a time of its own": (
        Identify(person="u1", attributes={"a": 1, "_timestamp": NOON - 5}, timestamp=NOON),
        ["identify", "u1", {"a": 1, "_timestamp": NOON - 5}],
        {**NAMED, "action": "identify", "timestamp": NOON - 5, "attributes": {"a": 1}},
    ),
    "identify by email": (
        Identify(person="a@b.com", attributes={"plan": "pro"}),
        ["identify", "a@b.com", {"plan": "pro"}],
        {
            "type": "person",
            "identifiers": {"email": "a@b.com"},
            "action": "identify",
            "attributes": {"plan": "pro"},
        },
    ),
    "track": (
        Track("u1", "purchase", DATA, NOON, ULID),
        ["track", "u1", {"name": "purchase", "data": DATA, "timestamp": NOON}],
        {
            **NAMED,
            "action": "event",
            "name": "purchase",
            "id": ULID,
            "timestamp": NOON,
            "attributes": DATA,
        },
    ),
    "track without id and time": (
        Track("u1", "purchase", {}),
        ["track", "u1", {"name": "purchase", "data": {}}],
        {**NAMED, "action": "event", "name": "purchase", "attributes": {}},
    ),
    "track anonymously": (
        TrackAnonymous("s1", "purchase", DATA, NOON, ULID),
        ["track_anonymous", "s1", {"name": "purchase", "data": DATA, "timestamp": NOON}],
        {
            "type": "person",
            "identifiers": {"anonymous_id": "s1"},
            "action": "event",
            "name": "purchase",
            "id": ULID,
            "timestamp": NOON,
            "attributes": DATA,
        },
    ),
    "page": (
        Page("u1", "/x", VIEW, NOON, ULID),
        ["pageview", "u1", "/x", {"page": 1, "customer_id": 2}],
        {
            **NAMED,
            "action": "page",
            "name": "/x",
            "id": ULID,
            "timestamp": NOON,
            "attributes": VIEW,
        },
    ),
    "page with its url": (
        Page("u1", "/x", {"url": "/x?y", "page": 1}, NOON, ULID),
        ["pageview", "u1", "/x?y", {"page": 1}],
        {
            **NAMED,
            "action": "page",
            "name": "/x",
            "id": ULID,
            "timestamp": NOON,
            "attributes": {"url": "/x?y", "page": 1},
        },
    ),
    "page anonymously": (
        PageAnonymous("s1", "/x", {"url": "/x?y"}, NOON, ULID),
        ["pageview_anonymous", "s1", "/x?y"],
        {
            "type": "person",
            "identifiers": {"anonymous_id": "s1"},
            "action": "page",
            "name": "/x",
            "id": ULID,
            "timestamp": NOON,
            "attributes": {"url": "/x?y"},
        },
    ),
    "screen": (
        Screen("u1", "Home", VIEW, NOON, ULID),
        ["screen", "u1", "Home", VIEW],
        {
            **NAMED,
            "action": "screen",
            "name": "Home",
            "id": ULID,
            "timestamp": NOON,
            "attributes": VIEW,
        },
    ),
    "screen anonymously, without data": (
        ScreenAnonymous("s1", "Home", {}, NOON, ULID),
        ["screen_anonymous", "s1", "Home"],
        {
            "type": "person",
            "identifiers": {"anonymous_id": "s1"},
            "action": "screen",
            "name": "Home",
            "id": ULID,
            "timestamp": NOON,
            "attributes": {},
        },
    ),
    "page without data, id and time": (
        Page("u1", "/x", {}),
        ["pageview", "u1", "/x"],
        {**NAMED, "action": "page", "name": "/x", "attributes": {}},
    ),
    "delete": (Delete(person="u1"), ["delete", "u1"], {**NAMED, "action": "delete"}),
    "suppress": (Suppress(person="u1"), ["suppress", "u1"], {**NAMED, "action": "suppress"}),
    "unsuppress": (
        Unsuppress(person="u1"),
        ["unsuppress", "u1"],
        {**NAMED, "action": "unsuppress"},
    ),
    "add a device": (
        AddDevice(
            person="u1", device_id="t/1", platform="ios", data={"last_used": NOON, "os": "17"}
        ),
        ["add_device", "u1", "t/1", "ios", {"last_used": NOON, "os": "17"}],
        {
            **NAMED,
            "action": "add_device",
            "device": {
                "token": "t/1",
                "platform": "ios",
                "last_used": NOON,
                "attributes": {"os": "17"},
            },
        },
    ),
    "add a bare device": (
        AddDevice(person="u1", device_id="t1", platform="android"),
        ["add_device", "u1", "t1", "android"],
        {**NAMED, "action": "add_device", "device": {"token": "t1", "platform": "android"}},
    ),
    "add a device with attributes as the API has them": (
        AddDevice(
            person="u1",
            device_id="t1",
            platform="ios",
            data={"attributes": {"os": "17", "customer_id": "x"}, "app": "2"},
        ),
        [
            "add_device",
            "u1",
            "t1",
            "ios",
            {"attributes": {"os": "17", "customer_id": "x"}, "app": "2"},
        ],
        {
            **NAMED,
            "action": "add_device",
            "device": {
                "token": "t1",
                "platform": "ios",
                "attributes": {"os": "17", "customer_id": "x", "app": "2"},
            },
        },
    ),
    "delete a device": (
        DeleteDevice(person="u1", device_id="t/0", platform="ios"),
        ["delete_device", "u1", "t/0", "ios"],
        {**NAMED, "action": "delete_device", "device": {"token": "t/0"}},
    ),
    "merge": (
        Merge(primary_type="id", primary_id="u1", secondary_type="email", secondary_id="old@b.com"),
        ["merge_customers", "id", "u1", "email", "old@b.com"],
        {
            "type": "person",
            "action": "merge",
            "primary": {"id": "u1"},
            "secondary": {"email": "old@b.com"},
        },
    ),
}

cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@cases
def test_call_is_as_simulations_print_it(case: Case) -> None:
    operation, call, _ = case
    assert operation.call == call


@cases
def test_entry_has_the_shape_of_track_version_2(case: Case) -> None:
    operation, _, entry = case
    assert operation.entry() == entry


def _prepare(customerio: Sandbox) -> Any:
    """Put people there to work on; return an open Track client."""
    customerio.reset()
    client = open_clients(settings_of(**customerio.settings())).track
    client.identify("u1", plan="free", email="a@b.com", _timestamp=NOON - 100)
    client.add_device("u1", "t/0", "ios")
    client.identify("old@b.com", _timestamp=NOON - 100)
    return client


def _state_after(customerio: Sandbox, act: Callable[[Any], object]) -> dict[str, Any]:
    client = _prepare(customerio)
    act(client)
    client.close()
    return {
        "people": customerio.people,
        "anonymous": customerio.anonymous_events,
        "suppressed": customerio.suppressed,
    }


@cases
def test_both_versions_of_the_api_do_the_same(case: Case, customerio: Sandbox) -> None:
    operation, _, entry = case
    single = _state_after(customerio, operation.send)
    untouched = _state_after(customerio, lambda client: None)
    batch = _state_after(customerio, lambda client: client.batch([entry]))
    assert batch == single
    if not isinstance(operation, Unsuppress) and operation.call != ["identify", "u1", {}]:
        assert batch != untouched


def test_relationships_are_beside_the_attributes_in_version_2() -> None:
    related = [{"identifiers": {"object_type_id": "1", "object_id": "acme"}}]
    value = {"action": "add_relationships", "relationships": related}
    for given in (value, related):
        attributes = {"a": 1, "cio_relationships": given}
        entry = Identify(person="u1", attributes=attributes).entry()
        assert entry is not None
        assert entry["cio_relationships"] == related
        assert entry["attributes"] == {"a": 1}


def test_cutting_relationships_has_no_entry_in_a_batch() -> None:
    value = {"action": "delete_relationships", "relationships": []}
    assert Identify(person="u1", attributes={"cio_relationships": value}).entry() is None


def test_messages_are_no_entries_and_wait_for_the_people_they_name() -> None:
    request = {"to": "a@b.com", "identifiers": {"email": "A@b.com"}}
    email, push = SendEmail(request=request), SendPush(request={"identifiers": None})
    assert (email.call, push.call) == (["send_email", request], ["send_push", push.request])
    messages: list[Operation] = [email, push]
    assert [message.entry() for message in messages] == [None, None]
    assert (email.people, push.people) == (("email:a@b.com",), ())


def test_messages_are_sent_through_the_app_api(customerio: Sandbox) -> None:
    app = open_clients(settings_of(**customerio.settings())).app
    assert app is not None
    named = {"transactional_message_id": 1, "identifiers": {"id": "u1"}}
    SendEmail(request={**named, "to": "a@b.com"}).send(app)
    SendPush(request=named).send(app)
    app.close()
    assert [message["channel"] for message in customerio.messages] == ["email", "push"]


@pytest.mark.parametrize("types", [("phone", "id"), ("id", "ID")])
def test_merge_of_unknown_types_has_a_problem(types: tuple[str, str]) -> None:
    merge = Merge(primary_type=types[0], primary_id="1", secondary_type=types[1], secondary_id="2")
    assert "must be id, email or cio_id" in (merge.problem(NOON) or "")


def test_operations_concern_everyone_they_name() -> None:
    merge = Merge(primary_type="id", primary_id="1", secondary_type="email", secondary_id="A@b.c")
    assert merge.people == ("id:1", "email:a@b.c")
    assert Identify(person="1", attributes={"email": "a@b.c"}).people == ("email:a@b.c",)
    assert Track("1", "purchase", {}).people == ()
