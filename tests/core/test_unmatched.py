"""Events that no rule of a mapping is for: sent and told, ignored, or dead letters."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.core.cli_support import walker
from walker_collector import Collector
from walker_collector.simulation import Simulation
from walker_collector.testing import Recorder

MAPPING = {"order": {"complete": {"data": "data"}}, "page": {"*": [{"condition": len}]}}
EVENTS = [{"name": "order complete"}, *[{"name": "cart add"}, {"name": "order retrun"}] * 2]


def collector_of(recorder: Recorder, **config: Any) -> Collector:
    flow = {"destinations": {"out": recorder.entry(**config)}}
    return Collector.from_config(flow, registry=recorder.registry())


def simulated(collector: Collector, name: str) -> tuple[str, str | None]:
    (result,) = Simulation(collector.flow, now=lambda: 0, new_id=str).push({"name": name})
    return result.status, result.error


def test_sent_events_are_told_once_a_name(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    with caplog.at_level(logging.WARNING), collector_of(recorder, mapping=MAPPING) as collector:
        collector.push_many(EVENTS)
    assert recorder.names == [event["name"] for event in EVENTS]
    assert caplog.messages == [
        f"destination out: no rule of its mapping is for '{name}', which goes out without data; "
        "write one, or set unmatched to ignore or error"
        for name in ("cart add", "order retrun")
    ]


@pytest.mark.parametrize("config", [{}, {"data": "data", "mapping": MAPPING}])
def test_what_has_data_or_needs_no_rule_is_not_told(
    config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    with caplog.at_level(logging.WARNING), collector_of(recorder, **config) as collector:
        collector.push_many(EVENTS)
    assert len(recorder.names) == len(EVENTS)
    assert caplog.messages == []


def test_countless_names_do_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    with caplog.at_level(logging.WARNING), collector_of(recorder, mapping=MAPPING) as collector:
        collector.push_many([{"name": f"a {n}"} for n in range(200)])
    assert len(caplog.messages) == 50


def test_ignored_events_go_nowhere_and_are_not_held() -> None:
    recorder = Recorder()
    config = {"mapping": MAPPING, "unmatched": "ignore", "consent": {"a": True}}
    with collector_of(recorder, **config) as collector:
        result = collector.push("cart add", user={"id": "u1"})
        assert simulated(collector, "cart add") == ("ignored", None)
        assert simulated(collector, "order complete")[0] == "held"
        assert simulated(collector, "page view")[0] == "held"
    assert result.destinations == {"out": "ignored"}
    assert recorder.events == []


def test_conditional_rule_that_does_not_hold_is_none() -> None:
    recorder = Recorder()
    rule = {"condition": lambda event: event["data"].get("n") == 1}
    with collector_of(recorder, mapping={"a": {"b": rule}}, unmatched="ignore") as collector:
        collector.push("a b", data={"n": 1})
        collector.push("a b", data={"n": 2})
    assert [event["data"]["n"] for event in recorder.events] == [1]


def test_error_makes_a_dead_letter_with_what_to_do() -> None:
    recorder = Recorder()
    reason = "no rule of the mapping is for its name; write one, or set unmatched to ignore"
    with collector_of(recorder, mapping=MAPPING, unmatched="error") as collector:
        result = collector.push("cart add", wait=True, timeout=20)
        assert result.destinations == {"out": "failed"}
        assert result.reasons == {"out": reason}
        assert [letter.reason for letter in collector.dead()] == [reason]
        assert simulated(collector, "cart add") == ("invalid", reason)
        assert collector.push("order complete", wait=True, timeout=20).ok


def test_without_a_mapping_everything_is_sent() -> None:
    for choice in ("ignore", "error"):
        recorder = Recorder()
        with collector_of(recorder, unmatched=choice) as collector:
            collector.push("cart add")
        assert recorder.names == ["cart add"]


def test_simulation_shows_that_no_rule_is_for_an_event(tmp_path: Path) -> None:
    entry = {"package": "console", "config": {"mapping": {"order": {"complete": {}}}}}
    plain = {"package": "console"}
    flow, events = tmp_path / "flow.json", tmp_path / "events.ndjson"
    flow.write_text(json.dumps({"destinations": {"out": entry, "all": plain}}))
    events.write_text('{"name": "order complete"}\n{"name": "cart add"}\n')
    lines = [
        line
        for line in walker("simulate", flow, events).stdout.splitlines()
        if line.startswith("line")
    ]
    assert lines == [
        "line 1  order complete -> out  deliver (rule order complete)",
        "line 1  order complete -> all  deliver",
        "line 2  cart add -> out  deliver (no rule)",
        "line 2  cart add -> all  deliver",
    ]
