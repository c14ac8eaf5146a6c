"""Recorded flows of the original, through the command line: `walker simulate --json`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.conformance.cases import case_by_id, identifiers, load, same
from tests.customerio.test_flow_conformance import CALLS, FLOWS, comparable, recorded
from walker_collector.cli import main

SPAWNED = ("flow-open-0", "flow-open-8", "edge-104")
"""Cases that a process of their own answers, too."""


def flow_of(case: dict[str, Any]) -> dict[str, Any]:
    settings = {"siteId": "site", **case.get("settings", {}), "appApiKey": "app"}
    config = {**case.get("config", {}), "settings": settings}
    customerio = {"package": "@walkeros/server-destination-customerio", "config": config}
    flow = {
        "config": {"platform": "server"},
        "collector": case.get("collector", {}),
        "destinations": {"customerio": customerio},
    }
    return {"version": 4, "flows": {"default": flow}}


def line_of(step: dict[str, Any]) -> dict[str, Any]:
    ((kind, content),) = step.items()
    return content if kind == "push" else {"name": f"walker {kind}", "data": content}


def command(case: dict[str, Any], folder: Path) -> list[str]:
    """Write a case as a flow file and lines of events; return the command that simulates it."""
    flow, events = folder / "flow.json", folder / "events.ndjson"
    flow.write_text(json.dumps(flow_of(case)), "utf-8")
    lines = [json.dumps(line_of(step), ensure_ascii=False) for step in case["steps"]]
    events.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return ["simulate", str(flow), str(events), "--json"]


def simulated(case: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    result = CliRunner().invoke(main, command(case, folder))
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def calls_of(results: list[dict[str, Any]]) -> list[Any]:
    return recorded([call for result in results for call in result["calls"]])


def marks_of(results: list[dict[str, Any]], steps: int) -> list[int]:
    """Return how many calls there were after each step."""
    return [
        len(calls_of([result for result in results if result["line"] <= number]))
        for number in range(1, steps + 1)
    ]


def check(case: dict[str, Any], results: list[dict[str, Any]]) -> None:
    expected = [[CALLS[name], *arguments] for name, *arguments in case["expect"]["calls"]]
    assert same([*map(comparable, calls_of(results))], [*map(comparable, expected)])
    assert marks_of(results, len(case["steps"])) == case["expect"]["marks"]


@pytest.mark.parametrize("case", FLOWS, ids=identifiers(FLOWS))
def test_calls_are_those_recorded_after_each_step(case: dict[str, Any], tmp_path: Path) -> None:
    check(case, simulated(case, tmp_path))


@pytest.mark.parametrize("identifier", SPAWNED)
def test_process_of_its_own_answers_the_same(identifier: str, tmp_path: Path) -> None:
    case = next(case for case in FLOWS if case["id"] == identifier)
    process = subprocess.run(
        [sys.executable, "-m", "walker_collector", *command(case, tmp_path)],
        capture_output=True,
        timeout=60,
        check=True,
        env={},
    )
    check(case, [json.loads(line) for line in process.stdout.splitlines()])


def test_recorded_failure_of_a_client_is_a_matter_of_delivery_not_of_simulation() -> None:
    failing = [case["id"] for case in load("edge_cases.ndjson", "flow") if "fail" in case]
    assert failing == ["edge-102"]


def test_every_deviation_of_a_flow_has_its_test() -> None:
    cases = load("edge_cases.ndjson")
    deviations = [case["id"] for case in cases if case["op"] == "flow" and "deviation" in case]
    assert deviations == ["edge-98"]


def test_4_numeric_user_id_is_an_identity(tmp_path: Path) -> None:
    (result,) = simulated(case_by_id("edge-98"), tmp_path)
    assert result["calls"] == [
        ["track", "42", {"name": "a b", "data": {}, "timestamp": 1700000100}]
    ]


def pushed(person: str, **parts: Any) -> dict[str, Any]:
    user = {"id": person, "email": f"{person}@example.com"}
    return {"push": {"name": "a b", "timestamp": 1700000100000, "user": user, **parts}}


def test_5_each_person_is_identified_once_whoever_comes_between(tmp_path: Path) -> None:
    case = {
        "settings": {"identify": {"map": {"email": "user.email"}}},
        "config": {"mapping": {"*": {"*": {"skip": True}}}},
        "steps": [pushed("u1"), pushed("u2"), pushed("u1")],
    }
    assert calls_of(simulated(case, tmp_path)) == [
        ["identify", "u1", {"email": "u1@example.com"}],
        ["identify", "u2", {"email": "u2@example.com"}],
    ]


def test_6_consent_of_a_rule_holds_the_event_until_it_is_granted(tmp_path: Path) -> None:
    case = {
        "config": {"mapping": {"a": {"b": {"consent": {"marketing": True}}}}},
        "steps": [pushed("u1"), {"consent": {"analytics": True}}, {"consent": {"marketing": True}}],
    }
    found = [(item["line"], item["status"]) for item in simulated(case, tmp_path)]
    assert found == [(1, "held"), (3, "deliver")]


def test_7_denial_of_an_event_outlasts_the_grant_of_everybody(tmp_path: Path) -> None:
    case = {
        "config": {"consent": {"marketing": True}},
        "steps": [
            pushed("u1", consent={"marketing": False}),
            pushed("u2"),
            {"consent": {"marketing": True}},
        ],
    }
    found = [(item["line"], item["status"]) for item in simulated(case, tmp_path)]
    assert found == [(1, "held"), (2, "held"), (3, "deliver")]
