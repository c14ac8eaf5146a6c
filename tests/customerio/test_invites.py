"""Invites: events that belong to nobody, and have a campaign write to an address."""

from pathlib import Path
from typing import Any

import pytest

from tests.customerio.support import event_of, rule_of
from tests.customerio.test_plan import NOON_S, Planner
from tests.customerio.test_settings import KEYS
from tests.customerio.whole import PATIENCE, delivered, flow_of, simulated
from tests.emulator import Emulator
from walker_collector import Collector
from walker_collector.flow import load_flow
from walker_dest_customerio.sandbox import Sandbox

either = pytest.mark.parametrize("delivery", ["batch", "single"])

EVA = "eva@post.example"
INVITE: dict[str, Any] = {
    "name": "Friend Invited",
    "data": {"map": {"by": "user.name"}},
    "settings": {"recipient": "data.friend"},
}


def invited(friend: Any = EVA, **parts: Any) -> dict[str, Any]:
    return event_of(user={"id": "u1", "name": "Ines"}, data={"friend": friend}, **parts)


@either
def test_invite_replaces_the_event_of_its_person(customerio: Sandbox, delivery: str) -> None:
    identify = {"map": {"name": "user.name"}}
    rule = {**INVITE, "settings": {**INVITE["settings"], "identify": identify}}
    assert delivered(customerio, invited(), rule=rule, delivery=delivery) == []
    (invite,) = customerio.state()["invites"]
    assert (invite["name"], invite["timestamp"]) == ("Friend Invited", NOON_S)
    assert invite["data"] == {"by": "Ines", "recipient": EVA}
    assert (invite["person"], invite["anonymous_id"]) == (None, None)
    assert list(customerio.people) == ["u1"]
    assert customerio.people["u1"]["events"] == []
    (result,) = simulated(invited(), rule=rule)
    summary = {"name": "Friend Invited", "data": invite["data"], "timestamp": NOON_S}
    assert result.calls[1] == ["track_anonymous", None, summary]


@either
def test_invite_is_sent_once_however_often_it_is_tried(tmp_path: Path, delivery: str) -> None:
    with Emulator(tmp_path) as emulator:
        flow = flow_of(emulator.settings(delivery=delivery), INVITE)
        with Collector.from_config(flow) as collector:
            for user in ({"id": "u1"}, {"id": "u1"}, {"session": "s1"}, {}):
                collector.push({**invited(), "user": user})
                assert collector.flush(PATIENCE)
            assert collector.dead() == []
    assert emulator.violations == []
    assert [(one.person, one.action, one.api) for one in emulator.accepted] == [
        ("", "event", "v1"),
    ]
    assert len(emulator.repeated) == 3


@pytest.mark.parametrize("user", [{"session": "s1"}, {}], ids=["a visitor", "nobody"])
def test_invite_needs_no_person(user: dict[str, str]) -> None:
    rule = rule_of(recipient="data.friend")
    event = event_of(user=user, data={"friend": EVA})
    (call,) = Planner().calls(event, data={"recipient": "other@post.example"}, rule=rule)
    summary = {"name": "order complete", "data": {"recipient": EVA}, "timestamp": NOON_S}
    assert call == ["track_anonymous", None, summary]


@pytest.mark.parametrize("nothing", [None, "", " ", True, {}])
def test_without_a_recipient_the_event_is_its_persons(nothing: object) -> None:
    rule = rule_of(recipient="data.friend")
    (call,) = Planner().calls(invited(nothing), rule=rule)
    assert call[:2] == ["track", "u1"]
    nobody = event_of(user={}, data={"friend": nothing})
    assert Planner().plan(nobody, rule=rule).is_unidentified


@either
@pytest.mark.parametrize("friend", ["Eva", "a@b.com, c@d.com", 7])
def test_recipient_that_is_no_address_is_refused(
    customerio: Sandbox, delivery: str, friend: Any
) -> None:
    (letter,) = delivered(customerio, invited(friend), rule=INVITE, delivery=delivery)
    assert letter.reason == "track: the recipient is no email address"
    assert customerio.requests == []
    (result,) = simulated(invited(friend), rule=INVITE, delivery=delivery)
    assert (result.status, result.calls) == ("invalid", [])


@either
def test_invite_with_a_name_that_is_too_long_is_refused(customerio: Sandbox, delivery: str) -> None:
    rule = {**INVITE, "name": "x" * 101}
    (letter,) = delivered(customerio, invited(), rule=rule, delivery=delivery)
    assert letter.reason.startswith("track: the name has 101 bytes")
    assert customerio.requests == []


def test_with_skip_there_is_no_event_to_replace() -> None:
    rule = {"skip": True, **INVITE}
    (result,) = simulated(invited(), rule=rule)
    assert (result.status, result.calls) == ("empty", [])
    place = "destinations.customerio.config.mapping.*.*.settings.recipient"
    flow = load_flow(flow_of(KEYS, rule))
    assert f"{place}: has no effect: with skip, no event is sent" in [
        str(warning) for warning in flow.warnings
    ]
