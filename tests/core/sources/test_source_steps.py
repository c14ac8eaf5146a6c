"""The steps of a source: what they do to events that go on, as in walkerOS."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from walker_collector import Collector, ConfigError, EventError, PushResult, hookimpl
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry


class Kept:
    """A destination that keeps what it gets."""

    @hookimpl
    def push(self, event: Any) -> None:
        GOT.append(event)


GOT: list[Any] = []


class Idle:
    aliases: ClassVar[tuple[str, ...]] = ("@walkeros/server-source-express",)

    @hookimpl
    def run(self, context: Any) -> None: ...


REGISTRY = Registry()
REGISTRY.register("kept", Kept)
REGISTRY.register_source("idle", Idle)


def collector(
    source: dict[str, Any], transformers: Any = None, beside: Any = None, **collector: Any
) -> Collector:
    GOT.clear()
    raw = {
        "collector": collector,
        "destinations": {"kept": {"package": "kept"}},
        "sources": {"web": {"package": "idle", "config": source, **(beside or {})}},
        "transformers": transformers or {},
    }
    return Collector(load_flow(raw, registry=REGISTRY, serve=True), REGISTRY)


def passed(
    events: list[dict[str, Any]], source: dict[str, Any], *more: Any, **options: Any
) -> list[dict[str, Any]]:
    """Return the events that are delivered after the steps of a source."""
    with collector(source, *more, **options) as made:
        results = made.push_from("web", events)
        assert all(isinstance(result, PushResult) for result in results)
    return list(GOT)


def problems(source: dict[str, Any], **flow: Any) -> dict[str, str]:
    raw = {"destinations": {"kept": {"package": "kept"}}, **flow}
    with pytest.raises(ConfigError) as caught:
        load_flow({**raw, "sources": {"web": {"package": "idle", **source}}}, registry=REGISTRY)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_policy_writes_into_the_event_that_goes_on() -> None:
    policy = {"user.email": {"value": "hidden"}, "data.shop": "globals.shop"}
    event = {"name": "order complete", "user": {"email": "a@b.c"}, "globals": {"shop": "de"}}
    (got,) = passed([event], {"policy": policy})
    assert (got["user"]["email"], got["data"]["shop"]) == ("hidden", "de")
    assert event["user"] == {"email": "a@b.c"}  # the sender's own is left alone


def test_rule_renames_and_its_policy_comes_after_that_of_the_source() -> None:
    mapping = {"order": {"complete": {"name": "shop purchase", "policy": {"data.b": "data.a"}}}}
    (got,) = passed(
        [{"name": "order complete"}], {"policy": {"data.a": {"value": 1}}, "mapping": mapping}
    )
    assert (got["name"], got["entity"], got["action"]) == ("shop purchase", "shop", "purchase")
    assert got["data"] == {"a": 1, "b": 1}


def test_rule_makes_no_data_of_an_event_that_goes_on() -> None:
    mapping = {"order": {"complete": {"data": {"map": {"total": "data.price"}}}}}
    (got,) = passed([{"name": "order complete", "data": {"price": 5}}], {"mapping": mapping})
    assert got["data"] == {"price": 5}


def test_ignored_event_is_answered_and_goes_nowhere() -> None:
    with collector({"mapping": {"noise": {"*": {"ignore": True}}}}) as made:
        results = made.push_from(
            "web", [{"name": "noise heard", "id": "n1"}, {"name": "noise seen"}, {"name": "a b"}]
        )
    assert [event["name"] for event in GOT] == ["a b"]
    first, second, _ = results
    assert isinstance(first, PushResult)
    assert isinstance(second, PushResult)
    assert (first.id, first.destinations) == ("n1", {"kept": "ignored"})
    assert second.id
    figures = made.status().destinations["kept"]
    assert (figures.accepted, figures.ignored, figures.delivered) == (3, 2, 1)


def test_event_without_the_consent_of_the_source_is_dropped() -> None:
    events = [
        {"name": "a yes", "consent": {"marketing": True}},
        {"name": "a no", "consent": {"marketing": False}},
        {"name": "a silent"},
    ]
    got = passed(events, {"consent": {"marketing": True}})
    assert [event["name"] for event in got] == ["a yes"]


def test_consent_of_a_source_counts_what_its_person_has_stated() -> None:
    with collector({"consent": {"marketing": True}}) as made:
        made.consent({"marketing": True}, user={"device": "d1"})
        made.push_from(
            "web",
            [
                {"name": "a first", "user": {"device": "d1"}},
                {"name": "a second", "user": {"device": "d2"}},
                {"name": "a third", "user": {"device": "d1", "session": "s1"}},
            ],
        )
    assert [event["name"] for event in GOT] == ["a first", "a third"]


def test_consent_of_a_source_counts_the_default() -> None:
    with collector({"consent": {"marketing": True}}, consent={"marketing": True}) as made:
        made.push_from("web", [{"name": "a b"}])
    assert [event["name"] for event in GOT] == ["a b"]


def test_consent_is_asked_after_the_policy() -> None:
    source = {"consent": {"marketing": True}, "policy": {"consent.marketing": {"value": True}}}
    assert len(passed([{"name": "a b"}], source)) == 1


TRANSFORMERS = {
    "first": {"mapping": {"policy": {"data.order": {"value": "first"}}}, "next": "second"},
    "second": {"mapping": {"policy": {"data.seen": "data.order"}}},
    "rename": {"mapping": {"mapping": {"a": {"b": {"name": "renamed here"}}}}},
    "drop": {"mapping": {"mapping": {"a": {"*": {"ignore": True}}}}},
}


@pytest.mark.parametrize("place", ["beside", "inside"])
def test_transformers_before_come_first_and_those_of_next_last(place: str) -> None:
    chains = {"before": "first", "next": ["rename"]}
    source = {"policy": {"data.order": {"value": "source"}}}
    inside = {**source, **chains} if place == "inside" else source
    beside = chains if place == "beside" else None
    (got,) = passed([{"name": "a b"}], inside, TRANSFORMERS, beside)
    assert (got["name"], got["data"]) == ("renamed here", {"order": "source", "seen": "first"})


@pytest.mark.parametrize("chain", ["before", "next"])
def test_transformer_drops_an_event(chain: str) -> None:
    events = [{"name": "a b"}, {"name": "c d"}]
    got = passed(events, {}, TRANSFORMERS, {chain: "drop"})
    assert [event["name"] for event in got] == ["c d"]


def test_commands_pass_the_steps() -> None:
    source = {"mapping": {"walker": {"*": {"ignore": True}}}, "consent": {"marketing": True}}
    with collector(source) as made:
        grant = {"name": "walker consent", "data": {"marketing": True}, "user": {"device": "d"}}
        made.push_from("web", [grant, {"name": "a b", "user": {"device": "d"}}])
    assert [event["name"] for event in GOT] == ["a b"]


def test_events_of_the_application_pass_no_steps() -> None:
    with collector({"mapping": {"*": {"*": {"ignore": True}}}}) as made:
        made.push("a b")
    assert [event["name"] for event in GOT] == ["a b"]


@pytest.mark.parametrize("event", [{"name": 5}, {"data": {"a": 1}}, {"name": "a b", "user": 7}])
def test_bad_event_is_refused_after_the_steps_as_before_them(event: Any) -> None:
    source = {"policy": {"data.x": "user.id"}, "mapping": {"a": {"b": {"name": "c d"}}}}
    with collector({**source, "consent": {"a": True}}, consent={"a": True}) as made:
        (result,) = made.push_from("web", [event])
    assert isinstance(result, EventError)


def test_unknown_source_is_an_error_with_the_ones_there_are() -> None:
    with collector({}) as made, pytest.raises(EventError, match="no source wbe; did you mean web"):
        made.push_from("wbe", [{"name": "a b"}])


@pytest.mark.parametrize("place", ["beside", "inside"])
@pytest.mark.parametrize("key", ["cache", "state", "require", "credentials"])
def test_step_that_cannot_be_done_is_a_problem(key: str, place: str) -> None:
    step = {key: ["x"]}
    found = problems(step if place == "beside" else {"config": step})
    assert [path.rpartition(".")[2] for path in found] == [key]


@pytest.mark.parametrize("route", [{"case": []}, [{"match": "*", "next": "first"}]])
@pytest.mark.parametrize("key", ["before", "next"])
def test_route_by_conditions_is_a_problem(key: str, route: Any) -> None:
    found = problems({key: route}, transformers=TRANSFORMERS)
    assert "routes by conditions are not supported" in found[f"sources.web.{key}"]


def test_transformer_that_is_not_there_is_a_problem() -> None:
    found = problems({"next": "frist"}, transformers=TRANSFORMERS)
    assert "did you mean first" in found["sources.web.next"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("data", {"map": {"a": "b"}}), ("include", ["globals"]), ("ingest", {"map": {}})],
)
def test_key_without_an_effect_in_walkeros_is_a_warning(key: str, value: Any) -> None:
    raw = {
        "destinations": {"kept": {"package": "kept"}},
        "sources": {"web": {"package": "idle", "config": {key: value}}},
    }
    (warning,) = load_flow(raw, registry=REGISTRY, serve=True).warnings
    assert warning.startswith(f"sources.web.config.{key}: ")


RECORDED = [
    json.loads(line)
    for line in Path(__file__).with_name("recorded_steps.ndjson").read_text("utf-8").splitlines()
]
PARTS = ("name", "data", "user", "globals", "context", "custom")


@pytest.mark.parametrize("case", RECORDED, ids=range(len(RECORDED)))
def test_steps_do_what_walkeros_does(case: Any) -> None:
    """The answers were recorded from walkerOS 4.2.1 (`startFlow`, and a push of its source)."""
    flow = [case["source"], case["transformers"], case["beside"]]
    with collector(*flow, consent=case["consent"]) as made:
        for event in case["events"]:
            made.push_from("web", [event])
    got = [{part: event[part] for part in PARTS if event.get(part)} for event in GOT]
    assert got == case["delivered"]
