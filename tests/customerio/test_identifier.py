"""What a customer id is: `identifier`, in batches and in requests of version 1."""

from pathlib import Path
from typing import Any

import pytest

from tests.customerio.support import CREDENTIALS, NOON, context_of, event_of, item_of
from tests.customerio.whole import PATIENCE, delivered, flow_of, simulated
from tests.emulator import Emulator
from walker_collector import Collector, Person
from walker_collector.flow import load_flow
from walker_collector.simulation import Simulation
from walker_dest_customerio.consent_changes import customer_of
from walker_dest_customerio.identity import WrongIdentifier, as_kind, identifiers, key_of
from walker_dest_customerio.sandbox import Sandbox

DEVICE = {"map": {"deviceId": {"value": "t1"}, "platform": {"value": "ios"}}}
EVERY: dict[str, Any] = {
    "settings": {
        "identify": {"map": {"plan": {"value": "pro"}}},
        "page": {"map": {"url": {"value": "/x"}}},
        "screen": {"map": {"name": {"value": "Home"}}},
        "addDevice": DEVICE,
        "deleteDevice": DEVICE,
        "destroy": True,
        "suppress": True,
        "unsuppress": True,
    }
}
OPERATIONS = 9


@pytest.mark.parametrize(
    ("kind", "name", "sent", "key"),
    [
        ("id", "u1", {"id": "u1"}, "id:u1"),
        ("id", "A@b.com", {"id": "A@b.com"}, "id:A@b.com"),
        ("id", "cio_a3", {"id": "cio_a3"}, "id:cio_a3"),
        ("email", "A@b.com", {"email": "A@b.com"}, "email:a@b.com"),
        ("cio_id", "a3", {"cio_id": "a3"}, "cio_id:a3"),
        ("cio_id", "cio_a3", {"cio_id": "a3"}, "cio_id:a3"),
        (None, "A@b.com", {"email": "A@b.com"}, "email:a@b.com"),
        (None, "cio_a3", {"cio_id": "a3"}, "cio_id:a3"),
    ],
)
def test_kind_decides_on_identifier_and_key(
    kind: Any, name: str, sent: dict[str, str], key: str
) -> None:
    person = as_kind(name, kind)
    assert identifiers(person) == sent
    assert key_of(person) == key


def test_email_that_is_none_is_refused_without_being_quoted() -> None:
    with pytest.raises(WrongIdentifier, match="no email address") as caught:
        as_kind("secret-7", "email")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "given", "person"),
    [
        ("id", "u1", "id:u1"),
        ("id", "a@b.com", "id:a@b.com"),
        ("email", "a@b.com", "email:a@b.com"),
        ("cio_id", "a3000001", "cio_id:a3000001"),
        ("cio_id", "cio_a3000001", "cio_id:a3000001"),
    ],
)
def test_every_operation_of_a_batch_names_the_person_by_that_kind(
    tmp_path: Path, kind: str, given: str, person: str
) -> None:
    with Emulator(tmp_path) as emulator:
        settings = emulator.settings(identifier=kind)
        with Collector.from_config(flow_of(settings, EVERY)) as collector:
            collector.push("order complete", user={"id": given})
            assert collector.flush(PATIENCE)
            assert collector.dead() == []
    assert emulator.violations == []
    assert [one.person for one in emulator.accepted] == [person] * OPERATIONS
    assert {one.api for one in emulator.accepted} == {"v2"}


@pytest.mark.parametrize(
    ("kind", "given", "path"),
    [
        ("id", "u1", "u1"),
        ("email", "a@b.com", "a%40b.com"),
        ("cio_id", "a3000001", "cio_a3000001"),
        ("cio_id", "cio_a3000001", "cio_a3000001"),
    ],
)
def test_every_request_of_version_1_names_the_person_in_its_path(
    customerio: Sandbox, kind: str, given: str, path: str
) -> None:
    event = {"name": "order complete", "user": {"id": given}}
    settings = {"identifier": kind, "delivery": "single"}
    assert delivered(customerio, event, rule=EVERY, **settings) == []
    named = [request.path.split("/")[4] for request in customerio.requests]
    assert named == [path] * OPERATIONS


@pytest.mark.parametrize("given", ["a@b.com", "cio_a3000001"])
def test_id_that_version_1_would_misread_is_refused_there(customerio: Sandbox, given: str) -> None:
    event = {"name": "order complete", "user": {"id": given}}
    settings = {"identifier": "id", "delivery": "single"}
    (letter,) = delivered(customerio, event, **settings)
    assert letter.reason == (
        "track: an id that looks like an email address or a cio_ id can only be sent in a batch"
    )
    assert customerio.requests == []
    (result,) = simulated(event, **settings)
    assert (result.status, result.calls) == ("invalid", [])
    (result,) = simulated(event, identifier="id")
    assert (result.status, result.calls[0][1]) == ("deliver", given)


@pytest.mark.parametrize("delivery", ["batch", "single"])
def test_event_whose_customer_id_is_no_email_address_is_invalid(
    customerio: Sandbox, delivery: str
) -> None:
    event = {"name": "order complete", "user": {"id": "u1", "session": "s1"}}
    settings = {"identifier": "email", "delivery": delivery}
    (letter,) = delivered(customerio, event, **settings)
    assert "the customer id is no email address" in letter.reason
    assert customerio.requests == []
    (result,) = simulated(event, **settings)
    assert (result.status, result.calls) == ("invalid", [])


@pytest.mark.parametrize(
    ("kind", "given"), [("id", "a@b.com"), ("cio_id", "a3"), ("email", "a@b.c")]
)
def test_identify_is_not_repeated_until_the_person_is_merged_or_deleted(
    kind: str, given: str
) -> None:
    merge = {"primaryType": "id", "primaryId": "other", "secondaryType": kind, "secondaryId": given}
    mapping = {
        "person": {
            "merge": {"skip": True, "settings": {"merge": {"value": merge}}},
            "delete": {"skip": True, "settings": {"destroy": True}},
        },
    }
    calls: list[str] = []
    names = ["a b", "a b", "person merge", "a b", "person delete", "a b", "a b"]
    identify = {"map": {"plan": {"value": "pro"}}}
    settings = {**CREDENTIALS, "identifier": kind, "identify": identify}
    simulation = Simulation(
        load_flow(flow_of(settings, mapping=mapping)), now=lambda: NOON, new_id=lambda: "e1"
    )
    for name in names:
        for result in simulation.push({"name": name, "user": {"id": given}}):
            calls += [call[0] for call in result.calls]
    assert calls.count("identify") == 3


def test_change_of_consent_and_erasure_know_the_kind() -> None:
    context = context_of(identifier="cio_id")
    scope = item_of(context, event_of()).context
    assert customer_of(Person(id="a3"), {}, scope) == "cio_a3"
    by_email = context_of(identifier="email")
    scope = item_of(by_email, event_of()).context
    assert customer_of(Person(id="u1"), {}, scope) is None
    assert customer_of(Person(id="a@b.com"), {}, scope) == "a@b.com"
