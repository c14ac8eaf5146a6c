"""What is no event, consent or person is refused at the call, and changes nothing."""

from typing import Any

import pytest
from attrs import frozen

from walker_collector import Collector, EventError
from walker_collector.events import Bounds, check_grants, plain_object
from walker_collector.people.identity import identifiers
from walker_collector.simulation import Simulation

from .support import Record, flow, plugin, running
from .test_events import completed


@frozen
class Line:
    entity: str
    data: dict[str, int]


@pytest.mark.parametrize("value", ["denied", "", 0, 1, 0.0, None, [], {}])
def test_own_consent_is_true_or_false_and_nothing_that_is_taken_for_it(value: Any) -> None:
    record = Record()
    with running(flow(plugin(record.push), consent={"marketing": True})) as collector:
        with pytest.raises(EventError, match=r"consent\.marketing: must be true or false, not "):
            collector.push("order complete", consent={"marketing": value})
        collector.push("order complete", consent={"marketing": True}, wait=True, timeout=20)
    assert len(record.events) == 1


def test_consent_keys_are_text() -> None:
    with pytest.raises(EventError, match=r"consent\.1"):
        check_grants({1: True})


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"trigger": 1}, "trigger: must be text, not int"),
        ({"entity": []}, "entity: must be text, not list"),
        ({"action": False}, "action: must be text, not bool"),
        ({"timing": "1.5"}, "timing: must be a number, not str"),
        ({"timing": True}, "timing: must be a number, not bool"),
        ({"nested": [{}, "tea"]}, r"nested\.1: must be an object, not str"),
        ({"nested": ([],)}, r"nested\.0: must be an object, not list"),
    ],
)
def test_part_of_the_wrong_type_is_refused_with_its_place(
    part: dict[str, Any], message: str
) -> None:
    with pytest.raises(EventError, match=rf"^{message} \(event 'order complete'\)$"):
        completed({"name": "order complete", **part})


@pytest.mark.parametrize(
    "part", [{"timing": 3}, {"timing": 0.5}, {"nested": ({"entity": "tea"}, Line("tea", {}))}]
)
def test_part_of_a_type_that_is_taken_stays_as_it_is(part: dict[str, Any]) -> None:
    assert completed({"name": "a b", **part}).items() >= part.items()


@pytest.mark.parametrize("what", ["user", "globals"])
@pytest.mark.parametrize(
    ("update", "message"),
    [
        ("x", "{}: must be an object, not str"),
        (None, "{}: must be an object, not NoneType"),
        ({"id": object()}, r"{}\.id: an object cannot be written as JSON"),
        ({"id": "x" * 2_000}, "limit is 1,000"),
    ],
)
def test_process_wide_parts_that_no_event_could_carry_are_refused(
    what: str, update: Any, message: str
) -> None:
    record = Record()
    with running(flow(plugin(record.push), max_bytes=1_000)) as collector:
        with pytest.raises(EventError, match=message.format(what)):
            getattr(collector, what)(update)
        collector.push("order complete", wait=True, timeout=20)
    assert record.events[0][what] == {}


def test_process_wide_parts_are_independent_of_what_they_were_made_of() -> None:
    shops = ["a"]
    made = plain_object("globals", {"shops": shops}, Bounds())
    shops.append("b")
    assert made == {"shops": ["a"]}


@pytest.mark.parametrize("name", ["walker user", "walker globals"])
def test_simulation_refuses_the_same(name: str) -> None:
    simulation = Simulation(flow(plugin(Record().push)), now=lambda: 0, new_id=lambda: "e")
    with pytest.raises(EventError, match="x: an object cannot be written"):
        simulation.push({"name": name, "data": {"x": object()}})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.forget(None), 'forget: user needs an id.*such as {"id": "u1"}'),
        (lambda c: c.forget("ines"), "forget: user needs an id"),
        (lambda c: c.consent({"a": True}, user="ines"), "consent: user needs an id"),
        (lambda c: c.status_of("thare"), "no destination thare; did you mean there"),
        (lambda c: c.status_of(None), "there is no destination None"),
        (lambda c: c.push_many({"name": "a b"}), r"takes a list.*not dict; write push\(event\)"),
        (lambda c: c.push_many("a b"), "takes a list of events, not str"),
        (lambda c: c.push_many(None), "takes a list of events, not NoneType"),
    ],
    ids=range(8),
)
def test_wrong_argument_is_refused_with_what_to_write(call: Any, message: str) -> None:
    collector: Collector
    with running(flow(plugin(Record().push))) as collector:
        with pytest.raises(EventError, match=message):
            call(collector)
        assert collector.status().accepted == 0


@pytest.mark.parametrize("id", [1, 1.0, "1"])
def test_whole_number_is_one_person_however_it_is_written(id: Any) -> None:
    assert identifiers({"id": id}) == ["id:1"]


def test_fraction_and_infinity_are_as_before() -> None:
    assert identifiers({"id": 1.5, "device": float("inf")}) == ["id:1.5"]
