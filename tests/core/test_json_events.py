"""Events as bytes of JSON: the same as the mappings that they are of."""

import asyncio
import json
import string
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import Clock, Record, flow, plugin
from tests.forms import examples
from tests.support import PATIENCE
from walker_collector import Collector, PushResult
from walker_collector.events import UnreadEvent

NOW = 1_700_000_000_500
Given = Mapping[str, Any] | bytes

NAMES = st.sampled_from(
    ["order complete", "page view", "page", "", "walker consent", "walker user"]
)
TEXTS = st.text(string.ascii_letters + 'üé"\\\u2028\0', max_size=6)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
IDS = st.none() | st.sampled_from(["a", "b", "", "c\n", 7, 2**63, 1.5, True])
USERS = st.fixed_dictionaries(
    {}, optional={"id": IDS, "device": IDS, "session": IDS, "email": TEXTS}
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=3)
EVENTS = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "id": st.sampled_from(["e1", "e2", "", 5, None]),
        "data": OBJECTS | VALUES,
        "context": OBJECTS,
        "globals": OBJECTS,
        "custom": OBJECTS,
        "user": USERS | VALUES,
        "consent": st.dictionaries(st.sampled_from(["marketing", "a b"]), st.booleans() | VALUES),
        "timestamp": st.sampled_from([1_700_000_000_000, "2023-11-14T22:13:20Z", 0, "soon", None]),
        "trigger": TEXTS,
        "nested": st.lists(OBJECTS, max_size=2) | VALUES,
        "date": VALUES,
    },
)


def outcome(events: Iterable[Given]) -> tuple[list[Any], list[Any], list[str]]:
    """Push events; return their results, what the destination got, and whose some keys are."""
    record, number = Record(), count()
    collector = Collector(
        flow(plugin(record.push)), now=Clock(NOW), new_id=lambda: f"made {next(number)}"
    )
    with collector:
        results = [shown(result) for result in collector.push_many(events)]
        assert collector.flush(PATIENCE)
        canonical = collector._life.runtime.consents.canonical
        people = [canonical(f"{kind}:{name}") for kind in ("device", "session") for name in "ab7"]
    for event in record.events:
        del event["source"]["trace"]  # the collector's own
    return results, record.events, people


def shown(result: object) -> object:
    return result if isinstance(result, PushResult) else f"{type(result).__name__}: {result}"


@given(st.lists(EVENTS, min_size=2, max_size=8))
@examples(30)
def test_events_as_json_are_accepted_as_their_mappings_are(events: list[dict[str, Any]]) -> None:
    assert outcome(json.dumps(event).encode() for event in events) == outcome(events)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["push_many", "apush_many"])
def test_bytes_and_mappings_may_come_together(asynchronous: bool) -> None:
    events: list[Any] = [
        b'{"name": "order complete", "data": {"n": 1}, "user": {"id": "ines"}}',
        {"name": "order complete", "data": {"n": 2}},
        b' {"name": "order complete", "data": {"n": 3}, "timing": null}',
        b'{"name": "order complete", "data": []}',
        b'"order complete"',
        b'[{"name": "order complete"}]',
        b'{"name": "order complete", "data": {"n": NaN}}',
        b'{"name": "order complete", "data": {"n": 18446744073709551616}}',
        b'{"name": "order complete", "data": {"n": "\xff"}}',
        b"",
        bytearray(b'{"name": "order complete"}'),
    ]
    with Collector(flow(plugin((record := Record()).push))) as collector:
        if asynchronous:
            results = asyncio.run(collector.apush_many(events))
        else:
            results = collector.push_many(events)
        assert collector.flush(PATIENCE)
    assert [isinstance(result, PushResult) for result in results] == [
        *[True] * 3, False, True, *[False] * 6,
    ]  # fmt: skip
    assert [event["data"].get("n") for event in record.events] == [1, 2, 3, None]
    assert [event["user"].get("id") for event in record.events] == ["ines", None, None, None]
    said = [shown(result) for result in results if not isinstance(result, PushResult)]
    expected = [
        "EventError: data: must be an object, not list (event 'order complete')",
        "EventError: an event is a name or a mapping, not list; ",
        "EventError: event is not JSON: ",
        "EventError: data.n: an integer beyond 64 bits; send it as text",
        "EventError: event is not JSON: ",
        "EventError: event is not JSON: ",
        "EventError: an event is a name or a mapping, not bytearray; ",
    ]
    assert [str(text)[: len(start)] for text, start in zip(said, expected, strict=True)] == expected


def test_usual_event_as_json_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UnreadEvent, "whole", None)
    monkeypatch.setattr("walker_collector.intake.completing.complete", None)
    text = b'{"name": "order complete", "data": {"n": 1}, "user": {"id": "ines"}}'
    with Collector(flow(plugin((record := Record()).push))) as collector:
        assert [type(result) for result in collector.push_many([text])] == [PushResult]
        assert collector.flush(PATIENCE)
    assert record.numbers == [1]


def test_json_far_longer_than_an_event_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    with Collector(flow(plugin(Record().push), max_bytes=1_000)) as collector:
        spaces = b'{"name": "order complete",%b"data": {}}' % (b" " * 3_000)
        (accepted,) = collector.push_many([spaces])
        monkeypatch.setattr(orjson, "loads", None)
        (refused,) = collector.push_many([b" " * 5_000])
    assert isinstance(accepted, PushResult)
    assert shown(refused) == (
        "EventError: event has 5,000 bytes of JSON; the limit is 1,000 (collector.maxBytes)"
    )
