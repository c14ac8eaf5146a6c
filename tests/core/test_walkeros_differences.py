"""Where events meet another end than in walkerOS, on purpose; the documentation lists each."""

from typing import Any

import pytest

from walker_collector import Collector
from walker_collector.simulation import Simulation
from walker_collector.testing import Recorder

MARKETING = {"marketing": True}


def collector_of(recorder: Recorder, **config: Any) -> Collector:
    flow = {"destinations": {"out": recorder.entry(consent=MARKETING, **config)}}
    return Collector.from_config(flow, registry=recorder.registry())


def test_what_is_denied_without_a_queue_is_dropped_and_a_grant_brings_nothing_back() -> None:
    recorder = Recorder()
    with collector_of(recorder, queue=False) as collector:
        denied = collector.push("a b", user={"id": "u1"})
        collector.consent(MARKETING, user={"id": "u1"})
        collector.push("c d", user={"id": "u1"})
        (simulated,) = Simulation(collector.flow, now=lambda: 0, new_id=str).push({"name": "a b"})
    assert denied.destinations == {"out": "dropped"}
    assert simulated.status == "dropped"
    assert recorder.names == ["c d"]


def test_user_and_globals_told_later_are_not_merged_into_held_events() -> None:
    recorder = Recorder()
    with collector_of(recorder) as collector:
        collector.push("a b", user={"session": "s-1"})
        collector.user({"id": "somebody"})
        collector.globals({"shop": "tea"})
        collector.consent(MARKETING)
    (event,) = recorder.events
    assert (event["user"], event["globals"]) == ({"session": "s-1"}, {})


@pytest.mark.parametrize("many", [False, True])
def test_pushed_consent_is_the_command(many: bool) -> None:
    recorder = Recorder()
    with collector_of(recorder) as collector:
        collector.push("a b", user={"id": "u1"})
        grant = {"name": "walker consent", "data": MARKETING, "user": {"id": "u1"}}
        assert collector.push_many([grant]) if many else collector.push(grant)
    assert recorder.names == ["a b"]


def test_keys_beside_config_are_honoured() -> None:
    recorder = Recorder()
    beside = {"off": {**recorder.entry(), "disabled": True}, "mocked": recorder.entry()}
    beside["mocked"] |= {"mock": "nothing", "id": "named", "logger": {"level": "error"}}
    with Collector.from_config({"destinations": beside}, registry=recorder.registry()) as collector:
        result = collector.push("a b", wait=True, timeout=20)
    assert result.destinations == {"named": "delivered"}
    assert recorder.events == []
