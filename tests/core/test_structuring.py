"""From plain values to attrs classes: what is read, what is refused, and how it is said."""

from collections.abc import Callable, Mapping
from enum import Enum, StrEnum
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from walker_collector import ConfigError, Secret
from walker_collector.config import (
    MISSING,
    AlternativesSpec,
    BatchConfig,
    BreakerConfig,
    DestinationConfig,
    ObjectSpec,
    PathSpec,
    RuleConfig,
    ValueSpec,
)
from walker_collector.flow.types import structure, structure_or_raise
from walker_collector.mapping import Value
from walker_collector.validators import at_least, filled, positive

PATHS = st.text("abc.*0", min_size=0, max_size=6)
SPECS = st.recursive(
    PATHS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.fixed_dictionaries(
            {},
            optional={
                "key": PATHS,
                "value": st.none() | st.integers() | st.text(max_size=3),
                "map": st.dictionaries(st.text(max_size=3), st.none() | inner, max_size=3),
                "loop": st.tuples(inner, inner).map(list),
                "set": st.lists(st.none() | inner, max_size=2),
                "consent": st.dictionaries(
                    st.text(max_size=3).filter(str.isprintable), st.booleans(), max_size=2
                ),
            },
        ),
    ),
    max_leaves=8,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


class Size(Enum):
    SMALL = 1


@attrs.frozen(kw_only=True)
class Part:
    amount: float = 0.0
    tags: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True)
class Everything:
    """A settings class with a field of each kind."""

    site_id: str
    api_key: Secret | None = None
    color: Color | None = None
    size: Size | None = None
    region: Literal["us", "eu", 3] = "us"
    count: int = attrs.field(default=1, validator=at_least(1))
    rate: float | None = attrs.field(default=None, validator=positive)
    label: str = attrs.field(default="-", validator=filled)
    fast: bool = False
    part: Part | None = None
    parts: list[Part] = attrs.Factory(list)
    by_name: dict[str, Part] = attrs.Factory(dict)
    point: tuple[int, int] = (0, 0)
    mixed: str | int | list[str] = ""
    value: Value | None = None
    call: Callable[..., Any] | None = None
    plain: Any = None
    import_: str = ""
    other: str = attrs.field(default="", metadata={"key": "$other"})


def told(raw: Any, cls: Any = Everything, path: str = "") -> dict[str, str]:
    """Return the problems of reading `raw`, by place."""
    result, problems = structure(raw, cls, path)
    assert (result is None) == bool(problems)
    return {problem.path: problem.message for problem in problems}


def read(raw: Any, cls: Any = Everything) -> Any:
    return structure_or_raise(raw, cls)


def test_both_spellings_of_a_key_are_read() -> None:
    assert read({"siteId": "s", "byName": {}}) == read({"site_id": "s", "by_name": {}})


def test_keys_that_python_cannot_spell_are_read() -> None:
    everything = read({"siteId": "s", "import": "x", "$other": "y"})
    assert (everything.import_, everything.other) == ("x", "y")


def test_both_spellings_at_once_are_fine_only_where_they_agree() -> None:
    assert read({"siteId": "s", "site_id": "s"}).site_id == "s"
    assert told({"siteId": "s", "site_id": "t"}) == {
        "site_id": "contradicts siteId: they mean the same"
    }


def test_unknown_key_names_its_place_and_the_key_that_was_meant() -> None:
    assert told({"siteId": "s", "part": {"amuont": 1}}, path="d.settings") == {
        "d.settings.part.amuont": "unknown key; did you mean amount?"
    }


def test_unknown_key_in_other_case_is_recognised() -> None:
    assert told({"siteId": "s", "BYNAME": {}})["BYNAME"] == "unknown key; did you mean byName?"


def test_unknown_key_without_a_neighbour_lists_what_is_known() -> None:
    assert told({"zzzzzz": 1}, Part) == {"zzzzzz": "unknown key; known: amount, tags"}


def test_every_problem_is_found_at_once_under_the_keys_as_written() -> None:
    found = told(
        {
            "api_key": 1,
            "parts": [{"amount": "x"}, {}, 7],
            "byName": {"a.b": {"tags": ["x", 1]}},
            "count": 0,
        }
    )
    assert found == {
        "siteId": "required, but missing",
        "api_key": "expected a string, got a number",
        "parts[0].amount": "expected a number, got a string",
        "parts[2]": "expected an object, got a number",
        'byName["a.b"].tags[1]': "expected a string, got a number",
        "count": "must be at least 1, got 0",
    }


@pytest.mark.parametrize(
    ("key", "raw", "message"),
    [
        ("siteId", 5, "expected a string, got a number"),
        ("siteId", None, "expected a string, got null"),
        ("count", "5", "expected a whole number, got a string"),
        ("count", 1.5, "expected a whole number, got a number"),
        ("count", True, "expected a whole number, got a boolean"),
        ("rate", True, "expected a number, got a boolean"),
        ("rate", 0, "must be more than 0, got 0.0"),
        ("label", "", "must not be empty"),
        ("fast", 1, "expected true or false, got a number"),
        ("fast", "true", "expected true or false, got a string"),
        ("parts", "ab", "expected a list, got a string"),
        ("byName", [], "expected an object, got a list"),
        ("point", [1, 2, 3], "expected exactly 2 items, got 3"),
        ("count", {1}, "expected a whole number, got a value of type set"),
        ("region", "EU", "not one of the choices; did you mean eu?"),
        ("region", True, "not one of the choices; choices: 3, eu, us"),
        ("color", "rd", "not one of the choices; did you mean red?"),
        ("size", "x", "not one of the choices; choices: 1"),
        ("mixed", {}, "expected a string or a number or a list, got an object"),
        ("mixed", True, "expected a whole number, got a boolean"),
        ("call", 5, 'expected a callable, written "module:name", got a number'),
    ],
)
def test_wrong_values_are_refused_by_kind_and_never_shown(key: str, raw: Any, message: str) -> None:
    assert told({"siteId": "s", key: raw})[key] == message


@pytest.mark.parametrize(
    ("key", "raw", "expected"),
    [
        ("rate", 3, 3.0),
        ("count", 1e3, 1000),
        ("color", "blue", Color.BLUE),
        ("size", 1, Size.SMALL),
        ("region", 3, 3),
        ("point", [1, 2], (1, 2)),
        ("mixed", ["a"], ["a"]),
        ("mixed", 4, 4),
        ("part", {"tags": ["a"]}, Part(tags=frozenset("a"))),
        ("part", Part(amount=2), Part(amount=2)),
        ("plain", {"any": [None, 1]}, {"any": [None, 1]}),
        ("rate", None, None),
    ],
)
def test_values_are_read_as_their_types(key: str, raw: Any, expected: Any) -> None:
    name = {field.name: field.name for field in attrs.fields(Everything)}[key]
    result = getattr(read({"siteId": "s", key: raw}), name)
    assert result == expected
    assert type(result) is type(expected)


def test_secret_is_masked_and_keeps_its_text() -> None:
    settings = read({"siteId": "s", "apiKey": "hunter2"})
    assert "hunter2" not in repr(settings)
    assert settings.api_key.reveal() == "hunter2"


def test_front_raises_every_problem_with_the_source() -> None:
    with pytest.raises(ConfigError) as caught:
        structure_or_raise({"amount": "x", "tag": []}, Part, "p", "flow.json")
    assert str(caught.value) == (
        "flow.json: 2 problems\n"
        "  p.tag: unknown key; did you mean tags?\n"
        "  p.amount: expected a number, got a string"
    )


# --- mapping values ---------------------------------------------------------------------------


def test_value_is_a_path_alternatives_or_an_object() -> None:
    assert read("data.id", ValueSpec) == PathSpec("data.id")
    assert read(["a", {"key": "b"}], ValueSpec) == AlternativesSpec(
        (PathSpec("a"), ObjectSpec(key="b"))
    )
    spec = read({"loop": ["nested", {"map": {"a": "b", "none": None}}]}, ValueSpec)
    assert spec.loop == (PathSpec("nested"), ObjectSpec(map={"a": PathSpec("b"), "none": None}))


def test_value_that_is_built_already_is_taken_as_it_is() -> None:
    built = read({"key": "a"}, ValueSpec)
    assert read({"data": built}, RuleConfig).data is built


def test_value_of_null_is_a_value_and_absent_is_none() -> None:
    assert read({"value": None}, ValueSpec).value is None
    assert read({}, ValueSpec).value is MISSING


@pytest.mark.parametrize("raw", [None, 5, True, [None], [5]])
def test_nothing_else_is_a_value(raw: Any) -> None:
    assert list(told({"data": raw, "policy": {"x": 1}}, RuleConfig))[-1] == "policy.x"
    if raw is not None:
        assert len(told({"data": raw}, RuleConfig)) == 1


def test_loop_takes_exactly_two() -> None:
    assert told({"loop": ["a"]}, ValueSpec) == {
        "loop": 'expected exactly 2 items, got 1; write ["nested", {"map": {"sku": "data.sku"}}]'
    }


def test_unknown_key_in_a_value_is_refused() -> None:
    assert told({"map": {"a": {"kye": "b"}}}, ValueSpec) == {
        "map.a.kye": "unknown key; did you mean key?"
    }


@given(SPECS)
def test_every_value_of_the_language_is_read(raw: Any) -> None:
    assert isinstance(read(raw, ValueSpec), ValueSpec)


@given(JSON)
def test_reading_never_raises_and_places_are_below_the_given_one(raw: Any) -> None:
    result, problems = structure(raw, DestinationConfig, "d.config")
    assert (result is None) == bool(problems)
    assert all(problem.path.startswith("d.config") for problem in problems)


def test_plugin_value_knows_where_it_was_written() -> None:
    settings, _ = structure({"siteId": "s", "value": "user.id"}, Everything, "d.settings")
    assert settings is not None
    assert settings.value == Value(PathSpec("user.id"))
    assert settings.value.where == "d.settings.value"
    assert structure(settings.value, Value) == (settings.value, [])


def test_value_with_a_function_of_the_wrong_shape_is_refused() -> None:
    async def late(value: Any) -> Any:
        return value

    found = told({"siteId": "s", "value": {"fn": late}})
    assert found["value"] == "is async; a mapping calls plain functions"


# --- callables --------------------------------------------------------------------------------


def test_callable_is_given_or_named_by_module() -> None:
    assert read({"siteId": "s", "call": len}).call is len
    assert read({"siteId": "s", "call": "os.path:join"}).call is __import__("os").path.join
    assert read({"siteId": "s", "call": "datetime:datetime.now"}).call() is not None


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("os", 'expected a callable, written "module:name"'),
        ("os:", 'expected a callable, written "module:name"'),
        ("os:nope", "module os has no callable nope"),
        ("os:sep", "module os has no callable sep"),
        (
            "no_such_module:f",
            "cannot import module no_such_module (ModuleNotFoundError: No module named"
            " 'no_such_module'); install it, or put its folder on PYTHONPATH",
        ),
        (
            "$code:(v) => v",
            "JavaScript ($code:) cannot run here; write the Python function into a module"
            ' and "module:name"',
        ),
    ],
)
def test_what_cannot_be_called_says_what_to_do(reference: str, message: str) -> None:
    assert told({"fn": reference}, ValueSpec) == {"fn": message}


def test_javascript_as_a_value_is_refused() -> None:
    assert "JavaScript" in told("$code:x", ValueSpec)[""]


# --- the standard wrapper ---------------------------------------------------------------------


def test_bare_numbers_are_short_for_wait_and_threshold() -> None:
    config = read({"batch": 50, "breaker": 3}, DestinationConfig)
    assert config.batch == BatchConfig(wait=50)
    assert config.breaker == BreakerConfig(threshold=3)
    assert told({"batch": "50", "breaker": True}, DestinationConfig) == {
        "batch": 'expected an object or a number, got a string; write {"size": 100}',
        "breaker": "expected an object or a number, got a boolean",
    }


def test_silent_is_another_name_of_skip() -> None:
    assert read({"silent": True}, RuleConfig).skip is True
    assert read({"silent": True, "skip": True}, RuleConfig).skip is True
    assert told({"silent": True, "skip": False}, RuleConfig) == {
        "skip": "contradicts silent: they mean the same"
    }


def test_rules_are_single_or_a_list() -> None:
    raw = {"order": {"complete": {"name": "a"}, "*": [{"name": "b"}, {"name": "c"}]}}
    rules: Mapping[str, Any] = read({"mapping": raw}, DestinationConfig).mapping
    assert rules["order"]["complete"].name == "a"
    assert [rule.name for rule in rules["order"]["*"]] == ["b", "c"]


def test_problem_in_a_list_of_rules_names_its_position() -> None:
    raw = {"order": {"complete": [{"name": "a"}, {"nmae": "b"}], "view": 5}}
    assert told({"mapping": raw}, DestinationConfig) == {
        "mapping.order.complete[1].nmae": "unknown key; did you mean name?",
        "mapping.order.view": "expected an object, got a number",
    }


def test_include_names_sections_of_an_event() -> None:
    assert read({"include": ["data", "all"]}, RuleConfig).include == ["data", "all"]
    assert told({"include": ["usr"]}, RuleConfig) == {
        "include[0]": "not one of the choices; did you mean user?"
    }


def test_consent_takes_what_is_truthy_but_no_strings() -> None:
    assert read({"consent": {"a": 1, "b": 0, "c": None, "d": True}}, RuleConfig).consent == {
        "a": True,
        "b": False,
        "c": False,
        "d": True,
    }
    assert told({"consent": {"a": "false"}}, RuleConfig) == {
        "consent.a": "expected true or false, got a string"
    }
    assert told({"consent": ["a"]}, RuleConfig) == {
        "consent": 'expected an object of consent keys, such as {"marketing": true}, got a list'
    }


def test_validator_sees_the_fields_read_before_it() -> None:
    def below_high(instance: Any, _: Any, value: int) -> None:
        if value > instance.high:
            raise ValueError("must not be above high")

    @attrs.frozen
    class Range:
        high: int
        low: int = attrs.field(validator=below_high)

    assert read({"low": 1, "high": 2}, Range) == Range(2, 1)
    assert told({"low": 3, "high": 2}, Range) == {"low": "must not be above high"}
    assert told({"low": 3}, Range) == {"high": "required, but missing"}


def test_class_that_refuses_as_a_whole_is_a_problem_of_its_place() -> None:
    @attrs.frozen
    class Odd:
        a: int = 0

        def __attrs_post_init__(self) -> None:
            raise ValueError("never")

    assert told({"a": 1}, Odd, "d") == {"d": "never"}
