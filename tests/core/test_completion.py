"""What a collector adds to the events it accepts, from its flow and what it was told since."""

import logging
from typing import Any

import pytest

from walker_collector import Collector, EventError, PushResult
from walker_collector.testing import Recorder


def collector_of(recorder: Recorder, **collector: Any) -> Collector:
    flow = {"collector": collector, "destinations": {"out": recorder.entry()}}
    return Collector.from_config(flow, registry=recorder.registry())


def test_event_carries_the_name_and_release_of_its_flow() -> None:
    recorder = Recorder()
    with collector_of(recorder, name="shop", release="7") as collector:
        collector.push("a b")
        collector.push("a b", source={"platform": "web", "release": {"web": "3"}})
    assert [event["source"]["release"] for event in recorder.events] == [
        {"shop": "7"},
        {"web": "3", "shop": "7"},
    ]


def test_lists_of_flow_command_and_event_become_one() -> None:
    recorder = Recorder()
    with collector_of(recorder, globals={"shops": ["tea"]}, user={"tags": [1]}) as collector:
        collector.globals({"shops": ["pots", "tea"]})
        collector.push({"name": "walker user", "data": {"tags": [2]}})
        collector.push("a b", globals={"shops": ["books"]}, user={"tags": [2, 3]})
    (event,) = recorder.events
    assert event["globals"] == {"shops": ["tea", "pots", "books"]}
    assert event["user"] == {"tags": [1, 2, 3]}


def test_key_that_no_event_has_reaches_no_mapping_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = Recorder()
    with caplog.at_level(logging.WARNING), collector_of(recorder) as collector:
        collector.push_many([{"name": "a b", "dta": {"n": 1}, "version": {}}] * 3)
    assert all(event.keys().isdisjoint({"dta", "version"}) for event in recorder.events)
    assert caplog.messages == [
        "'dta' is no part of an event and is left out; did you mean data?",
        "'version' is no part of an event and is left out; an event has name, data, context, "
        "globals, custom, user, nested, consent, id, trigger, entity, action, timestamp, timing, "
        "source",
    ]


def test_countless_keys_do_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), collector_of(Recorder()) as collector:
        collector.push_many([{"name": "a b", f"key {n}": 1} for n in range(100)])
    assert len(caplog.messages) == 20


def test_flow_says_which_times_are_taken() -> None:
    with collector_of(Recorder()) as collector, pytest.raises(EventError, match="seconds"):
        collector.push("a b", timestamp=1_700_000_000)
    recorder = Recorder()
    with collector_of(recorder, oldest="1960-01-01", maxAhead=10**12) as collector:
        collector.push("a b", timestamp="1965-01-01")
        collector.push("a b", timestamp="2050-01-01")
    assert [event["timestamp"] for event in recorder.events] == [-157766400000, 2524608000000]


def test_burst_into_a_walkeros_flow_with_a_small_queue_is_taken_whole() -> None:
    recorder = Recorder()
    flow = {
        "config": {"platform": "server"},
        "collector": {"queueMax": 100},
        "destinations": {"out": recorder.entry()},
    }
    raw = {"version": 4, "flows": {"default": flow}}
    with Collector.from_config(raw, registry=recorder.registry()) as collector:
        results = collector.push_many([{"name": "a b"}] * 5_000)
        assert all(isinstance(result, PushResult) for result in results)
        assert collector.flush(30)
    assert len(recorder.events) == 5_000
