"""Loading the recorded cases, and comparing by JSON's idea of equality."""

import json
from pathlib import Path
from typing import Any

from attrs import frozen

from walker_collector import MISSING
from walker_collector.config import ValueSpec
from walker_collector.flow.types import structure_or_raise

FOLDER = Path(__file__).parent


@frozen
class Surroundings:
    """A scope: what a mapping may look at beside its input."""

    event: dict[str, Any]
    consent: dict[str, Any]


def load(name: str, op: str | None = None) -> list[dict[str, Any]]:
    """Return the cases of a file; with `op`, those of it that hold without deviation."""
    cases = [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]
    return [case for case in cases if not op or (case["op"] == op and "deviation" not in case)]


def case_by_id(identifier: str) -> dict[str, Any]:
    """Return one of the edge cases."""
    return next(case for case in load("edge_cases.ndjson") if case["id"] == identifier)


def identifiers(cases: list[dict[str, Any]]) -> list[str]:
    """Return what the cases are called in a test report."""
    return [case["id"] for case in cases]


def value_spec(raw: Any) -> ValueSpec:
    """Structure a mapping value as a flow file's is."""
    return structure_or_raise(raw, ValueSpec, "mapping")


def expected(case: dict[str, Any]) -> Any:
    """Return the recorded answer, MISSING where it was undefined."""
    return MISSING if case["expect"].get("undefined") else case["expect"]["out"]


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: 1 is 1.0 but not true, and objects have no order."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)
