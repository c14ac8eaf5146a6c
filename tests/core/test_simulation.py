"""What events would do: decisions of consent, holding and releasing, and the calls."""

from collections.abc import Mapping
from itertools import count
from typing import Any, ClassVar, Literal

import pytest
from attrs import frozen

from tests.core.cli_support import consent, event
from walker_collector import (
    Consent,
    EventError,
    Person,
    PushContext,
    Registry,
    Rejected,
    Rule,
    hookimpl,
)
from walker_collector.flow import load_flow
from walker_collector.simulation import Simulated, Simulation

NOW = 1_700_000_000_000
MARKETING = {"consent": {"marketing": True}}


@frozen
class Told:
    answer: Literal["call", "reject", "nobody", "break"] = "call"


class Unknown(Rejected):
    status = "unidentified"


class Refused(Rejected):
    status = 400


class Telling:
    """Tells what it would do; was never initialised."""

    settings: ClassVar = Told
    rule_settings: ClassVar = None

    @hookimpl
    def init(self) -> None:
        raise AssertionError("a simulation initialises nothing")

    @hookimpl
    def push(self) -> None:
        raise AssertionError("a simulation delivers nothing")

    def simulate(
        self, event: dict[str, Any], data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        answer = context.settings.answer
        if answer == "reject":
            raise Refused("data.total is missing")
        if answer == "nobody":
            raise Unknown("names nobody")
        if answer == "break":
            raise ValueError("private@example.com")
        return [["send", event["name"], event["data"].get("n"), context.consent]]


class Listening(Telling):
    """Does something about consent itself."""

    @hookimpl
    def consent(self) -> None:
        raise AssertionError("a simulation tells nobody")

    def simulate_consent(
        self,
        update: Consent,
        state: Consent,
        person: Person | None,
        context: PushContext,
    ) -> list[list[Any]]:
        if context.settings.answer == "reject":
            raise Refused("no place for it")
        if not update.get("marketing"):
            return []
        return [["mark", person and person.id, dict(state), context.event["timestamp"]]]


class Silent:
    """Does not tell what it would do."""

    settings: ClassVar = None
    rule_settings: ClassVar = None

    @hookimpl
    def push(self) -> None:
        raise AssertionError("a simulation delivers nothing")


def simulation(
    config: Mapping[str, Any] = {},
    *,
    package: str = "telling",
    collector: Mapping[str, Any] = {},
    **others: Mapping[str, Any],
) -> Simulation:
    registry = Registry()
    registry.register("telling", Telling)
    registry.register("silent", Silent)
    registry.register("listening", Listening)
    entries = {
        id_: {"package": package, "config": entry} for id_, entry in {"d": config, **others}.items()
    }
    flow = load_flow({"collector": collector, "destinations": entries}, registry=registry)
    ids = count(1)
    return Simulation(flow, now=lambda: NOW, new_id=lambda: f"e{next(ids)}")


def simulated_by(plugin: type) -> Simulated:
    """Return the effect of an event at a destination of this plugin."""
    registry = Registry()
    registry.register("mine", plugin)
    flow = load_flow({"destinations": {"x": {"package": "mine"}}}, registry=registry)
    (shown,) = Simulation(flow, now=lambda: NOW, new_id=lambda: "e1").push({"name": "order new"})
    return shown


def told(results: list[Simulated]) -> list[tuple[str, str, int]]:
    """Return destination, status and the number of each event."""
    return [
        (item.destination, item.status, item.calls[0][2] if item.calls else 0) for item in results
    ]


def statuses(results: list[Simulated]) -> list[str]:
    return [item.status for item in results]


def test_key_that_no_event_has_is_named_as_in_a_run(caplog: pytest.LogCaptureFixture) -> None:
    flow = simulation()
    assert statuses(flow.push({**event(1), "dat": {"n": 2}})) == ["deliver"]
    assert [record.message for record in caplog.records] == [
        "'dat' is no part of an event and is left out; did you mean data?"
    ]


# --- consent -----------------------------------------------------------------------------------


def test_event_is_held_until_its_person_grants() -> None:
    flow = simulation(MARKETING)
    assert statuses(flow.push(event(1))) == ["held"]
    assert flow.push(consent(analytics=True)) == []
    assert told(flow.push(consent(marketing=True))) == [("d", "deliver", 1)]
    assert flow.push(consent(marketing=True)) == []


def test_grant_of_one_person_releases_nobody_else_s_events() -> None:
    flow = simulation(MARKETING)
    flow.push(event(1, "u1"))
    flow.push(event(2, "u2"))
    flow.push(event(3, None))
    assert told(flow.push(consent("u2", marketing=True))) == [("d", "deliver", 2)]


def test_changed_default_releases_whoever_said_nothing() -> None:
    flow = simulation(MARKETING)
    flow.push(event(1, "u1"))
    flow.push(event(2, "u2", consent={"marketing": False}))
    flow.push(consent("u3", marketing=False))
    flow.push(event(3, "u3"))
    flow.push(event(4, None))
    released = flow.push(consent(None, marketing=True))
    assert told(released) == [("d", "deliver", 1), ("d", "deliver", 4)]


def test_own_consent_goes_before_the_person_s_and_that_before_the_default() -> None:
    flow = simulation(collector={"consent": {"a": True, "b": True, "c": True}})
    flow.push(consent(b=False, c=False))
    (result,) = flow.push(event(1, consent={"c": True}))
    assert result.calls == [["send", "order complete", 1, {"a": True, "c": True}]]
    assert {(grant.key, grant.granted, grant.source) for grant in result.grants} == {
        ("a", True, "default"),
        ("b", False, "person"),
        ("c", True, "event"),
    }


def test_session_turning_out_to_be_a_granting_person_releases_its_events_first() -> None:
    flow = simulation(MARKETING)
    flow.push({**event(1), "user": {"session": "s1"}})
    flow.push(consent("u1", marketing=True))
    results = flow.push({**event(2), "user": {"id": "u1", "session": "s1"}})
    assert told(results) == [("d", "deliver", 1), ("d", "deliver", 2)]


def test_consent_of_a_rule_holds_and_is_told() -> None:
    flow = simulation({"mapping": {"order": {"complete": {"consent": {"sales": True}}}}})
    (held,) = flow.push(event(1))
    (sent,) = flow.push(consent(sales=True))
    assert (held.status, sent.status) == ("held", "deliver")
    assert held.rule_required == sent.rule_required == {"sales": True}
    assert held.rule == "order complete"


def test_denied_event_is_dropped_where_no_queue_holds_it() -> None:
    flow = simulation({**MARKETING, "queue": False})
    assert statuses(flow.push(event(1))) == ["dropped"]
    assert flow.push(consent(marketing=True)) == []


def test_oldest_held_event_makes_room_for_the_newest() -> None:
    flow = simulation({**MARKETING, "queueMax": 2})
    for n in (1, 2, 3):
        flow.push(event(n))
    assert told(flow.push(consent(marketing=True))) == [("d", "deliver", 2), ("d", "deliver", 3)]


def test_each_destination_decides_for_itself() -> None:
    flow = simulation(MARKETING, other={}, off={"disabled": True})
    assert told(flow.push(event(1))) == [("d", "held", 0), ("other", "deliver", 1)]


def test_what_a_destination_does_about_consent_itself_comes_before_what_is_released() -> None:
    flow = simulation(MARKETING, package="listening")
    flow.push(event(1))
    flow.push(consent(analytics=True))
    mark, sent = flow.push(consent(marketing=True))
    assert (mark.event, mark.status, mark.rule) == ("walker consent", "deliver", None)
    assert mark.calls == [["mark", "u1", {"analytics": True, "marketing": True}, NOW]]
    assert sent.calls[0][0] == "send"
    (default,) = flow.push(consent(None, marketing=True))
    assert default.calls == [["mark", None, {"marketing": True}, NOW]]


def test_refused_change_of_consent_is_told() -> None:
    flow = simulation({"settings": {"answer": "reject"}}, package="listening")
    (result,) = flow.push(consent(marketing=True))
    assert (result.status, result.error) == ("invalid", "no place for it")


def test_mocked_destination_does_nothing_about_consent() -> None:
    assert simulation({"mock": 1}, package="listening").push(consent(marketing=True)) == []


# --- mapping -----------------------------------------------------------------------------------


def test_rule_policies_and_names_are_told() -> None:
    rule = {"name": "purchase", "policy": {"data.n": {"value": 7}}}
    flow = simulation({"policy": {"user.plan": {"value": "x"}}, "mapping": {"order": {"*": rule}}})
    (result,) = flow.push(event(1))
    assert result.event == "order complete"
    assert (result.rule, result.policies) == ("order *", ("user.plan", "data.n"))
    assert result.calls == [["send", "purchase", 7, {}]]
    assert result.public_values == {"u1", "order complete", "purchase"}


def test_session_is_of_the_first_who_signs_in_and_later_events_of_the_next() -> None:
    flow = simulation(MARKETING)
    users: list[dict[str, str]] = [{}, {"id": "ana"}, {"id": "bob"}, {}]
    for n, user in enumerate(users):
        flow.push(event(n, user={"session": "s", **user}))
    said = {"name": "walker consent", "data": {"marketing": True}}
    released = flow.push({**said, "user": {"id": "bob"}})
    assert told(released) == [("d", "deliver", 2), ("d", "deliver", 3)]
    released = flow.push({**said, "user": {"id": "ana"}})
    assert told(released) == [("d", "deliver", 0), ("d", "deliver", 1)]


def test_event_that_its_rule_ignores_in_any_case_is_not_held() -> None:
    flow = simulation({**MARKETING, "mapping": {"order": {"*": {"ignore": True}}}})
    assert statuses(flow.push(event(1))) == ["ignored"]
    assert flow.push(consent(marketing=True)) == []


def test_ignored_event_has_its_rule_and_no_calls() -> None:
    (result,) = simulation({"mapping": {"*": {"*": {"ignore": True}}}}).push(event(1))
    assert (result.status, result.rule, result.calls) == ("ignored", "* *", [])


def test_user_and_globals_complete_the_events_that_follow() -> None:
    flow = simulation(
        {"data": {"map": {"lang": "globals.lang", "plan": "user.plan"}}},
        package="silent",
        collector={"globals": {"lang": "en"}, "user": {"plan": "free"}},
    )
    flow.push({"name": "walker user", "data": {"plan": "paid"}})
    before = flow.push(event(1))
    assert flow.push({"name": "walker globals", "data": {"lang": "de"}}) == []
    after = flow.push(event(2, globals={"other": 1}))
    assert before[0].calls == [["push", "order complete", {"lang": "en", "plan": "paid"}]]
    assert after[0].calls == [["push", "order complete", {"lang": "de", "plan": "paid"}]]


def test_plugin_that_does_not_tell_pushes_what_the_mapping_made() -> None:
    (result,) = simulation(package="silent").push(event(1))
    assert result.calls == [["push", "order complete", None]]


def test_mocked_destination_calls_nothing() -> None:
    (result,) = simulation({"mock": {"ok": True}}).push(event(1))
    assert (result.status, result.calls) == ("deliver", [])


@pytest.mark.parametrize(
    ("calls", "returned"),
    [
        (5, "int"),
        ("send", "str"),
        ({"send": 1}, "dict"),
        (["send", {"total": 55}], "str as a call"),
        ([object()], "object as a call"),
        ([[]], "a call without a name"),
        ([[{"total": 55}]], "a call without a name"),
    ],
)
def test_calls_of_another_shape_are_told_with_the_plugins_file(calls: Any, returned: str) -> None:
    class Odd(Silent):
        def simulate(self, event: Any, data: Any, rule: Any, context: Any) -> Any:
            return calls

    shown = simulated_by(Odd)
    assert (shown.status, shown.calls) == ("invalid", [])
    assert str(shown.error).startswith(f"simulate of the plugin ({__file__}:")
    assert f"returned {returned}; return a list of calls" in str(shown.error)


def test_simulation_that_yields_no_call_sends_nothing() -> None:
    class Empty(Silent):
        def simulate(self, event: Any, data: Any, rule: Any, context: Any) -> Any:
            yield from ()

    assert (simulated_by(Empty).status, simulated_by(Empty).calls) == ("empty", [])


def test_simulation_that_raises_while_its_calls_are_read_is_told() -> None:
    class Lazy(Silent):
        def simulate(self, event: Any, data: Any, rule: Any, context: Any) -> Any:
            yield ["send", 1 / 0]

    shown = simulated_by(Lazy)
    assert shown.status == "invalid"
    assert f"simulation raised ZeroDivisionError at {__file__}:" in str(shown.error)


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        ("reject", "invalid", "data.total is missing"),
        ("nobody", "unidentified", "names nobody"),
        ("break", "invalid", f"the plugin's simulation raised ValueError at {__file__}:"),
    ],
)
def test_refusal_has_a_status_and_a_reason_without_data(
    answer: str, status: str, error: str
) -> None:
    (result,) = simulation({"settings": {"answer": answer}}).push(event(1))
    assert (result.status, result.calls) == (status, [])
    assert str(result.error).startswith(error)


# --- what is no event --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({}, "event name is missing"),
        ({"name": "order"}, "entity action"),
        ({"name": "order complete", "data": []}, "data"),
        ({"name": "walker consent"}, "data must be an object"),
        ({"name": "walker user", "data": 1}, "data must be an object"),
        ({"name": "walker consent", "data": {}}, "consent"),
        ({"name": "walker consent", "data": {"a": "yes"}}, "consent.a: must be true or false"),
        ({"name": "walker consent", "data": {"a": True}, "user": {}}, "user needs an id"),
        ({"name": "walker consent", "data": {"a": True}, "user": "u1"}, "user needs an id"),
    ],
)
def test_what_is_no_event_or_command_is_refused(raw: dict[str, Any], problem: str) -> None:
    with pytest.raises(EventError, match=problem):
        simulation().push(raw)


def test_refused_event_changes_nothing() -> None:
    flow = simulation({**MARKETING})
    flow.push(event(1))
    with pytest.raises(EventError):
        flow.push({"name": "walker consent", "data": {"marketing": "yes"}})
    assert told(flow.push(consent(marketing=True))) == [("d", "deliver", 1)]
