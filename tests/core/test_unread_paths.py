"""Paths that no event has are warnings: the data would be empty, without a word."""

from typing import Any

import pytest

from walker_collector.flow import load_flow


def warnings(**config: Any) -> list[str]:
    settings = {"siteId": "s", "apiKey": "k", **config.pop("settings", {})}
    entry = {"package": "customerio", "config": {"settings": settings, **config}}
    start = "destinations.cio.config."
    return [
        text.removeprefix(start) for text in load_flow({"destinations": {"cio": entry}}).warnings
    ]


@pytest.mark.parametrize(
    ("value", "warning"),
    [
        (
            {"map": {"t": "total"}},
            "data.map.t: an event has no part total; did you mean data.total, or a constant:"
            ' {"value": "total"}?',
        ),
        (
            {"map": {"t": {"key": "dta.total", "value": 1}}},
            "data.map.t.key: an event has no part dta; did you mean data.total?",
        ),
        (
            {"map": {"t": ["data.a", "event.data.b"]}},
            "data.map.t[1]: an event has no part event; did you mean data.b?",
        ),
        (
            {"map": {"t": {"set": ["data.a", "usr.id"]}}},
            "data.map.t.set[1]: an event has no part usr; did you mean user.id?",
        ),
        (
            {"map": {"t": {"loop": ["nestd", {"map": {"sku": "sku"}}]}}},
            "data.map.t.loop[0]: an event has no part nestd; did you mean nested?",
        ),
        (
            {"map": {"t": {"loop": ["this", "y"]}}},
            "data.map.t.loop[1]: an event has no part y; did you mean data.y, or a constant:"
            ' {"value": "y"}?',
        ),
    ],
)
def test_path_that_begins_with_no_part_of_an_event(value: Any, warning: str) -> None:
    assert warnings(data=value) == [warning]
    in_rule = warnings(mapping={"a": {"b": {"data": value}}})
    assert in_rule == [f"mapping.a.b.{warning}"]


def test_values_of_settings_and_policies_are_looked_at() -> None:
    found = warnings(
        settings={"customerId": "usr.id"},
        policy={"user.id": "usr.id"},
        mapping={"a": {"b": {"settings": {"identify": {"map": {"x": "usr.x"}}}}}},
    )
    assert [text.split(":")[0] for text in found] == [
        'policy["user.id"]',
        "settings.customerId",
        "mapping.a.b.settings.identify.map.x",
    ]


def test_paths_that_may_find_something_are_none() -> None:
    value = {"map": {"a": "nested.*.data.x", "b": "", "c": {"loop": ["nested", "sku"]}, "d": "x.y"}}
    assert warnings(data=value, policy={"x.y": "data.z"}) == []
    assert warnings(data=["consent.a", "timing", {"value": "total"}, {"map": {"a": "id"}}]) == []
