"""What is decoded in part is what decoding and mapping the whole event makes."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson
import pytest
from attrs import field, frozen
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.cases import Surroundings, load
from tests.core.mapping.strategies import FIELDS, JSON, PLAIN_SPECS, SPECS, STRANGE
from tests.forms import examples, form
from walker_collector import MISSING, Value
from walker_collector.config import (
    AlternativesSpec,
    DestinationConfig,
    ObjectSpec,
    PathSpec,
    RuleConfig,
    ValueSpec,
)
from walker_collector.events import KEYS, Bounds, complete, encode
from walker_collector.events.defaults import Defaults
from walker_collector.flow.types import structure_or_raise
from walker_collector.mapping import LocalScope, compile_rules
from walker_collector.mapping.partial_decode import PartialRules, compile_partial
from walker_collector.mapping.paths import split

NOW = 1_700_000_000_000
CONSENT = {"marketing": True}
KEY = st.sampled_from(
    ["a", "b", "id", "price", "list", "it's", "größe", "class", "f0", "\N{SNAKE}"]
)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=True, allow_infinity=True)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
VALUES = st.recursive(
    JSON | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY | TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEY | TEXT, VALUES, max_size=4)
NESTED = st.lists(
    st.fixed_dictionaries({}, optional={"entity": VALUES, "data": OBJECTS | VALUES, "a": VALUES}),
    max_size=3,
)
EVENTS = st.fixed_dictionaries(
    {"name": st.sampled_from(["order complete", "order view", "page view", 'odd "name"'])},
    optional={
        "data": OBJECTS,
        "user": OBJECTS,
        "globals": OBJECTS,
        "custom": OBJECTS,
        "context": OBJECTS,
        "nested": NESTED,
        "trigger": TEXT,
        "source": st.fixed_dictionaries({"type": VALUES}),
        "consent": st.dictionaries(st.sampled_from(["m", "s"]), st.booleans(), max_size=2),
    },
)
SEVERAL_EVENTS = st.lists(EVENTS, min_size=form(1, 5), max_size=form(1, 5))
"""Events for one mapping: to draw a mapping for each takes most of the time of many examples."""
PARTS = st.sampled_from(["data", "user", "globals", "custom", "nested", "source", "consent"])
PATHS = st.builds(
    lambda part, rest: ".".join([part, *rest]),
    PARTS | st.sampled_from([*KEYS, "unknown", "untrusted", "list", "a"]),
    st.lists(KEY | st.sampled_from(["*", "0", "data", "length"]), max_size=3),
)
LEAVES = PATHS.map(PathSpec) | st.builds(ObjectSpec, key=PATHS, value=JSON) | FIELDS
ITEM_PATHS = st.lists(KEY | st.just("data"), min_size=1, max_size=2).map(".".join)
ITEM_LEAVES = ITEM_PATHS.map(PathSpec) | st.builds(ObjectSpec, key=ITEM_PATHS, value=JSON)


def _maps(inner: st.SearchStrategy[ValueSpec]) -> st.SearchStrategy[ValueSpec]:
    return st.dictionaries(KEY, inner, max_size=5).map(lambda entries: ObjectSpec(map=entries))


def _loops(
    inputs: st.SearchStrategy[str], items: st.SearchStrategy[ValueSpec]
) -> st.SearchStrategy[ValueSpec]:
    return st.tuples(inputs.map(PathSpec), items).map(lambda loop: ObjectSpec(loop=loop))


ITEMS = st.recursive(ITEM_LEAVES, lambda inner: _maps(inner) | _loops(ITEM_PATHS, inner))
LOOPS = _loops(st.sampled_from(["nested", "data.list", "data.a", "nested.0.data"]) | PATHS, ITEMS)
ALTERNATIVES = st.lists(LEAVES, max_size=3).map(lambda items: AlternativesSpec(tuple(items)))
COMMON = st.recursive(LEAVES | LOOPS | ALTERNATIVES, _maps, max_leaves=10)
DATA = st.none() | COMMON | _maps(COMMON) | PLAIN_SPECS | SPECS
RULES = st.dictionaries(
    st.sampled_from(["order", "page", "*"]),
    st.dictionaries(
        st.sampled_from(["complete", "view", "*"]),
        st.builds(RuleConfig, data=DATA, name=st.sampled_from([None, "bought", "'größe'"])),
        max_size=2,
    ),
    max_size=2,
)


@frozen
class Settings:
    values: list[Value] = field(factory=list)


def body_of(event: dict[str, Any]) -> bytes:
    """Return an event's JSON as it is kept until its delivery."""
    made = complete(event, NOW, 1.5, Defaults(lambda: "e1", trace="t"))
    return encode(made, Bounds())


def wholly(config: DestinationConfig, body: bytes) -> tuple[dict[str, Any], Any, Any]:
    event = {**orjson.loads(body), "consent": CONSENT}
    mapped = compile_rules(config).mapper(event, LocalScope(event, CONSENT))
    assert mapped.outcome == "deliver"
    return mapped.event, mapped.data, mapped.rule and mapped.rule.key


def partially(rules: PartialRules, body: bytes) -> tuple[dict[str, Any], Any, Any]:
    read = rules.decode(body)
    rule = rules.of_kind[type(read)]
    event = rule.event(read, CONSENT)
    data = rule.data(read, LocalScope(event, CONSENT), event) if rule.data else MISSING
    return event, data, rule.rule and rule.rule.key


def rules_of(
    config: DestinationConfig, reads: tuple[str, ...] = (), settings: Any = None
) -> PartialRules | None:
    return compile_partial(reads, settings, compile_rules(config).simple_steps)


def same_either_way(
    config: DestinationConfig,
    event: dict[str, Any],
    reads: tuple[str, ...],
    settings: Any = None,
    *,
    spelt_otherwise: bool = False,
) -> bool:
    """Assert that both ways make the same; return whether the event was decoded in part."""
    body = body_of(event)
    if spelt_otherwise:  # as JSON may come from elsewhere
        body = json.dumps(orjson.loads(body), separators=(",", ":")).encode()
    rules = rules_of(config, reads, settings)
    if rules is None or rules.rule_of(event["name"]) is None:
        return False
    whole = wholly(config, body)
    made = [found for found in either_way(rules, event["name"], body) if found]
    for event, *mapped in made:
        assert repr(mapped) == repr([*whole[1:]])
        for key, value in event.items():
            assert repr(value) == repr(whole[0][key]), key
        for path in reads:
            part = split(path)[0][0]
            assert (part in event) == (part in whole[0]), part
        for value in settings.values if settings else ():
            one, other = (value(each, LocalScope(each, CONSENT)) for each in (event, whole[0]))
            assert repr(one) == repr(other)
    return bool(made)


def either_way(
    rules: PartialRules, name: str, body: bytes
) -> Iterator[tuple[dict[str, Any], Any, Any] | None]:
    """Yield what is made of an event: of scalars alone, and of values of any type."""
    yield fitting(rules, body)
    loosen(rules, name)
    yield fitting(rules, body)


def loosen(rules: PartialRules, name: str) -> None:
    """Make the rule of a name take values of any type, as if some events had not fitted."""
    for _ in range(100):
        rules.note_whole(name, rules.decode)
    rule = rules.rule_of(name)
    assert rule is not None
    assert not rule.scalars


def fitting(rules: PartialRules, body: bytes) -> tuple[dict[str, Any], Any, Any] | None:
    try:
        return partially(rules, body)
    except msgspec.ValidationError:
        return None


@examples(form(120, 150))
@given(
    RULES,
    st.none() | DATA,
    SEVERAL_EVENTS,
    st.lists(PATHS, max_size=2).map(tuple),
    st.lists(SPECS | COMMON, max_size=2),
)
def test_makes_the_same_of_any_event_under_any_mapping(
    rules: Any, common: Any, events: Any, reads: tuple[str, ...], specs: list[ValueSpec]
) -> None:
    settings = Settings([Value(spec) for spec in specs])
    config = DestinationConfig(mapping=rules, data=common)
    for event in events:
        same_either_way(config, event, reads, settings)


@examples(form(120, 100))
@given(_maps(COMMON), SEVERAL_EVENTS, st.booleans())
def test_makes_the_same_of_any_event_under_a_rule_that_reads_plainly(
    data: Any, events: Any, spelt_otherwise: bool
) -> None:
    config = DestinationConfig(mapping={"*": {"*": RuleConfig(data=data)}})
    for event in events:
        same_either_way(config, event, (), spelt_otherwise=spelt_otherwise)


@given(STRANGE, STRANGE, VALUES)
def test_keys_are_data_whatever_they_look_like(key: str, other: str, value: Any) -> None:
    if any("\ud800" <= character <= "\udfff" for character in key + other):
        return
    data = ObjectSpec(map={"a": PathSpec(f"data.{key}"), "b": PathSpec(f"data.{key}.{other}")})
    config = DestinationConfig(mapping={"*": {"*": RuleConfig(data=data)}})
    event = {"name": "order complete", "data": {key: {other: value}, other: value}}
    same_either_way(config, event, (f"globals.{key}",))


@pytest.mark.parametrize(
    "parts",
    [
        '"data":{"a":1,"a":2}',
        '"data":{"a":{"b":1},"a":{"c":2}}',
        '"data":{"a":"text","a":{"b":2}}',
        '"data":{"a":1},"data":{"c":{"b":2}}',
        '"nested":[{"a":1}],"nested":[{"a":2},{"a":3,"a":4}]',
        '"data":{"\\u0061":1,"a\\u0301":2}',
        '"data":{"a":-0,"b":1E2,"c":{"b":0.10e+1,"b":18446744073709551615}}',
        '"data":{"a":null,"c":null},"nested":null',
        '"data":{"a":"\\ud83d\\ude00\\/"}',
        '"name":"order view"',
    ],
)
def test_json_is_read_as_if_decoded_as_a_whole(parts: str) -> None:
    body = f'{{"name":"order complete","id":"e1","data":{{}},"nested":[],{parts}}}'.encode()
    item = ObjectSpec(loop=(PathSpec("nested"), ObjectSpec(map={"a": PathSpec("a")})))
    paths = {path: PathSpec(path) for path in ("data.a", "data.c.b", "data.c.c", "data.b")}
    data = ObjectSpec(map={**paths, "items": item})
    config = DestinationConfig(mapping={"order": {"complete": RuleConfig(data=data)}})
    rules = rules_of(config)
    assert rules is not None
    assert rules.rule_of("order complete") is not None
    for found in either_way(rules, "order complete", body):
        assert found is None or repr(found[1]) == repr(wholly(config, body)[1])


CASES = [
    case
    for case in load("event.ndjson", "event") + load("edge_cases.ndjson", "event")
    if isinstance(case["event"].get("name"), str)
]


def test_conformance_cases_are_mapped_as_a_whole_or_in_part() -> None:
    count = 0
    for case in CASES:
        config = structure_or_raise(_without_extend(case["config"]), DestinationConfig, "config")
        compiled = compile_rules(config)
        whole = {"name": "", **case["event"], "id": "e1"}
        body = orjson.dumps(whole)
        rules, name = compile_partial((), None, compiled.simple_steps), whole["name"]
        if rules is None or rules.rule_of(name) is None:
            continue
        mapped = compiled.mapper(whole, Surroundings(whole, case.get("consent", {})))
        same = repr(mapped.data), mapped.rule and mapped.rule.key
        *first, last = either_way(rules, name, body)
        for event, data, key in filter(None, (*first, last)):
            assert ((repr(data), key), event["name"]) == (same, mapped.event["name"]), case["id"]
        assert last is not None
        count += 1
    assert count > len(CASES) / 4


def _without_extend(raw: Any) -> Any:
    if isinstance(raw, dict):
        return {key: _without_extend(part) for key, part in raw.items() if key != "extend"}
    return raw


def test_values_that_are_no_scalars_are_read_in_part_once_they_are_usual() -> None:
    data = ObjectSpec(map={"a": PathSpec("data.a"), "b": PathSpec("data.b.c")})
    config = DestinationConfig(mapping={"order": {"complete": RuleConfig(data=data)}})
    rules = rules_of(config)
    assert rules is not None
    body = body_of({"name": "order complete", "data": {"a": [1], "b": {"c": 2}}})
    rule = rules.rule_of("order complete")
    assert rule is not None
    assert rule.scalars
    assert fitting(rules, body) is None
    rules.note_whole("order complete", rules.decode)
    assert rules.rule_of("order complete") is rule  # one may be an exception
    loosen(rules, "order complete")
    assert partially(rules, body)[1] == {"a": [1], "b": 2}


def test_rule_is_compiled_anew_once_however_many_events_do_not_fit() -> None:
    rules = rules_of(
        DestinationConfig(
            mapping={"order": {"complete": RuleConfig(data=PathSpec("data.a.k"))}},
        )
    )
    assert rules is not None
    body = body_of({"name": "order complete", "data": {"a": "neither a scalar nor an object"}})
    seen = []
    for _ in range(100):
        assert fitting(rules, body) is None
        rules.note_whole("order complete", rules.decode)
        if (rule := rules.rule_of("order complete")) not in seen:
            seen.append(rule)
    assert [rule is not None and rule.scalars for rule in seen] == [True, False]


def test_events_of_many_names_have_a_rule_each() -> None:
    data = ObjectSpec(map={"a": PathSpec("data.a")})
    rules = rules_of(DestinationConfig(mapping={"*": {"*": RuleConfig(data=data)}}))
    assert rules is not None
    names = ["order complete", "a b", "größe 1", 'odd "name"', "back\\slash ä", "e " + "x" * 98]
    bodies = [body_of({"name": name, "data": {"a": name}}) for name in names]
    for name, body in zip(names, bodies, strict=True):
        assert fitting(rules, body) is None
        rules.note_whole(name, rules.decode)
    for name, body in zip(names, bodies, strict=True):
        event, found, _ = partially(rules, body)
        assert (event["name"], found) == (name, {"a": name})


def test_an_only_name_may_have_any_letters() -> None:
    rules = rules_of(DestinationConfig())
    assert rules is not None
    rules.note_whole("größe wahl", rules.decode)
    event, _, _ = partially(rules, body_of({"name": "größe wahl"}))
    assert event["name"] == "größe wahl"


def test_events_of_commands_and_of_names_without_end_are_decoded_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("walker_collector.mapping.partial_decode._NAMES_MAX", 20)
    rules = rules_of(DestinationConfig())
    assert rules is not None
    for name in ("walker consent", "order " + 100 * "x"):
        rules.note_whole(name, rules.decode)
        assert rules.rule_of(name) is None
    names = [f"page {at}" for at in range(50)]
    assert sum(rules.rule_of(name) is not None for name in names) == 19


def test_event_says_nothing_of_a_rule_that_came_after_it() -> None:
    rules = rules_of(DestinationConfig())
    assert rules is not None
    before = rules.decode
    for _ in range(100):
        rules.note_whole("page view", before)
    rule = rules.rule_of("page view")
    assert rule is not None
    assert rule.scalars
