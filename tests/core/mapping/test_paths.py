"""Reading, writing and deleting by dotted path."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.cases import same
from tests.core.mapping.interpreter import read
from tests.core.mapping.strategies import EVENTS, JSON, PATHS
from walker_collector.config import MISSING
from walker_collector.mapping import compile_path, delete_by_path, get_by_path, set_by_path

PLAIN_PATHS = st.lists(st.sampled_from(["a", "b", "data"]), min_size=1, max_size=5).map(".".join)


@given(EVENTS | JSON, PATHS, st.just(MISSING) | JSON)
def test_path_is_read_segment_by_segment(value: Any, path: str, default: Any) -> None:
    expected = read(value, path.split("."), default) if path else value
    assert same(get_by_path(value, path, default), expected)


@given(EVENTS | JSON, PATHS | PLAIN_PATHS)
def test_compiled_path_reads_the_same(value: Any, path: str) -> None:
    assert same(compile_path(path)(value), get_by_path(value, path))


@pytest.mark.parametrize("path", ["a", "a.b", "a.b.c", "a.b.c.d"])
def test_path_of_any_length_finds_what_is_there(path: str) -> None:
    value: Any = "found"
    for key in reversed(path.split(".")):
        value = {key: value}
    assert compile_path(path)(value) == "found"
    assert compile_path(path)({}) is MISSING
    assert compile_path(path)("text") is MISSING


def test_length_of_a_list_can_be_read() -> None:
    assert get_by_path({"nested": [1, 2]}, "nested.length") == 2
    assert get_by_path({"nested": {"length": 7}}, "nested.length") == 7


@given(JSON.filter(lambda value: isinstance(value, dict)), PLAIN_PATHS, JSON)
def test_what_is_set_is_read_and_the_original_is_left_alone(
    value: Any, path: str, new: Any
) -> None:
    before = deepcopy(value)
    changed = set_by_path(value, path, new)
    assert same(value, before)
    if not any(isinstance(get_by_path(value, path[:at]), list) for at in _prefixes(path)):
        assert get_by_path(changed, path) is new


def _prefixes(path: str) -> list[int]:
    return [at for at, letter in enumerate(path) if letter == "."]


def test_setting_copies_only_what_lies_on_the_path() -> None:
    event: dict[str, Any] = {"data": {"id": 1, "deep": {"x": 1}}, "user": {"id": "u"}}
    changed = set_by_path(event, "data.id", 2)
    assert changed == {"data": {"id": 2, "deep": {"x": 1}}, "user": {"id": "u"}}
    assert changed["user"] is event["user"]
    assert changed["data"]["deep"] is event["data"]["deep"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("user.email", {"user": {"id": "u"}, "list": [1, 2]}),
        ("user", {"list": [1, 2]}),
        ("list.0", {"user": {"id": "u", "email": "e"}, "list": [None, 2]}),
        ("new.part", {"user": {"id": "u", "email": "e"}, "list": [1, 2], "new": {}}),
        ("list.name", {"user": {"id": "u", "email": "e"}, "list": [1, 2]}),
    ],
)
def test_setting_nothing_takes_away(path: str, expected: Any) -> None:
    event = {"user": {"id": "u", "email": "e"}, "list": [1, 2]}
    assert set_by_path(event, path, MISSING) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("list.1.a", {"list": [{"a": 1}, {"a": 9}]}),
        ("list.0.b.c", {"list": [{"a": 1, "b": {"c": 9}}]}),
        ("list.2", {"list": [{"a": 1}, None, 9]}),
        ("list.01", {"list": [{"a": 1}]}),
    ],
)
def test_lists_are_set_at_an_index(path: str, expected: Any) -> None:
    assert set_by_path({"list": [{"a": 1}]}, path, 9) == expected


@given(JSON, PATHS)
def test_what_is_deleted_is_gone_and_the_original_is_left_alone(value: Any, path: str) -> None:
    before = deepcopy(value)
    changed = delete_by_path(value, path)
    assert same(value, before)
    if same(changed, value):
        assert changed is value, "nothing was deleted, so nothing need be copied"


@pytest.mark.parametrize("path", ["x", "a.x", "a.b.c", "list.9", "list.-1", "list.x", "list.0.x"])
def test_deleting_what_is_not_there_changes_nothing(path: str) -> None:
    value = {"a": {"b": 1}, "list": [1]}
    assert delete_by_path(value, path) is value


def test_deleting_works_inside_of_lists() -> None:
    value = {"list": [{"a": 1, "b": 2}, {"a": 3}]}
    assert delete_by_path(value, "list.0.a") == {"list": [{"b": 2}, {"a": 3}]}
    assert delete_by_path([1, 2, 3], "1") == [1, 3]
