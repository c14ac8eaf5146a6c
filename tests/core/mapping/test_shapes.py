from typing import Any

import pytest
from hypothesis import given

from tests.core.mapping.strategies import CONSENT, EVENTS, SPECS
from tests.forms import examples
from walker_collector import MISSING
from walker_collector.config import ValueSpec
from walker_collector.flow.types import structure_or_raise
from walker_collector.mapping import compile_value, may_make_object
from walker_collector.mapping.scope import LocalScope

MAY: list[Any] = [
    "data",
    ["data.a", {"value": 1}],
    {"map": {"a": "data.a"}},
    {"key": "data.total", "value": 0},
    {"fn": len},
    {"value": {"a": 1}},
    {"value": None},
    {"loop": ["nested", "a"], "value": {}},
    {"loop": ["nested", "a"], "key": "data"},
    {},
    [],
    {"condition": len},
]
NEVER: list[Any] = [
    {"value": 5},
    {"value": [{}]},
    {"value": ""},
    {"loop": ["nested", {"map": {"a": "data.a"}}]},
    {"loop": ["nested", "a"], "value": []},
    {"set": ["data"]},
    [{"value": 1}, {"set": []}],
    [[{"value": 1}]],
]


@pytest.mark.parametrize(("raw", "answer"), [(r, True) for r in MAY] + [(r, False) for r in NEVER])
def test_value_says_plainly_that_it_makes_no_object(raw: Any, answer: bool) -> None:
    assert may_make_object(structure_or_raise(raw, ValueSpec)) is answer


@examples(100)
@given(SPECS, EVENTS, CONSENT)
def test_value_of_which_it_is_said_never_makes_one(
    spec: ValueSpec, event: Any, consent: Any
) -> None:
    if not may_make_object(spec):
        found = compile_value(spec)(event, LocalScope(event, consent))
        assert found is MISSING or not isinstance(found, dict)
