"""Mapping values and paths answer as the original does."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.cases import (
    Surroundings,
    expected,
    identifiers,
    load,
    same,
    value_spec,
)
from walker_collector import MISSING
from walker_collector.mapping import compile_value, delete_by_path, get_by_path, set_by_path

VALUES = load("value.ndjson", "value") + load("edge_cases.ndjson", "value")
PATHS = load("edge_cases.ndjson", "path")
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "getByPath": get_by_path,
    "setByPath": set_by_path,
    "deleteByPath": delete_by_path,
}


@pytest.mark.parametrize("case", VALUES, ids=identifiers(VALUES))
def test_value_resolves_as_recorded(case: dict[str, Any]) -> None:
    event = case["value"] if isinstance(case["value"], dict) else {}
    scope = Surroundings(event, case.get("consent", {}))
    found = compile_value(value_spec(case["mapping"]))(case["value"], scope)
    assert same(found, expected(case)), found


@pytest.mark.parametrize("case", PATHS, ids=identifiers(PATHS))
def test_path_answers_as_recorded(case: dict[str, Any]) -> None:
    found = FUNCTIONS[case["fn"]](*case["args"])
    assert found is not MISSING
    assert same(found, expected(case)), found
