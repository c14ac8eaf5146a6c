"""The whole mapping of an event, rule lookup and consent answer as the original does."""

from typing import Any

import pytest

from tests.conformance.cases import Surroundings, expected, identifiers, load, same
from walker_collector import MISSING
from walker_collector.config import DestinationConfig
from walker_collector.flow.types import structure_or_raise
from walker_collector.mapping import Mapped, compile_mapping
from walker_collector.mapping.rules import compile_lookup
from walker_collector.people.gate import compile_gate

EVENTS = load("event.ndjson", "event") + load("edge_cases.ndjson", "event")
LOOKUPS = load("edge_cases.ndjson", "mapping")
CONSENTS = load("edge_cases.ndjson", "consent")


def destination(raw: dict[str, Any]) -> DestinationConfig:
    return structure_or_raise(without_extend(raw), DestinationConfig, "config")


def without_extend(raw: Any) -> Any:
    """`extend` is merged while a flow is loaded; like the original, the mapping never sees it."""
    if isinstance(raw, dict):
        return {key: without_extend(part) for key, part in raw.items() if key != "extend"}
    return raw


def answer(case: dict[str, Any], mapped: Mapped) -> dict[str, Any]:
    """Say what was mapped in the terms of the recorded answer."""
    said = {
        "event": mapped.event,
        "ignore": mapped.outcome == "ignored",
        "silent": mapped.rule is not None and mapped.rule.skip,
    }
    if mapped.data is not MISSING:
        said["data"] = mapped.data
    if "mapping" in case["config"]:
        said["mappingKey"] = mapped.rule.key if mapped.rule else ""
    return said


@pytest.mark.parametrize("case", EVENTS, ids=identifiers(EVENTS))
def test_event_is_mapped_as_recorded(case: dict[str, Any]) -> None:
    scope = Surroundings(case["event"], case.get("consent", {}))
    said = answer(case, compile_mapping(destination(case["config"]))(case["event"], scope))
    recorded = expected(case)
    whole = {**case["event"], **recorded["event"]}  # recorded are the parts that changed
    assert same(said, {**recorded, "event": whole}), said


@pytest.mark.parametrize("case", LOOKUPS, ids=identifiers(LOOKUPS))
def test_rule_is_found_as_recorded(case: dict[str, Any]) -> None:
    rules = destination({"mapping": case["mapping"]}).mapping
    lookup = compile_lookup(rules, lambda key, where, rule: (key, rule))
    found = lookup.find(case["event"], Surroundings(case["event"], {}))
    recorded = expected(case)
    key, rule = found or ("", None)
    assert key == recorded.get("mappingKey", "")
    assert (rule and rule.name) == recorded.get("eventMapping", {}).get("name")


@pytest.mark.parametrize("case", CONSENTS, ids=identifiers(CONSENTS))
def test_consent_is_granted_as_recorded(case: dict[str, Any]) -> None:
    state = {**case["state"], **case.get("individual", {})}
    assert compile_gate(case["required"])(state) is (expected(case) is not False)
