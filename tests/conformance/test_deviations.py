"""Where this project answers differently from the original on purpose, each with its answer.

The numbers are those of the documented differences. The differences of delivery and of Customer.io
are tested where they live.
"""

from typing import Any

import pytest

from tests.conformance.cases import Surroundings, case_by_id, load, same, value_spec
from walker_collector import MISSING, ConfigError
from walker_collector.config import DestinationConfig
from walker_collector.flow.types import structure_or_raise
from walker_collector.mapping import compile_mapping, compile_value

REFUSED = ["edge-7", "edge-8", "edge-11", "edge-12"]
YIELDS = {
    "edge-19": {"x": 1},
    "edge-21": {"a": 1, "b": {}},
    "edge-22": [1, None],
    "edge-23": {"b": 1, "o": {}},
    "edge-25": MISSING,
    "edge-33": MISSING,
    "edge-38": [{}, {"x": 1}],
    "edge-39": [{"y": 1}],
}
ENFORCED = ["edge-76"]


def resolve(case: dict[str, Any]) -> Any:
    scope = Surroundings({}, case.get("consent", {}))
    return compile_value(value_spec(case["mapping"]))(case["value"], scope)


def test_every_deviation_of_the_mapping_has_its_test() -> None:
    deviations = {
        case["id"]
        for case in load("edge_cases.ndjson")
        if "deviation" in case and case["op"] != "flow"
    }
    assert deviations == {*REFUSED, *YIELDS, *ENFORCED}


@pytest.mark.parametrize("identifier", REFUSED)
def test_1_mapping_that_is_none_is_refused_instead_of_sending_the_event(identifier: str) -> None:
    with pytest.raises(ConfigError, match="mapping"):
        value_spec(case_by_id(identifier)["mapping"])


@pytest.mark.parametrize("identifier", ["edge-25", "edge-33"])
def test_2_nothing_is_yielded_instead_of_null_or_the_whole_input(identifier: str) -> None:
    assert resolve(case_by_id(identifier)) is YIELDS[identifier]


@pytest.mark.parametrize("identifier", sorted(YIELDS.keys() - {"edge-25", "edge-33"}))
def test_3_null_leaves_are_pruned_and_the_rest_is_kept(identifier: str) -> None:
    found = resolve(case_by_id(identifier))
    assert same(found, YIELDS[identifier]), found


@pytest.mark.parametrize(("consent", "outcome"), [({}, "denied"), ({"marketing": True}, "deliver")])
def test_6_consent_of_a_rule_is_enforced(consent: dict[str, bool], outcome: str) -> None:
    case = case_by_id("edge-76")
    config = structure_or_raise(case["config"], DestinationConfig)
    mapped = compile_mapping(config)(case["event"], Surroundings(case["event"], consent))
    assert mapped.outcome == outcome
    assert mapped.required == {"marketing": True}
