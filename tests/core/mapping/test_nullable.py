"""Under `nullable`, null that stands there is a value; what is missing stays missing."""

import re
from typing import Any

import pytest

from tests.conformance.cases import same
from walker_collector import MISSING
from walker_collector.config import DestinationConfig, ValueSpec
from walker_collector.flow.types import structure, structure_or_raise
from walker_collector.mapping import compile_mapping, compile_value
from walker_collector.mapping.scope import LocalScope

EVENT: dict[str, Any] = {
    "name": "profile update",
    "id": "e1",
    "data": {
        "coupon": None,
        "city": "Lisbon",
        "address": {"street": None, "city": "Lisbon"},
        "items": [{"sku": "a", "gift": None}, None],
        "none": None,
    },
}


def nothing(value: Any) -> None:
    return None


def half(value: Any) -> dict[str, Any]:
    return {"coupon": value["data"]["coupon"], "city": "Lisbon"}


def spec(raw: Any) -> ValueSpec:
    return structure_or_raise(raw, ValueSpec)


def named(raw: Any) -> str:
    """Return a spec as text that is the same in every process."""
    return re.sub(r"<function (\w+) at \w+>", r"\1", str(raw))


def found(raw: Any) -> Any:
    return compile_value(spec(raw))(EVENT, LocalScope(EVENT, {}))


CASES: list[tuple[Any, Any]] = [
    ({"key": "data.coupon", "nullable": True}, None),
    ({"key": "data.coupon", "nullable": False}, MISSING),
    ({"key": "data.coupon"}, MISSING),
    ({"key": "data.unknown", "nullable": True}, MISSING),
    ({"key": "data.coupon.deeper", "nullable": True}, MISSING),
    ({"key": "data.coupon", "nullable": True, "value": "none"}, None),
    ({"key": "data.unknown", "nullable": True, "value": "none"}, "none"),
    ({"value": None, "nullable": True}, None),
    ({"nullable": True}, MISSING),
    ([{"key": "data.coupon", "nullable": True}, "data.city"], None),
    (["data.coupon", "data.city"], "Lisbon"),
    ([{"key": "data.unknown", "nullable": True}, "data.city"], "Lisbon"),
    ([[{"key": "data.coupon", "nullable": True}, "data.city"]], None),
    ({"key": "data.address", "nullable": True}, {"street": None, "city": "Lisbon"}),
    ({"key": "data.items", "nullable": True}, [{"sku": "a", "gift": None}, None]),
    ({"map": {"a": {"key": "data.coupon", "nullable": True}, "b": "data.none"}}, {"a": None}),
    ({"map": {"a": "data.coupon", "b": "data.unknown"}, "nullable": True}, {"a": None}),
    (
        {
            "map": {"a": "data.coupon", "b": {"key": "data.none", "nullable": False}},
            "nullable": True,
        },
        {"a": None},
    ),
    ({"map": {"a": {"map": {"b": "data.coupon"}}}, "nullable": True}, {"a": {"b": None}}),
    ({"map": {"a": {"key": "data.no", "value": 1}}, "nullable": True}, {"a": 1}),
    ({"loop": ["data.items", "gift"], "nullable": True}, [None]),
    ({"loop": ["data.items", ""], "nullable": True}, [{"sku": "a", "gift": None}, None]),
    ({"loop": ["data.none", "gift"], "nullable": True}, MISSING),
    ({"set": ["data.coupon", "data.address"], "nullable": True}, [None, EVENT["data"]["address"]]),
    ({"fn": nothing, "nullable": True}, None),
    ({"fn": nothing}, MISSING),
    ({"fn": half, "nullable": True}, {"coupon": None, "city": "Lisbon"}),
    ({"key": "data.coupon", "nullable": True, "condition": nothing}, MISSING),
    ({"key": "data.coupon", "nullable": True, "validate": nothing, "value": 1}, 1),
    ({"key": "data.coupon", "nullable": True, "consent": {"marketing": True}}, MISSING),
]


@pytest.mark.parametrize(("raw", "expected"), CASES, ids=[named(raw) for raw, _ in CASES])
def test_null_is_kept_where_the_value_says_so(raw: Any, expected: Any) -> None:
    assert same(found(raw), expected), found(raw)


@pytest.mark.parametrize("raw", [0, "true", [], {}])
def test_nullable_is_true_or_false(raw: Any) -> None:
    result, problems = structure({"key": "a", "nullable": raw}, ValueSpec, "data")
    assert result is None
    assert [problem.path for problem in problems] == ["data.nullable"]


def test_null_reaches_data_and_policy_of_a_rule() -> None:
    config = structure_or_raise(
        {
            "policy": {"user.email": {"value": None, "nullable": True}},
            "mapping": {
                "profile": {
                    "update": {"data": {"map": {"a": {"key": "data.coupon", "nullable": True}}}}
                }
            },
        },
        DestinationConfig,
    )
    mapped = compile_mapping(config)(EVENT, LocalScope(EVENT, {}))
    assert mapped.data == {"a": None}
    assert mapped.event["user"] == {"email": None}
