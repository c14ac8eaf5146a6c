"""Attributes with a meaning of their own: `anonymous_id`, `_update`, and null. In both ways."""

from pathlib import Path
from typing import Any

import pytest

from tests.customerio.support import event_of, rule_of
from tests.customerio.test_plan import Planner
from tests.customerio.whole import PATIENCE, Json, delivered, flow_of, simulated
from tests.emulator import Answer, Emulator
from walker_collector import Collector
from walker_dest_customerio.sandbox import Sandbox

either = pytest.mark.parametrize("delivery", ["batch", "single"])

# --- anonymous_id ---------------------------------------------------------------------------------

VISIT: Json = {"name": "page view", "user": {"session": "s1"}}
LOGIN: Json = {"name": "user login", "user": {"id": "ines", "session": "s1"}}
JOINED = {"identify": {"map": {"anonymous_id": ["user.session", "user.device"]}}}


@either
def test_what_a_visitor_did_becomes_theirs(customerio: Sandbox, delivery: str) -> None:
    settings = {"delivery": delivery, **JOINED}
    assert delivered(customerio, VISIT, VISIT, LOGIN, **settings) == []
    assert customerio.anonymous_events == {}
    names = [event["name"] for event in customerio.people["ines"]["events"]]
    assert sorted(names) == ["page view", "page view", "user login"]
    assert customerio.people["ines"]["anonymous_ids"] == ["s1"]


@either
def test_another_visit_of_a_known_person_is_joined_too(customerio: Sandbox, delivery: str) -> None:
    events = []
    for number in (1, 2, 2):
        user = {"session": f"s{number}"}
        events += [{**VISIT, "user": user}, {**LOGIN, "user": {**user, "id": "ines"}}]
    assert delivered(customerio, *events, delivery=delivery, **JOINED) == []
    assert customerio.people["ines"]["anonymous_ids"] == ["s1", "s2"]
    calls = [call[0] for result in simulated(*events, **JOINED) for call in result.calls]
    assert calls.count("identify") == 2


@either
def test_identify_waits_for_what_the_visitor_did_before(tmp_path: Path, delivery: str) -> None:
    """It joins only what has arrived: an event that is retried for long would come too late."""
    with Emulator(tmp_path, script=[Answer(500), Answer(500)]) as emulator:
        flow = flow_of(emulator.settings(delivery=delivery, **JOINED), retry={"base": 1})
        with Collector.from_config(flow) as collector:
            collector.push_many([VISIT, LOGIN])
            assert collector.flush(PATIENCE)
            assert collector.dead() == []
    actions = [one.action for one in emulator.accepted]
    assert actions.index("event") < actions.index("identify")
    assert emulator.accepted[0].person == "anonymous_id:s1"


# --- _update --------------------------------------------------------------------------------------


def changing(**attributes: Any) -> Json:
    return {"skip": True, "settings": {"identify": {"value": attributes}}}


@either
def test_update_creates_nobody(customerio: Sandbox, delivery: str) -> None:
    only_known = changing(_update=True, plan="pro")
    assert delivered(customerio, event_of(), rule=only_known, delivery=delivery) == []
    assert customerio.people == {}
    assert "_update on an unknown person" in customerio.ignored[0]["reason"]
    known = changing(plan="free", team="blue")
    assert delivered(customerio, event_of(), rule=known, delivery=delivery) == []
    assert delivered(customerio, event_of(), rule=only_known, delivery=delivery) == []
    assert customerio.people["u1"]["attributes"] == {"plan": "pro", "team": "blue"}


def test_update_is_sent_again_as_it_may_have_had_no_effect() -> None:
    for update, count in ((True, 2), (False, 1)):
        planner, rule = Planner(), rule_of(**changing(_update=update, plan="pro")["settings"])
        calls = [*planner.calls(rule=rule), *planner.calls(rule=rule)]
        assert [call[0] for call in calls].count("identify") == count


@either
@pytest.mark.parametrize("update", ["true", 1])
def test_update_that_is_neither_true_nor_false_is_refused(
    customerio: Sandbox, delivery: str, update: object
) -> None:
    rule: Json = {"skip": True, "settings": {"identify": "data"}}
    event = event_of(data={"_update": update, "plan": "pro"})
    (letter,) = delivered(customerio, event, rule=rule, delivery=delivery)
    assert letter.reason == "identify: attribute '_update' must be true or false"
    assert customerio.requests == []


# --- null -----------------------------------------------------------------------------------------


@either
def test_null_removes_an_attribute(customerio: Sandbox, delivery: str) -> None:
    coupon = {"key": "data.coupon", "nullable": True}
    rule: Json = {"skip": True, "settings": {"identify": {"map": {"coupon": coupon}}}}

    def coupon_after(**data: Any) -> Any:
        event = event_of(data=data)
        assert delivered(customerio, event, rule=rule, delivery=delivery) == []
        return customerio.people["u1"]["attributes"].get("coupon", "none")

    assert coupon_after(coupon="X1") == "X1"
    assert coupon_after() == "X1"
    assert coupon_after(coupon=None) == "none"
    (result,) = simulated(event_of(data={"coupon": None}), rule=rule)
    assert result.calls == [["identify", "u1", {"coupon": None}]]
