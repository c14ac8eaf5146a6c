"""Compiled values agree with the rules of the language, whatever the mapping and the event."""

from copy import deepcopy
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.conformance.cases import same
from tests.core.mapping.interpreter import resolve
from tests.core.mapping.strategies import CONSENT, EVENTS, JSON, MAPS, NEVER_NULLABLE, SPECS
from tests.forms import examples
from walker_collector.config import MISSING, AlternativesSpec, ObjectSpec, PathSpec, ValueSpec
from walker_collector.mapping import Value, compile_value
from walker_collector.mapping.scope import LocalScope

thorough = examples(100)


def nulls_in_objects(value: Any) -> bool:
    if isinstance(value, dict):
        return any(child is None or nulls_in_objects(child) for child in value.values())
    return isinstance(value, list) and any(map(nulls_in_objects, value))


@thorough
@given(SPECS, EVENTS | JSON, CONSENT)
def test_compiled_value_is_what_the_rules_say(spec: ValueSpec, value: Any, consent: Any) -> None:
    found = compile_value(spec)(value, LocalScope({"id": "e1"}, consent))
    assert same(found, resolve(spec, value, {"id": "e1"}, consent))


@thorough
@given(MAPS, EVENTS, CONSENT)
def test_fields_of_a_map_are_what_the_rules_say_in_its_order(
    spec: ObjectSpec, event: Any, consent: Any
) -> None:
    found = compile_value(spec)(event, LocalScope(event, consent))
    assert same(found, resolve(spec, event, event, consent))
    assert list(found) == [key for key in spec.map or {} if key in found]


@thorough
@given(SPECS, EVENTS, CONSENT)
def test_neither_event_nor_mapping_is_changed(spec: ValueSpec, event: Any, consent: Any) -> None:
    before, said = deepcopy(event), deepcopy(spec)
    compile_value(spec)(event, LocalScope(event, consent))
    assert same(event, before)
    assert spec == said


@thorough
@given(NEVER_NULLABLE, EVENTS, CONSENT)
def test_no_null_leaf_leaves_a_mapping_that_is_not_nullable(
    spec: ValueSpec, event: Any, consent: Any
) -> None:
    found = compile_value(spec)(event, LocalScope(event, consent))
    assert found is not None
    assert not nulls_in_objects(found)


def spoil(value: Any) -> None:
    """Change every container of the value in place."""
    for child in value.values() if isinstance(value, dict) else list(value):
        if isinstance(child, dict | list):
            spoil(child)
    value.clear()


CONTAINERS = JSON.filter(lambda value: isinstance(value, dict | list))


@given(CONTAINERS, st.sampled_from(["*", "nothing", "*.a"]))
@example({"deep": [{"a": 1}]}, "*")
def test_value_of_the_configuration_is_never_shared(value: Any, path: str) -> None:
    said = ObjectSpec(map={"it": ObjectSpec(key=path, value=value), "own": ObjectSpec(value=value)})
    resolve_it = compile_value(said)
    scope = LocalScope({}, {})
    first = resolve_it([{}], scope)
    expected = deepcopy(first)
    spoil(first)
    assert same(resolve_it([{}], scope), expected)


def test_empty_slot_of_a_list_is_no_item_of_a_loop() -> None:
    event = {"list": [None, {"a": 1}, None]}
    found = compile_value(ObjectSpec(loop=(PathSpec("list"), ObjectSpec(value="item"))))
    assert found(event, LocalScope(event, {})) == ["item"]


def test_null_is_not_the_list_a_loop_asks_for() -> None:
    event = {"none": None, "list": [{"a": 1}]}
    either = AlternativesSpec((PathSpec("none"), PathSpec("list")))
    found = compile_value(ObjectSpec(loop=(either, PathSpec("a"))))
    assert found(event, LocalScope(event, {})) == [1]


def test_values_are_equal_by_what_they_say_and_show_nothing_of_it() -> None:
    secret = ObjectSpec(value="s3cret")
    assert Value(secret, "settings.token") == Value(ObjectSpec(value="s3cret"))
    assert Value(PathSpec("a")) != Value(PathSpec("b"))
    assert repr(Value(secret, "settings.token")) == "<Value settings.token>"


def test_value_is_called_with_event_and_context() -> None:
    event = {"id": "e1", "user": {"id": "u1"}}
    scope = LocalScope(event, {})
    assert Value(PathSpec("user.id"))(event, scope) == "u1"
    assert Value(PathSpec("user.name"))(event, scope) is MISSING


def test_no_value_resolves_to_nothing() -> None:
    assert compile_value(None)({"a": 1}, LocalScope({}, {})) is MISSING
