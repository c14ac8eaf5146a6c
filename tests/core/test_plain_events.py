"""Events of applications completed without being built: as by `complete` and `encode`, or not."""

import enum
import itertools
import math
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.forms import examples
from walker_collector import EventError
from walker_collector.events import (
    IDENTIFIERS,
    Bounds,
    Defaults,
    complete,
    complete_plain,
    decode,
    encode,
)

WIDE = Bounds()
NOW = 1_700_000_000_123
USUAL: dict[str, Any] = {
    "name": "order complete",
    "data": {"id": "o1", "total": 5.5, "coupon": None, "tags": ["a", {"b": None}], "x": 'q"\\ü'},
    "context": {"stage": ["checkout", 1]},
    "globals": {"lang": "de"},
    "custom": {"c": [1, [2]], "null": "null"},
    "user": {"id": "u1", "device": "d1", "session": "s1", "email": "u1@example.com"},
    "nested": [{"entity": "product", "data": {"sku": "x"}, "nested": []}],
    "trigger": "load",
    "timing": 1.5,
    "id": "e1",
    "timestamp": NOW - 5,
    "consent": {"marketing": True, "statistics": False},
}
ALL_DEFAULTS: Mapping[str, Any] = {
    "user": {"tier": 1, "id": "nobody"},
    "globals": {"lang": "en", "list": [1]},
    "name": "shop",
    "release": "7",
}


class _Broken(enum.Enum):
    ONE = 1

    @property
    def value(self) -> Any:
        raise RuntimeError("code of the application has run")


class _Text(str):
    """Text of the application's own type."""


def defaults(**more: Any) -> Defaults:
    return Defaults(lambda: "made", trace="t", count=itertools.count(7).__next__, **more)


def plain(event: Any, bounds: Bounds = WIDE, **more: Any) -> tuple[dict[str, Any], bytes] | None:
    return complete_plain(event, NOW, 2.5, defaults(**more), bounds)


def built(event: Any, bounds: Bounds = WIDE, **more: Any) -> dict[str, Any]:
    return decode(encode(complete(event, NOW, 2.5, defaults(**more)), bounds, event))


@pytest.mark.parametrize("more", [{}, ALL_DEFAULTS], ids=["plain", "with defaults"])
def test_it_is_the_event_that_would_be_built(more: Mapping[str, Any]) -> None:
    for order in (list(USUAL), list(reversed(USUAL))):
        for key in (None, *USUAL):
            event = {part: USUAL[part] for part in order if part != key}
            before = deepcopy(event)
            done = plain(event, **more)
            assert (done is None) == (key == "name")
            if done is not None:
                assert decode(done[1]) == built(event, **more)
                assert done[1].startswith(b'{"name":"order complete",')
            assert event == before


def test_it_tells_the_parts_that_an_event_is_decided_by() -> None:
    done = plain(USUAL)
    assert done is not None
    assert done[0] == {key: USUAL[key] for key in ("name", "id", "user", "consent")}
    done = plain({"name": "page view"})
    assert done is not None
    assert done[0] == {"name": "page view", "id": "made", "user": {}}


def test_a_new_run_has_a_new_trace() -> None:
    some = defaults()
    traces = []
    for _ in range(2):
        some.begin_run()
        done = complete_plain({"name": "page view"}, NOW, 2.5, some, WIDE)
        assert done is not None
        source = decode(done[1])["source"]
        assert (source["trace"], source["count"]) == (some.trace, 1)
        traces.append(source["trace"])
    assert traces[0] != traces[1]


@pytest.mark.parametrize(
    "more",
    [
        {"data": {"x": math.nan}},
        {"data": {"a": None, "x": [math.inf]}},
        {"data": {"x": _Broken.ONE}},
        {"data": {"x": [({"y": _Broken.ONE},)]}},
        {"data": {"x": datetime(2026, 1, 1, tzinfo=UTC)}},
        {"data": {"x": Decimal("1.5")}},
        {"data": {"x": {1, 2}}},
        {"data": {"x": 2**64}},
        {"data": {"x": "\ud800"}},
        {"data": {1: 2}},
        {"data": []},
        {"data": None},
        {"nested": [1]},
        {"nested": ({},)},
        {"timestamp": 1},
        {"timestamp": "2026-01-01"},
        {"timestamp": NOW + 100_000_000},
        {"timing": 1},
        {"timing": math.nan},
        {"id": ""},
        {"id": 17},
        {"id": "x" * 1_000},
        {"consent": {"marketing": 1}},
        {"consent": {"": True}},
        {"entity": "order"},
        {"source": {"type": "web"}},
        {"unknown": 1},
        {_Text("data"): {}},
    ],
)
def test_unusual_events_are_left_to_those_that_build_them(more: dict[Any, Any]) -> None:
    assert plain({"name": "page view", **more}) is None


def test_keys_of_another_type_leave_events_with_equal_keys_usual() -> None:
    parts = {"custom": {}, "trigger": "load", "globals": {}}  # in an order of this test alone
    assert plain({"name": "a b", **{_Text(key): value for key, value in parts.items()}}) is None
    assert plain({"name": "a b", **parts}) is not None


def test_a_structure_that_holds_itself_is_left_to_those_that_build_them() -> None:
    circle: list[Any] = []
    circle += [circle, circle]
    assert plain({"name": "page view", "data": {"x": circle}}) is None


@pytest.mark.parametrize("depth", [1, 3, 4, 5, 6, 32])
@pytest.mark.parametrize("others", [0, 40])
def test_levels_are_counted_as_in_a_built_event(depth: int, others: int) -> None:
    for levels in range(max(1, depth - 3), depth + 2):
        value: Any = "x"
        for level in range(levels):
            value = [value, {}] if level % 2 else {"k": value}
        event = {"name": "a b", "data": {"v": value, "more": [[]] * others}}
        bounds = Bounds(depth=depth)
        done = plain(event, bounds)
        try:
            expected = built(event, bounds)
        except EventError:
            assert done is None
        else:
            assert done is None or decode(done[1]) == expected


def test_an_event_within_all_bounds_is_not_left_to_those_that_build_it() -> None:
    event = {"name": "a b", "data": {"items": [{"a": {"b": [at]}} for at in range(1_000)]}}
    assert plain(event) is not None
    assert plain(event, Bounds(bytes=1_000)) is None


_ODD = st.sampled_from(
    [math.nan, Decimal(1), UUID(int=7), _Broken.ONE, _Text("own"), (1, (2,)), {3}, object()]
)
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_VALUES = st.recursive(
    st.one_of(_SCALARS, _SCALARS, _ODD),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an event, mostly one of usual parts, in any order."""
    chosen = draw(st.lists(st.sampled_from([*USUAL, "entity", "source"]), unique=True, max_size=8))
    event: dict[str, Any] = {}
    for key in draw(st.permutations([*chosen, *([] if "name" in chosen else ["name"])])):
        usual = USUAL.get(key, "x")
        if key in ("data", "context", "globals", "custom", "user"):
            made = st.dictionaries(st.text(max_size=3), _VALUES, max_size=3)
            event[key] = draw(st.just(usual) | made | made)
        elif key != "name" and draw(st.integers(0, 9)) == 0:
            event[key] = draw(_VALUES)
        else:
            event[key] = usual
    return event


@examples(500)
@given(events(), st.booleans(), st.integers(3, 40))
def test_random_events_are_the_same_as_built_ones(
    event: dict[str, Any], more: bool, depth: int
) -> None:
    bounds, given_defaults = Bounds(depth=depth), ALL_DEFAULTS if more else {}
    done = plain(event, bounds, **given_defaults)
    if done is not None:
        assert decode(done[1]) == built(event, bounds, **given_defaults)
        whole = complete(event, NOW, 2.5, defaults(**given_defaults))
        assert done[0] == {key: whole[key] for key in done[0]}
        assert (
            orjson.loads(orjson.dumps(done[0]["user"])).keys() >= IDENTIFIERS & whole["user"].keys()
        )


class _Key(enum.StrEnum):
    TIMING = "timing"


def test_keys_of_another_type_are_left_to_those_that_build_events_once_there_are_defaults() -> None:
    assert plain({"timing": 1.5, "custom": {}, "name": "order complete"}) is not None
    equal = {_Key.TIMING: 1.5, "custom": {}, "name": "order complete"}
    assert plain(equal, **ALL_DEFAULTS) is None
