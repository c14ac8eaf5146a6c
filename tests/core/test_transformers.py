"""Transformers before a destination: as walkerOS 4.2.1 ran the same flows; the rest is refused."""

from typing import Any

import pytest

from walker_collector import Collector, ConfigError
from walker_collector.simulation import Simulation
from walker_collector.testing import Recorder

ORDER = {
    "name": "order complete",
    "data": {"total": 5, "email": "a@b.c"},
    "user": {"id": "u1", "email": "a@b.c"},
}
REDACT: dict[str, Any] = {"mapping": {"policy": {"user.email": {"value": ""}}}}
RENAMED = {"name": "purchase made", "data": "data"}
RENAME: dict[str, Any] = {"mapping": {"mapping": {"order": {"complete": RENAMED}}}}
DROP: dict[str, Any] = {"mapping": {"mapping": {"order": {"*": {"ignore": True}}}}}
SEVEN = {"order": {"complete": {"policy": {"data.total": {"value": "$var.total"}}}}}
MAPPING = {
    "purchase": {"made": {"data": {"map": {"t": "data.total", "m": "user.email"}}}},
    "order": {"complete": {"data": {"map": {"o": "data.total", "m": "user.email"}}}},
}


def flow_of(recorder: Recorder, before: Any, transformers: Any, **config: Any) -> dict[str, Any]:
    entry = {**recorder.entry(mapping=MAPPING, **config), "before": before}
    return {"transformers": transformers, "destinations": {"out": entry}}


def delivered(before: Any, **transformers: Any) -> Any:
    """Return name and data of the one order that is delivered; None where none is."""
    recorder = Recorder()
    flow = flow_of(recorder, before, transformers)
    with Collector.from_config(flow, registry=recorder.registry()) as collector:
        collector.push(ORDER)
    if not recorder.deliveries:
        return None
    (delivery,) = recorder.deliveries
    return delivery.event["name"], delivery.data


def problems(before: Any, **transformers: Any) -> dict[str, str]:
    recorder = Recorder()
    with pytest.raises(ConfigError) as caught:
        Collector.from_config(flow_of(recorder, before, transformers), registry=recorder.registry())
    return {problem.path: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("before", "transformers", "expected"),
    [
        ("redact", {"redact": REDACT}, ("order complete", {"o": 5, "m": ""})),
        ("drop", {"drop": DROP}, None),
        ("rename", {"rename": RENAME}, ("purchase made", {"t": 5, "m": "a@b.c"})),
        ("a", {"a": {"mapping": {}}}, ("order complete", {"o": 5, "m": "a@b.c"})),
        (
            "redact",
            {"redact": {**REDACT, "next": "rename"}, "rename": RENAME},
            ("purchase made", {"t": 5, "m": ""}),
        ),
        (
            ["redact", "rename"],
            {"redact": {**REDACT, "next": "drop"}, "rename": RENAME, "drop": DROP},
            ("purchase made", {"t": 5, "m": ""}),
        ),
        (
            "a",
            {"a": {"next": ["redact", "rename"]}, "redact": REDACT, "rename": RENAME},
            ("purchase made", {"t": 5, "m": ""}),
        ),
        (
            "rename",
            {"rename": {**RENAME, "before": "redact"}, "redact": REDACT},
            ("purchase made", {"t": 5, "m": ""}),
        ),
        (
            "redact",
            {
                "redact": {**REDACT, "config": {"disabled": True}, "next": "rename"},
                "rename": RENAME,
            },
            ("purchase made", {"t": 5, "m": "a@b.c"}),
        ),
        (
            "a",
            {"a": {"variables": {"total": 7}, "mapping": {"mapping": SEVEN}}},
            ("order complete", {"o": 7, "m": "a@b.c"}),
        ),
    ],
)
def test_chain_does_what_it_does_in_walkeros(
    before: Any, transformers: dict[str, Any], expected: Any
) -> None:
    assert delivered(before, **transformers) == expected


def test_chain_may_stand_in_the_config_and_is_simulated() -> None:
    recorder = Recorder()
    flow = flow_of(recorder, None, {"redact": REDACT, "drop": DROP})
    flow["destinations"]["out"]["config"]["before"] = "redact"
    with Collector.from_config(flow, registry=recorder.registry()) as collector:
        simulation = Simulation(collector.flow, now=lambda: 0, new_id=str)
    (result,) = simulation.push(ORDER)
    assert (result.status, result.rule) == ("deliver", "order complete")
    assert result.policies == ("user.email",)


def test_held_event_is_changed_when_it_is_released_and_one_that_is_dropped_is_ignored() -> None:
    recorder = Recorder()
    page = {"mapping": {"mapping": {"page": {"*": {"ignore": True}}}}}
    transformers = {"redact": REDACT, "page": page}
    flow = flow_of(recorder, ["redact", "page"], transformers, consent={"a": True})
    with Collector.from_config(flow, registry=recorder.registry()) as collector:
        collector.push(ORDER)
        collector.push("page view", user={"id": "u1"})
        collector.consent({"a": True}, user={"id": "u1"})
        assert collector.flush(20)
        figures = collector.status_of("out")
    assert [event["user"]["email"] for event in recorder.events] == [""]
    assert (figures.delivered, figures.notified, figures.ignored) == (1, 1, 1)


@pytest.mark.parametrize(
    ("transformer", "key", "advice"),
    [
        ({"package": "@walkeros/transformer-validate"}, "package", "of packages are not run here"),
        ({"code": {"push": "$code:(e) => e"}}, "code", "JavaScript cannot run here"),
        ({"cache": {"rules": [{"key": ["event.id"]}]}}, "cache", "give events ids"),
        ({"config": {"state": {"mode": "get"}}}, "config.state", "stores are not run here"),
        ({"before": ["redact", "drop"]}, "before", "a list here is a fork in walkerOS"),
        ({"next": {"match": "*", "next": "redact"}}, "next", "routes by conditions"),
        (
            {"config": {"mapping": {"policy": {"user.email": {"value": ""}}}}},
            "config.mapping",
            "is not read there; write it as transformers.a.mapping",
        ),
        (
            {"config": {"policy": {"user.email": {"value": ""}}}},
            "config.policy",
            "is not read there; write it as transformers.a.mapping.policy",
        ),
        (
            {"policy": {"user.email": {"value": ""}}},
            "policy",
            "is not read there; write it as transformers.a.mapping.policy",
        ),
        ({"maping": {"policy": {}}}, "maping", "unknown key; did you mean mapping?"),
        ({"mapping": {"polcy": {}}}, "mapping.polcy", "unknown key; did you mean policy?"),
        (
            {"mapping": {"policy": {"a": "$code:() => 1"}}},
            "mapping.policy.a",
            "JavaScript ($code:) cannot run here",
        ),
        (
            {"mapping": {"mapping": {"a": {"b": {"consent": {"x": True}}}}}},
            "mapping.mapping.a.b.consent",
            "write it as consent of the destination",
        ),
    ],
)
def test_step_that_is_not_run_here_is_refused(transformer: Any, key: str, advice: str) -> None:
    found = problems("a", a=transformer, redact=REDACT, drop=DROP)
    assert list(found) == [f"transformers.a.{key}"]
    assert advice in found[f"transformers.a.{key}"]


@pytest.mark.parametrize("key", ["next", "before"])
def test_chain_that_is_a_circle_is_refused(key: str) -> None:
    found = problems("redact", redact={**REDACT, key: "rename"}, rename={**RENAME, key: "redact"})
    message = "transformers name each other in a circle: redact -> rename -> redact"
    assert found == {"destinations.out.before": message}


def test_chain_that_grows_with_every_step_is_refused() -> None:
    steps = {f"t{n}": {**RENAME, "before": f"t{n + 1}", "next": f"t{n + 1}"} for n in range(60)}
    found = problems("t0", **steps, t60=RENAME)
    assert found == {"destinations.out.before": "a chain of more than 100 transformers"}


def test_chain_that_leads_nowhere_is_refused() -> None:
    assert problems("redcat", redact=REDACT) == {
        "destinations.out.before": "there is no transformer redcat; did you mean redact?"
    }
    route = [{"match": "*", "next": "a"}]
    assert "routes by conditions" in problems(route)["destinations.out.before"]


def test_transformer_that_nothing_names_changes_nothing() -> None:
    assert delivered(None, a={"package": "x"}) == ("order complete", {"o": 5, "m": "a@b.c"})
