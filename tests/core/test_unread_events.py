"""Events completed without being built: the same as by `complete` and `encode`, or nothing."""

import itertools
import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from functools import partial
from typing import Any, Union

import msgspec
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.support import Record, config, flow, plugin
from tests.forms import examples
from tests.fuzz.mutation import Mutator
from tests.support import PATIENCE
from walker_collector import Collector, EventError, Secret
from walker_collector.events import (
    CONSENT_AT,
    UNTRUSTED,
    Bounds,
    Defaults,
    UnreadEvent,
    complete,
    complete_unread,
    encode,
    read_event,
    read_events,
)
from walker_collector.sources.file.lines import parse
from walker_collector.sources.http import Key, Settings
from walker_collector.sources.http.app import App
from walker_collector.spool.stored_delivery import json_string

WIDE = Bounds()
NOW = 1_700_000_000_123
USUAL: dict[str, Any] = {
    "name": "order complete",
    "data": {"id": "o1", "total": 5.5, "tags": ["a", {"b": None}], "text": 'q"\\ü\u2028'},
    "context": {"stage": ["checkout", 1]},
    "globals": {"lang": "de"},
    "custom": {"c": [1, [2]]},
    "user": {"id": "u1", "device": "d1", "session": "s1", "email": "u1@example.com"},
    "nested": [{"entity": "product", "data": {"sku": "x"}, "nested": []}],
    "trigger": "load",
    "entity": "order",
    "action": "complete",
    "timing": 1.5,
    "id": "e1",
    "timestamp": NOW - 5,
    "source": {"type": "web", "platform": "web", "count": 3, "release": {"a": "1"}},
    "consent": {"marketing": True, "statistics": False},
}
SHORT: dict[str, Any] = {"name": "page view", "user": {"session": "s2"}}
ALL_DEFAULTS: Mapping[str, Any] = {
    "user": {"tier": 1, "id": "nobody"},
    "globals": {"lang": "en", "list": [1]},
    "name": "shop",
    "release": "7",
}


BY_NAME = msgspec.json.Decoder(
    Union[  # noqa: UP007 - of those made here
        tuple(
            msgspec.defstruct(
                "Event",
                [(key, Any, msgspec.UNSET) for key in USUAL.keys() - {"name"}],
                tag_field="name",
                tag=name,
            )
            for name in (USUAL["name"], SHORT["name"])
        )
    ]
)
"""Decodes as destinations do that read a part of their events, whose structure the name tells."""


def defaults(**more: Any) -> Defaults:
    return Defaults(lambda: "made", trace="t", count=itertools.count(7).__next__, **more)


def spliced(
    text: bytes, bounds: Bounds = WIDE, **more: Any
) -> tuple[Mapping[str, Any], bytes] | None:
    event = read_event(text)
    return event and complete_unread(event, NOW, 2.5, defaults(**more), bounds)


def built(text: bytes, bounds: Bounds = WIDE, **more: Any) -> bytes:
    raw = parse(text, bounds.bytes)
    return encode(complete(raw, NOW, 2.5, defaults(**more)), bounds)


def read(body: bytes) -> Any:
    """Return the value of a JSON text, in which 1, 1.0 and true differ."""
    return typed(orjson.loads(body))


def typed(value: Any) -> Any:
    """Return a value with the types of all its parts."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value), value


def compact(event: Any) -> bytes:
    return orjson.dumps(event)


@pytest.mark.parametrize("more", [{}, ALL_DEFAULTS], ids=["plain", "with defaults"])
@pytest.mark.parametrize("event", [USUAL, SHORT], ids=["all parts", "few parts"])
def test_it_is_what_a_built_event_is_written_as(
    event: dict[str, Any], more: Mapping[str, Any]
) -> None:
    for key in (None, *event):
        text = compact({part: value for part, value in event.items() if part != key})
        done = spliced(text, **more)
        assert (done is None) == (key == "name")
        if done is not None:
            assert read(done[1]) == read(built(text, **more))


def test_parts_that_are_null_are_left_out() -> None:
    text = compact({**dict.fromkeys(USUAL.keys() - {"consent", "id"}), "name": "page view"})
    done = spliced(text)
    assert done is not None
    assert read(done[1]) == read(built(text))


def test_a_time_may_be_text() -> None:
    text = compact({**SHORT, "timestamp": "2023-11-14T22:13:20.5+01:00"})
    done = spliced(text)
    assert done is not None
    assert read(done[1]) == read(built(text))


@pytest.mark.parametrize("spelt", [b"x\\/1", b"\\u00e9", b'"x\\"y"'[1:-1]])
def test_an_id_with_escapes_is_found_as_it_is_usually_spelt(spelt: bytes) -> None:
    done = spliced(b'{"name":"page view","id":"%b"}' % spelt)
    assert done is not None
    assert json_string(done[0]["id"]) in done[1]


def test_it_tells_what_an_event_is_decided_by() -> None:
    done = spliced(compact(USUAL))
    assert done is not None
    assert done[0] == {key: USUAL[key] for key in ("name", "id", "user", "consent")}
    event = read_event(compact(USUAL))
    assert event is not None
    marks = {"untrusted": True, "stated_by": NOW * 1_000}
    marked = complete_unread(event, NOW, 2.5, defaults(), Bounds(), **marks)
    assert marked is not None
    written = orjson.loads(marked[1])
    assert (written[UNTRUSTED], written[CONSENT_AT]) == (True, USUAL["timestamp"] * 1_000)
    assert marked[0][CONSENT_AT] == written[CONSENT_AT]


@pytest.mark.parametrize(
    "damage",
    [
        b'{"name":"a b","data":{"x":"\xff"}}',
        b'{"name":"a b","data":{"\xed\xa0\x80":1}}',
        b'{"name":"a b","data":{"x":"\\ud800"}}',
        b'{"name":"a b","data":{"x":1e999}}',
        b'{"name":"a b","data":[1e+400]}',
        b'{"name":"a b","data":{"x":[ -12.5E400]}}',
        b'{"name":"a b","data":{"x":18446744073709551616}}',
        b'{"name":"a b","data":{"x":NaN}}',
        b'{"name":"a b","data":{"x":01}}',
        b'{"name":"a b","data":{"x":"\x01"}}',
        b'{"name":"a b","data":[]}',
        b'{"name":"a b","nested":[1]}',
        b'{"name":"a b","nested":{}}',
        b'{"name":"a b","trigger":1}',
        b'{"name":"a b","timing":"1"}',
        b'{"name":"a b","timing":true}',
        b'{"name":"a b","timestamp":1.5}',
        b'{"name":"a b","timestamp":1}',
        b'{"name":"a b","timestamp":"yesterday"}',
        b'{"name":"a b","timestamp":"1800-01-01"}',
        b'{"name":"a b","timestamp":true}',
        b'{"name":"a b","id":" "}',
        b'{"name":"a b","id":""}',
        b'{"name":"a b","id":null}',
        b'{"name":"a b","id":17}',
        b'{"name":"a b","consent":null}',
        b'{"name":"a b","text":"c2VjcmV0"}',
        b'{"name":"a b","text":null}',
        b'{"name":"a b","id":0}',
        b'{"name":"a b","id":1.5}',
        b'{"name":"a b","entity":""}',
        b'{"name":"a b","consent":{"x":1}}',
        b'{"name":"a b","consent":{"":true}}',
        b'{"name":"a b","source":{"release":1}}',
        b'{"name":"a b","unknown":1}',
        b'{"name":"a"}',
        b'{"name":"walker consent","data":{"x":true}}',
        b'{"name":"walker x"}',
        b'{"name":"a b","data":' + b'{"x":' * 32 + b"1" + b"}" * 33,
        b'{"name":"a b","data":' + b'{"}":{"x":' * 20 + b"1" + b"}" * 41,
        b'{"name":"a b","data":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"name":"a b","data":{"x":"' + b"x" * 200_000 + b'"}}',
        b'\xef\xbb\xbf{"name":"a b"}',
        b'[{"name":"a b"}]',
    ],
)
def test_unusual_events_are_left_to_those_that_build_them(damage: bytes) -> None:
    assert spliced(damage) is None


@pytest.mark.parametrize("depth", [1, 3, 4, 5, 32])
@pytest.mark.parametrize("text", ["x", "{[", "}]"])
def test_levels_are_counted_as_in_a_built_event(depth: int, text: str) -> None:
    for levels in range(max(1, depth - 3), depth + 2):
        value: Any = text
        for level in range(levels):
            value = [value, {}] if level % 2 else {"k": value}
        event = {"name": "a b", "data": {"v": value, "more": [[]] * 40}}
        bounds = Bounds(depth=depth)
        done = spliced(compact(event), bounds)
        try:
            expected = built(compact(event), bounds)
        except EventError:
            assert done is None
        else:
            assert done is None or read(done[1]) == read(expected)


def test_an_event_of_many_parts_is_no_deep_one() -> None:
    event = {**USUAL, "nested": [{"entity": "p", "data": {"n": at}} for at in range(40)]}
    event["data"] = {"text": "{[ ]}"}
    done = spliced(compact(event))
    assert done is not None
    assert read(done[1]) == read(built(compact(event)))


values = st.recursive(
    st.sampled_from([None, True, "", "x", '"', "\\", "{", "]", 1e15, -0.0, 5e-324, 0, "ü"])
    | st.integers(-(2**64), 2**65)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)
pairs = st.tuples(st.sampled_from([*UnreadEvent.__struct_fields__, "unknown", "batch"]), values)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Return the JSON of an event with some parts changed, some named twice, some bytes spoilt."""
    event = deepcopy(draw(st.sampled_from([USUAL, SHORT])))
    parts = [*event.items(), *draw(st.lists(pairs, max_size=3))]
    parts = draw(st.permutations(parts)) if draw(st.booleans()) else parts
    parts = parts[: draw(st.integers(1, len(parts)))] if draw(st.booleans()) else parts
    ascii_only, spaced = draw(st.booleans()), draw(st.booleans())
    separators = (", ", ": ") if spaced else (",", ":")
    written = [
        json.dumps(key) + separators[1] + json.dumps(value, ensure_ascii=ascii_only)
        for key, value in parts
    ]
    text = ("{" + separators[0].join(written) + "}").encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)) == 0:
        text = Mutator(draw(st.integers(0, 2**32)), [USUAL]).damage(text)
    return text


@examples(300)
@example(b'{"name":"a b","data":{"a":1,"a":{"b":1,"b":2}},"data":{"c":1}}', False, 32)
@example(b'{"name":"a b","user":{"id":1,"id":"2"},"user":null}', True, 32)
@given(texts(), st.booleans(), st.integers(3, 40))
def test_random_events_are_the_same_as_built_ones(text: bytes, more: bool, depth: int) -> None:
    bounds, given_ = Bounds(depth=depth), ALL_DEFAULTS if more else {}
    done = spliced(text, bounds, **given_)
    if done is not None:
        decisive, body = done
        assert body.startswith(b'{"name":%b,' % orjson.dumps(decisive["name"]))
        expected = orjson.loads(built(text, bounds, **given_))
        assert read(body) == typed(expected)
        assert typed(json.loads(body)) == typed(expected)  # for any reader
        with suppress(msgspec.ValidationError):  # it has another name: such are decoded whole
            decoded = msgspec.structs.asdict(BY_NAME.decode(body))
            parts = {key: item for key, item in decoded.items() if item is not msgspec.UNSET}
            assert typed({"name": decisive["name"], **parts}) == typed(expected)
        for key, value in decisive.items():
            assert expected[key] == value


def test_lists_are_read_in_each_of_their_forms() -> None:
    one, two = compact(USUAL), compact(SHORT)
    assert isinstance(read_events(one), UnreadEvent)
    for text in (b"[%b,%b]" % (one, two), b'{"batch":[%b,%b]}' % (one, two)):
        found = read_events(text)
        assert isinstance(found, list)
        assert [dict(event.whole()) for event in found] == [USUAL, SHORT]
    command = b'{"name":"walker user","data":{}}'
    for text in (
        b"[%b,%b]" % (one, command),
        b"[%b,1]" % one,
        b'{"batch":[%b],"writeKey":"k"}' % one,
        b'{"batch":1}',
        b"[",
        b"",
        b"[[%b]]" % one,
    ):
        assert read_events(text) is None


# --- the same answers over HTTP, and the same deliveries ---------------------------------------


class Twin:
    """A collector with an application in front of it, which reads events in one of the two ways."""

    def __init__(self, *, reads_whole: bool, **settings: Any) -> None:
        self.record = Record()
        refused = (plugin(self.record.push), config(consent={"marketing": True}))
        self.collector = Collector(
            flow({"out": (plugin(self.record.push), config()), "gated": refused}, people_max=1_000)
        )
        self._began = time.time_ns() // 1_000_000
        self._app = App(
            partial(self.collector.push_from, None), Settings(**settings), reads_whole=reads_whole
        )

    def answers(self, body: bytes) -> Any:
        """Return the answer to a body, and the figures after it; without times and made ids."""
        headers = {"X-Write-Key": "k"}
        status, _, text = self._app.respond("POST", "/collect", headers, body, "192.0.2.7")
        said = self._known(json.loads(text))
        assert self.collector.flush(PATIENCE)
        events = [self._known(event) for event in self.record.events]
        self.record.events.clear()
        figures = self.collector.status()
        return (
            status,
            said,
            sorted(events, key=lambda event: json.dumps(event, sort_keys=True)),
            figures.accepted,
            figures.repeated,
            figures.corrected,
            figures.destinations["gated"].held,
        )

    def _known(self, value: Any) -> Any:
        """Return a value without that which differs from run to run."""
        if isinstance(value, dict):
            return {key: self._known(item) for key, item in value.items() if key != "timing"}
        if isinstance(value, list | tuple):
            return [self._known(item) for item in value]
        if isinstance(value, str) and re.fullmatch("[0-9a-f]{16}([0-9a-f]{16})?", value):
            return "made"
        if isinstance(value, int):
            ms = value // 1000 if value > 1e14 else value  # stamps are in microseconds
            return "now" if 0 <= ms - self._began < 600_000 else value
        return value


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ip": "truncated", "learn_consent": False},
        {"keys": {"web": Key(key=Secret("k"))}},
    ],
    ids=["usual", "address", "limited"],
)
def test_both_ways_answer_and_deliver_alike(settings: dict[str, Any]) -> None:
    twins = [Twin(reads_whole=way, **settings) for way in (False, True)]

    @examples(60)
    @given(st.lists(texts(), min_size=1, max_size=3), st.sampled_from(["one", "list", "batch"]))
    def both(some: list[bytes], form: str) -> None:
        body = some[0] if form == "one" else b"[%b]" % b",".join(some)
        body = b'{"batch":%b}' % body if form == "batch" else body
        seen = [twin.answers(body) for twin in twins]
        assert seen[0] == seen[1]

    try:
        both()
    finally:
        for twin in twins:
            twin.collector.close(PATIENCE)
