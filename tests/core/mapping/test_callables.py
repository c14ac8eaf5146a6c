"""Python code named by a mapping: how it is called, and what its failures cost."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from walker_collector import ConfigError
from walker_collector.config import MISSING, AlternativesSpec, ObjectSpec, PathSpec
from walker_collector.mapping import Scope, compile_value
from walker_collector.mapping.scope import LocalScope

EVENT = {"id": "e1", "price": "12", "items": [{"price": "3"}, {}, {"price": "x"}]}
SCOPE = LocalScope(EVENT, {"marketing": True})


def resolve(spec: Any) -> Any:
    return compile_value(spec, "mapping.order.complete.data")(EVENT, SCOPE)


class Doubled:
    def __call__(self, value: Any) -> Any:
        return value["price"] * 2


def with_default(value: Any, other: int = 3) -> Any:
    return other


def with_optional_context(value: Any, context: Scope | None = None) -> Any:
    return context and context.event["id"]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda value: value["price"], "12"),
        (lambda value, context: [value["price"], context.event["id"]], ["12", "e1"]),
        (lambda value, context: context.consent["marketing"], True),
        (lambda *both: len(both), 2),
        (with_optional_context, "e1"),
        (with_default, 3),
        (partial(lambda extra, value: extra, 7), 7),
        (Doubled(), "1212"),
        (len, 3),
        (bool, True),
    ],
)
def test_function_is_given_what_it_takes(function: Callable[..., Any], expected: Any) -> None:
    assert resolve(ObjectSpec(fn=function)) == expected


async def asynchronous(value: Any) -> Any: ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda: 1, r"must take \(value\) or \(value, context\), not \(\)"),
        (lambda a, b, c: 1, r"not \(a, b, c\)"),
        (asynchronous, "is async"),
    ],
)
def test_function_that_cannot_be_called_is_a_mistake_in_the_flow(
    function: Callable[..., Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=rf"data\.map\.x\.fn: .*{reason}"):
        compile_value(ObjectSpec(map={"x": ObjectSpec(fn=function)}), "data")


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ((1, (2, None)), [1, [2, None]]),
        ({"a": None, "b": {"c": float("nan"), "d": 1}}, {"b": {"d": 1}}),
        (Decimal("1.5"), 1.5),
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00+00:00"),
        (float("nan"), MISSING),
        (None, MISSING),
        (MISSING, MISSING),
    ],
)
def test_answer_becomes_json_by_the_rules_for_events(made: Any, expected: Any) -> None:
    assert resolve(ObjectSpec(fn=lambda value: made)) == expected


def test_failure_is_logged_once_with_its_place_and_without_a_persons_data(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = compile_value(
        ObjectSpec(fn=lambda value: int("ann@example.org")), "mapping.order.complete.data"
    )
    assert run(EVENT, SCOPE) is MISSING
    assert run(EVENT, SCOPE) is MISSING
    [record] = caplog.records
    assert (record.name, record.levelno) == ("walker_collector.mapping", logging.ERROR)
    text = record.getMessage()
    assert text.startswith("mapping.order.complete.data.fn: raised ValueError at ")
    assert "event e1" in text
    assert "ann@example.org" not in text


def test_answer_that_is_no_json_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    assert resolve(ObjectSpec(fn=lambda value: object(), value="default")) == "default"
    assert "data.fn: the answer is no JSON: value: an object cannot be" in caplog.text


def test_failing_condition_and_validate_say_no() -> None:
    def fail(value: Any) -> Any:
        raise RuntimeError

    assert resolve(ObjectSpec(key="price", condition=fail, value="default")) is MISSING
    assert resolve(ObjectSpec(key="price", validate=fail, value="default")) == "default"


def test_failure_costs_one_entry_and_the_others_stand() -> None:
    broken = ObjectSpec(fn=lambda value: value["nope"])
    assert resolve(ObjectSpec(map={"broken": broken, "price": PathSpec("price")})) == {
        "price": "12"
    }
    assert resolve(ObjectSpec(set=[broken, PathSpec("price")])) == [None, "12"]
    assert resolve(AlternativesSpec((broken, PathSpec("price")))) == "12"


def test_failing_items_of_a_loop_are_left_out() -> None:
    priced = ObjectSpec(fn=lambda item: int(item["price"]))
    assert resolve(ObjectSpec(loop=(PathSpec("items"), priced))) == [3]


def test_condition_and_validate_choose() -> None:
    cheap = ObjectSpec(key="price", validate=lambda price: int(price) < 10, value="dear")
    assert resolve(cheap) == "dear"
    assert resolve(ObjectSpec(key="price", condition=lambda event: event["id"] == "e1")) == "12"


def test_functions_see_null_that_a_mapping_would_prune() -> None:
    event = {"items": [{"price": None}]}
    keys = ObjectSpec(loop=(PathSpec("items"), ObjectSpec(fn=lambda item: list(item))))
    assert compile_value(keys)(event, LocalScope(event, {})) == [["price"]]


def test_inside_a_loop_the_context_has_the_event_and_its_consent() -> None:
    event = {"id": "e2", "items": [{}], "consent": {"own": True}}
    seen = ObjectSpec(fn=lambda item, context: [context.event["id"], dict(context.consent)])
    found = compile_value(ObjectSpec(loop=(PathSpec("items"), seen)))
    assert found(event, LocalScope(event, {"own": False})) == [["e2", {"own": True}]]
