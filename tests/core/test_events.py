"""Events at the door: names, completion, every accepted type once, bounds, errors with a place."""

import enum
import itertools
import math
import sys
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import orjson
import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from walker_collector import EventError
from walker_collector.events import (
    KEYS,
    Bounds,
    Defaults,
    check_grants,
    check_parts,
    complete,
    decode,
    encode,
    event_of_json,
    split_name,
    whole,
)
from walker_collector.intake.reading import readable
from walker_collector.version import __version__

NOW = 1_700_000_000_123
WIDE = Bounds()


class Colour(enum.Enum):
    RED = "red"
    TAGS = ("a", "b")


class Size(enum.IntEnum):
    LARGE = 3


class Level(enum.StrEnum):
    HIGH = "high"


def completed(raw: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    count = itertools.count(7).__next__
    defaults = {"trace": "t1", "count": count, "release": "1.0", **changes}
    return complete(raw, NOW, 1.5, Defaults(lambda: "e1", **defaults))


def carried(value: Any, bounds: Bounds = WIDE) -> Any:
    """Return what comes out of an event that carries the value."""
    return decode(encode({"name": "a b", "data": {"x": value}}, bounds))["data"].get("x", "absent")


def refused(value: Any, bounds: Bounds = WIDE) -> str:
    """Return why an event that carries the value is refused."""
    with pytest.raises(EventError) as caught:
        encode({"name": "a b", "data": {"x": value}}, bounds)
    return str(caught.value)


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("order complete", ("order", "complete")),
        ("order complete now", ("order", "complete")),
        ("größe ändern", ("größe", "ändern")),
    ],
)
def test_first_two_words_of_a_name_are_entity_and_action(name: str, parts: Any) -> None:
    assert split_name(name) == parts


@pytest.mark.parametrize("name", ["", " ", "order", "order ", " order", "order  complete"])
def test_name_without_entity_and_action_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(EventError, match=r'"entity action".*order complete'):
        split_name(name)


@pytest.mark.parametrize(("name", "kind"), [(None, "missing"), (5, "int"), (b"a b", "bytes")])
def test_name_that_is_no_text_is_refused_by_its_kind(name: Any, kind: str) -> None:
    with pytest.raises(EventError, match=kind):
        split_name(name)


def test_refused_name_is_quoted_no_longer_than_a_line() -> None:
    with pytest.raises(EventError) as caught:
        split_name("x" * 10_000)
    assert len(str(caught.value)) < 250


def test_misspelt_part_is_refused_with_the_one_that_was_meant() -> None:
    check_parts(dict.fromkeys(KEYS))
    with pytest.raises(EventError, match=r"contex: unknown part of an event; did you mean context"):
        check_parts({"contex": {}})
    with pytest.raises(EventError, match=r"zzz: unknown part of an event; an event has name, data"):
        check_parts({"zzz": 1})


# --- completion ------------------------------------------------------------------------------


def test_bare_name_becomes_a_whole_event() -> None:
    assert completed({"name": "order complete now"}) == {
        "name": "order complete now",
        "data": {},
        "context": {},
        "globals": {},
        "custom": {},
        "user": {},
        "nested": [],
        "trigger": "",
        "entity": "order",
        "action": "complete",
        "timing": 1.5,
        "id": "e1",
        "timestamp": NOW,
        "source": {
            "type": "collector",
            "schema": "4",
            "count": 7,
            "trace": "t1",
            "release": {"default": "1.0"},
        },
    }


def test_what_the_application_says_stays() -> None:
    own = {
        "name": "a b",
        "id": "mine",
        "timestamp": NOW - 5,
        "timing": 9,
        "trigger": "click",
        "data": {"n": 1},
        "nested": ({"entity": "x"},),
        "source": {"type": "web", "count": 3},
    }
    event = completed(own)
    assert {key: event[key] for key in own if key != "source"} == {
        key: value for key, value in own.items() if key != "source"
    }
    assert event["source"] == {
        "type": "web",
        "count": 3,
        "trace": "t1",
        "release": {"default": "1.0"},
    }


def test_source_says_which_collectors_an_event_has_passed() -> None:
    def release(source: Any, **of_collector: Any) -> Any:
        return completed({"name": "a b", "source": source}, **of_collector)["source"]["release"]

    web = {"platform": "web", "release": {"browser": "7"}}
    assert release(web) == {"browser": "7", "web": "1.0"}
    assert release(web, name="shop", release="2") == {"browser": "7", "shop": "2"}
    assert release(None, name="shop", release=None) == {"shop": __version__}
    with pytest.raises(EventError, match=r"source\.release: must be an object"):
        release({"release": "7"})


def test_event_that_brings_its_number_does_not_advance_the_collectors() -> None:
    count = itertools.count(1).__next__
    sources: list[Any] = [None, {"count": 40, "trace": "theirs"}, {"count": None}, None]
    made = [completed({"name": "a b", "source": own}, count=count)["source"] for own in sources]
    assert [source["count"] for source in made] == [1, 40, 2, 3]
    assert [source["trace"] for source in made] == ["t1", "theirs", "t1", "t1"]


def test_key_that_no_event_has_is_left_out_and_told() -> None:
    told: list[Any] = []
    event = completed({"name": "a b", "dta": {"n": 1}, "group": "g"}, on_unknown=told.append)
    assert event == completed({"name": "a b"})
    assert told == ["dta", "group"]


def test_none_is_the_same_as_left_out() -> None:
    assert completed(dict.fromkeys(KEYS) | {"name": "a b"}) == completed({"name": "a b"})
    for key in (*KEYS[1:], "unknown"):
        assert completed({"name": "a b", key: None}) == completed({"name": "a b"})


def test_globals_and_user_of_the_process_lie_under_those_of_the_event() -> None:
    event = completed(
        {"name": "a b", "user": {"id": "u1"}, "globals": {"lang": "de"}},
        user={"id": "default", "plan": "pro"},
        globals={"lang": "en", "env": "live"},
    )
    assert event["user"] == {"id": "u1", "plan": "pro"}
    assert event["globals"] == {"lang": "de", "env": "live"}


def test_lists_of_the_process_and_of_the_event_are_united() -> None:
    event = completed(
        {"name": "a b", "user": {"tags": ["b", 1]}, "globals": {"shops": ("tea",), "n": [1]}},
        user={"tags": ["a", "b", True]},
        globals={"shops": ["tea", "pots"], "n": 1},
    )
    assert event["user"] == {"tags": ["a", "b", True, 1]}
    assert event["globals"] == {"shops": ["tea", "pots"], "n": [1]}


@pytest.mark.parametrize("part", ["data", "context", "globals", "custom", "user", "consent"])
def test_part_of_the_wrong_type_is_refused_by_name(part: str) -> None:
    with pytest.raises(EventError, match=rf"{part}: must be an object.*, not list .*'a b'"):
        completed({"name": "a b", part: [1]})


def test_nested_must_be_a_list_and_source_an_object() -> None:
    with pytest.raises(EventError, match="nested: must be a list, not dict"):
        completed({"name": "a b", "nested": {}})
    with pytest.raises(EventError, match="source: must be an object"):
        completed({"name": "a b", "source": "web"})


@pytest.mark.parametrize("value", [True, 1.5, [], b"x"])
def test_id_of_the_wrong_type_is_refused(value: Any) -> None:
    with pytest.raises(EventError, match=f"id: must be a string, not {type(value).__name__}"):
        completed({"name": "a b", "id": value})


@pytest.mark.parametrize(("value", "id"), [("x", "x"), (7, "7"), (0, "0"), (UUID(int=7), None)])
def test_id_may_be_text_a_number_or_a_uuid_and_is_text(value: Any, id: str | None) -> None:
    assert completed({"name": "a b", "id": value})["id"] == (id or str(value))


def test_empty_id_is_made_up_like_a_missing_one() -> None:
    assert completed({"name": "a b", "id": ""})["id"] == "e1"


# --- values ----------------------------------------------------------------------------------


@define
class Point:
    x: int
    _hidden: float = 2.0


@dataclass
class Place:
    name: str
    point: Point
    _note: str = "kept"
    tags: set[str] = dataclass_field(default_factory=set)


class Frozen(Mapping[str, Any]):
    """A mapping that is no dict."""

    def __init__(self, **values: Any) -> None:
        self._values = values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Real(float):
    pass


class Moment(datetime):
    pass


VALUES: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (0, 0),
    (-(2**63), -(2**63)),
    (2**64 - 1, 2**64 - 1),
    (1.5, 1.5),
    ("ä🙂", "ä🙂"),
    ([1, [2]], [1, [2]]),
    ((1, (2,)), [1, [2]]),
    ({2, 1}, [1, 2]),
    (frozenset({"b", "a"}), ["a", "b"]),
    ({1: "a", 2.5: "b"}, {"1": "a", "2.5": "b"}),
    ({UUID(int=1): 1}, {"00000000-0000-0000-0000-000000000001": 1}),
    ({date(2024, 2, 29): 1}, {"2024-02-29": 1}),
    ({Colour.RED: 1}, {"red": 1}),
    (Decimal("12.50"), 12.5),
    (UUID(int=255), "00000000-0000-0000-0000-0000000000ff"),
    (datetime(2024, 2, 29, 12, 0, 1, tzinfo=UTC), "2024-02-29T12:00:01+00:00"),
    (datetime(2024, 2, 29, 12, 0, 1, 5), "2024-02-29T12:00:01.000005+00:00"),
    (Moment(2024, 2, 29), "2024-02-29T00:00:00+00:00"),
    (date(2024, 2, 29), "2024-02-29"),
    (time(12, 30), "12:30:00"),
    (time(12, 30, tzinfo=UTC), "12:30:00+00:00"),
    (Colour.RED, "red"),
    (Colour.TAGS, ["a", "b"]),
    (Size.LARGE, 3),
    (Level.HIGH, "high"),
    (Text("t"), "t"),
    (Number(4), 4),
    (Real(0.5), 0.5),
    (OrderedDict(a=1), {"a": 1}),
    (MappingProxyType({"a": 1}), {"a": 1}),
    (Frozen(a=(1,)), {"a": [1]}),
    (Point(1), {"x": 1, "_hidden": 2.0}),
    (
        Place("here", Point(1), tags={"b", "a"}),
        {
            "name": "here",
            "point": {"x": 1, "_hidden": 2.0},
            "_note": "kept",
            "tags": ["a", "b"],
        },
    ),
]


@pytest.mark.parametrize(("value", "plain"), VALUES, ids=lambda item: type(item).__name__)
def test_python_value_becomes_json_once(value: Any, plain: Any) -> None:
    assert carried(value) == plain


@pytest.mark.parametrize(("value", "plain"), VALUES, ids=lambda item: type(item).__name__)
def test_python_value_becomes_the_same_beside_one_that_is_left_out(value: Any, plain: Any) -> None:
    assert carried([value, math.nan]) == [plain, None]


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")]
)
def test_number_that_json_lacks_is_left_out_of_objects_and_null_in_lists(value: Any) -> None:
    assert carried(value) == "absent"
    assert carried({"a": value, "b": None, "c": 1}) == {"b": None, "c": 1}
    assert carried([1, value]) == [1, None]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"x", "data.x: a bytes cannot be written"),
        ([1, {"deep": object()}], "data.x.1.deep: an object cannot be written"),
        (2**64, "data.x: an integer beyond 64 bits"),
        (-(2**63) - 1, "data.x: an integer beyond 64 bits"),
        ("\ud800", "data.x: text has a lone surrogate"),
        ({"\ud800": 1}, "data.x: the key of an object has a lone surrogate"),
        ({(1, 2): 3}, "data.x: a tuple cannot be the key"),
        ({None: 3}, "data.x: a NoneType cannot be the key"),
        (int, "data.x: a type cannot be written"),
    ],
    ids=range(9),
)
def test_what_json_lacks_is_refused_with_its_path(value: Any, reason: str) -> None:
    assert reason in refused(value)


class Hostile:
    """An object that fails when it is shown."""

    def __str__(self) -> str:
        raise RuntimeError("never")


class HostileMapping(Frozen):
    def __iter__(self) -> Iterator[str]:
        raise OSError("gone")


@define(init=False, repr=False)
class Unset:
    missing: int


@pytest.mark.parametrize(
    "value",
    [Hostile(), HostileMapping(), Unset(), {10**5000: 1}, {Hostile()}],
    ids=["object", "mapping", "attrs", "key", "set"],
)
def test_object_that_fails_is_refused_as_an_event(value: Any) -> None:
    with pytest.raises(EventError):
        readable(lambda: encode({"name": "a b", "data": {"x": value}}, Bounds()))


def test_event_that_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    assert "nested too deeply" in refused(loop)
    assert "nested too deeply" in refused(loop, Bounds(depth=100_000))


# --- bounds ----------------------------------------------------------------------------------


LEVELS: dict[str, Callable[[Any], Any]] = {
    "dict": lambda value: {"k": value},
    "list": lambda value: [value],
    "set": lambda value: frozenset((value,)),
    "attrs": Point,
    "mapping": lambda value: Frozen(k=value),
}


def nested(levels: int, kind: str) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = LEVELS[kind](value)
    return value


@pytest.mark.parametrize("kind", LEVELS)
def test_depth_is_bounded_whatever_it_is_made_of(kind: str) -> None:
    # Two levels are the event itself and its data.
    assert carried(nested(8, kind), Bounds(depth=10)) != "absent"
    message = refused(nested(9, kind), Bounds(depth=10))
    assert message.startswith("data.x.")
    assert "nested too deeply (collector.maxDepth)" in message


@pytest.mark.parametrize("levels", [900, 1_100, 1_300, 5_000])
def test_json_of_many_levels_is_an_error_of_its_event(levels: int) -> None:
    text = b'{"name":"a b","data":%b1%b' % (b'{"x":' * levels, b"}" * (levels + 1))
    with pytest.raises(EventError):
        encode(completed(whole(event_of_json(text, WIDE))), WIDE)


def test_many_shallow_values_are_not_deep() -> None:
    assert len(carried([{"a": [1]}] * 500, Bounds(depth=5))) == 500


def test_brackets_in_text_are_not_levels() -> None:
    assert carried("[{" * 100, Bounds(depth=3)) == "[{" * 100


def test_size_is_bounded_in_bytes_of_json() -> None:
    size = len(encode({"name": "a b", "data": {"x": "ä" * 100}}, Bounds()))
    assert carried("ä" * 100, Bounds(bytes=size)) == "ä" * 100
    message = refused("ä" * 100, Bounds(bytes=size - 1))
    assert "'a b'" in message
    assert f"{size} bytes" in message
    assert f"limit is {size - 1} (collector.maxBytes)" in message


# --- properties ------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), children, max_size=4)
    ),
    max_leaves=20,
)


@given(value=JSON)
def test_any_json_comes_back_as_it_was(value: Any) -> None:
    assert carried(value) == value


ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters()),
        st.binary(max_size=3),
        st.decimals(),
        st.uuids(),
        st.datetimes(timezones=st.none() | st.timezones()),
        st.dates(),
        st.times(),
        st.complex_numbers(),
        st.sampled_from([object(), Hostile(), int, Colour.TAGS, Size.LARGE, Unset(), len]),
        st.builds(Point, st.integers()),
    ),
    lambda children: (
        st.lists(children, max_size=4)
        | st.tuples(children, children)
        | st.dictionaries(
            st.one_of(
                st.text(st.characters(), max_size=3),
                st.integers(),
                st.floats(),
                st.none(),
                st.dates(),
                st.tuples(st.integers()),
                st.sampled_from(list(Colour)),
            ),
            children,
            max_size=4,
        )
        | st.builds(Point, children)
    ),
    max_leaves=15,
)


@given(parts=st.dictionaries(st.sampled_from([*KEYS, "other"]), ANYTHING, max_size=6))
def test_anything_at_all_is_an_event_or_an_event_error(parts: dict[str, Any]) -> None:
    try:
        body = encode(completed({"name": "a b", **parts}), WIDE)
    except EventError:
        return
    assert orjson.dumps(decode(body)) == body


def test_a_command_that_is_none_is_refused_as_an_event() -> None:
    with pytest.raises(
        EventError, match="'walker consnet' is no command; there are walker consent"
    ):
        split_name("walker consnet")


@pytest.mark.parametrize("name", ["Walker consent", "WALKER CONSENT", "walker Consent"])
def test_command_in_other_letters_is_refused_as_an_event(name: str) -> None:
    with pytest.raises(EventError, match=f"'{name}' is no command"):
        split_name(name)


@pytest.mark.parametrize("key", ["\ud800", "\x1b[2J", "a\nb", "x" * 100_000])
def test_refusal_that_quotes_an_event_can_be_shown_anywhere(key: str) -> None:
    with pytest.raises(EventError) as caught:
        check_grants({key: 1})
    shown = str(caught.value)
    assert shown.isprintable()
    assert len(shown) < 3_000
    shown.encode()


class Endless(Mapping[str, int]):
    """A mapping whose keys never end."""

    def __getitem__(self, key: str) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        return map(str, itertools.count())

    def __len__(self) -> int:
        return 1


def test_object_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # By its module: the package has a function of that name.
    monkeypatch.setattr(sys.modules["walker_collector.events.encode"], "_ITEMS_MAX", 100)
    with pytest.raises(EventError, match=r"data.a: more than 100 items"):
        encode({"name": "a b", "data": {"a": Endless()}}, Bounds())


@pytest.mark.parametrize("value", ["x" * 300, Decimal("1.5")], ids=["plain", "walked"])
def test_waiting_event_takes_little_more_memory_than_its_json(value: Any) -> None:
    event = {"name": "a b", "data": {"a": value, "b": "y" * 300}}
    tracemalloc.start()
    try:
        waiting = [encode(event, WIDE) for _ in range(100)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < sum(map(len, waiting)) + 100 * 100
