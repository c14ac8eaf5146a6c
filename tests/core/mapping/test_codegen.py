"""What a mapping plainly says is done by code that is written for it."""

import inspect
import sys
from enum import StrEnum
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given

from tests.core.mapping.interpreter import resolve
from tests.core.mapping.strategies import CONSENT, EVENTS, JSON, PLAIN_SPECS, STRANGE
from tests.forms import examples
from walker_collector.config import MISSING, ObjectSpec, PathSpec, Secret, ValueSpec
from walker_collector.mapping import codegen, compile_value
from walker_collector.mapping.codegen import CallNode, LoopNode, ObjectNode, ReadNode, write
from walker_collector.mapping.pruning import prune
from walker_collector.mapping.scope import LocalScope

thorough = examples(100)


def found(spec: ValueSpec, value: Any, consent: Any = None) -> Any:
    return compile_value(spec)(value, LocalScope(value, consent or {}))


def nested(spec: ValueSpec, **steps: Any) -> ObjectSpec:
    return ObjectSpec(map={"it": spec}, **steps)


def looped(spec: ValueSpec) -> ObjectSpec:
    return ObjectSpec(loop=(PathSpec("list"), spec))


@thorough
@given(PLAIN_SPECS, EVENTS | JSON, CONSENT)
def test_finds_what_the_rules_say_to_the_letter_and_in_the_order_of_the_mapping(
    spec: ValueSpec, value: Any, consent: Any
) -> None:
    expected = resolve(spec, value, {"id": "e1"}, consent)
    answer = compile_value(spec)(value, LocalScope({"id": "e1"}, consent))
    assert repr(answer) == repr(expected)


@given(STRANGE, STRANGE, STRANGE)
@example("'", '"', "\\")
@example("{}", "{0}", "%s")
@example("\n", "\r\n\u2028", "\0")
@example("\ud800", "\N{SNAKE}", "'''")
@example("'] = 1 #", "found", "a" * 100_000)
def test_names_are_data_whatever_they_look_like(key: str, name: str, default: str) -> None:
    spec = ObjectSpec(
        map={
            key: PathSpec(name),
            f"{key} below": PathSpec(f"object.{name}.deep"),
            f"{key} if none": ObjectSpec(key=f"no{name}", value=default),
        }
    )
    assert found(spec, {name: 1, "object": {name: {"deep": 2}}}) == {
        key: 1,
        f"{key} below": 2,
        f"{key} if none": default,
    }


def test_key_of_a_type_of_its_own_stays_what_it_is() -> None:
    class Key(StrEnum):
        PRICE = "price"

    (key,) = found(ObjectSpec(map={Key.PRICE: PathSpec("data.price")}), {"data": {"price": 1}})
    assert key is Key.PRICE


def test_secret_that_stands_for_what_is_missing_is_delivered_as_text() -> None:
    spec = nested(ObjectSpec(key="no", value=Secret("s3cret")))
    assert found(spec, {})["it"] == "s3cret"
    assert "s3cret" not in repr(spec)


@pytest.mark.parametrize(
    "default", [float("inf"), -0.0, pytest.param(10**5000, id="huge"), True, ""]
)
def test_any_scalar_may_stand_for_what_is_missing(default: Any) -> None:
    answer = found(nested(ObjectSpec(key="no", value=default)), {"no": None})["it"]
    assert answer is default


def test_what_is_found_is_not_copied() -> None:
    event: Any = {"data": {"a": [{"b": 1}]}, "list": [{"c": {}}]}
    answer = found(nested(PathSpec("data.a")), event)
    assert answer["it"] is event["data"]["a"]
    assert found(looped(PathSpec("c")), event)[0] is event["list"][0]["c"]


def test_function_is_called_once_for_each_item_and_judges_by_its_own_event() -> None:
    calls: list[Any] = []

    def see(value: Any, context: Any) -> Any:
        calls.append((value["n"], context.event["id"], dict(context.consent)))
        return value["n"]

    event = {"id": "e1", "list": [{"n": 1}, None, {"n": 2}], "consent": {"m": True}}
    assert found(looped(nested(ObjectSpec(fn=see))), event) == [{"it": 1}, {"it": 2}]
    assert calls == [(1, "e1", {"m": True}), (2, "e1", {"m": True})]


@pytest.mark.parametrize("wrap", [nested, looped])
@pytest.mark.parametrize("depth", [7, 8, 9, 17, 100])
def test_deeply_nested_values_are_found(wrap: Any, depth: int) -> None:
    spec: ValueSpec = PathSpec("a")
    event: Any = {"a": 1}
    expected: Any = 1
    for _ in range(depth):
        spec = wrap(spec)
        event = event if wrap is nested else {"list": [event]}
        expected = {"it": expected} if wrap is nested else [expected]
    assert found(spec, event) == expected


def test_map_of_thousands_of_fields() -> None:
    spec = ObjectSpec(map={f"key {at}": PathSpec(f"data.field{at}.x") for at in range(5_000)})
    event = {"data": {f"field{at}": {"x": at} for at in range(5_000)}}
    assert found(spec, event) == {f"key {at}": at for at in range(5_000)}


def test_code_is_written_at_the_first_call_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def spy(*args: Any) -> Any:
        written.append(args)
        return write(*args)

    monkeypatch.setattr(codegen, "write", spy)
    spec = compile_value(nested(PathSpec("a")))
    assert not written
    for value in (1, 2):
        assert spec({"a": value}, LocalScope({}, {})) == {"it": value}
    assert len(written) == 1


def test_traceback_tells_which_value_of_the_flow_it_was() -> None:
    files: list[str] = []

    def look(value: Any) -> None:
        frame: FrameType | None = sys._getframe()
        while frame:
            files.append(frame.f_code.co_filename)
            frame = frame.f_back

    where = 'mapping["odd\0\n\ud800"].data'
    compile_value(nested(ObjectSpec(fn=look)), where)({}, LocalScope({}, {}))
    assert f"<mapping {where!a}>" in files


def test_example_in_the_documentation_is_what_is_written() -> None:
    entries = (("id", ReadNode(("id",), 1)), ("total", CallNode(lambda value, scope: MISSING)))
    code, names = write(
        LoopNode(ReadNode(("nested",)), ObjectNode(entries), uses_scope=True), prune, "data"
    )
    assert code in inspect.cleandoc(codegen.__doc__ or "").replace("\n    ", "\n")
    assert names["default8"] == 1
