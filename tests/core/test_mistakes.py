"""Calls that are written wrong: the error says what to write instead."""

import asyncio
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import pytest

from tests.core.support import PATIENCE, event, flow, plugin, running
from walker_collector import (
    Collector,
    CollectorClosed,
    ConfigError,
    EventError,
    SpoolFull,
    segment,
)
from walker_collector.config import SpoolConfig
from walker_collector.testing import Recorder
from walker_collector.usage import answering_wrong_calls

RIGHT = 'push("order complete", data={...})'


async def aiter_of_nothing() -> AsyncIterator[dict[str, Any]]:
    for item in ():
        yield item


@pytest.fixture
def collector() -> Iterator[Any]:
    """A collector whose calls are not type-checked."""
    with Recorder().collector() as made:
        yield made


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda c: c.push("order complete", {"total": 1}),
            f"push: the parts of an event are given by name; write {RIGHT}",
        ),
        (
            lambda c: c.push("order complete", {"total": 1}, {"id": "u1"}),
            f"push: takes one event, and its parts by name; write {RIGHT}",
        ),
        (
            lambda c: c.push({"name": "order complete"}, {"total": 1}),
            f"push: the parts of an event are given by name; write {RIGHT}",
        ),
        (
            lambda c: c.push("order complete", date={}),
            "date: unknown part of an event; did you mean data?",
        ),
        (
            lambda c: c.push("order complete", properties={"total": 1}),
            "properties: unknown part of an event; did you mean data?",
        ),
        (
            lambda c: c.push("order complete", user_id="u1"),
            'user_id: unknown part of an event; did you mean user={"id": ...}?',
        ),
        (
            lambda c: asyncio.run(c.apush_many(aiter_of_nothing())),
            "apush_many: takes a list of events; "
            "collect them: apush_many([event async for event in events])",
        ),
        (lambda c: c.push("a b", name="c d"), "push: name: it is the first argument already"),
        (
            lambda c: c.push("order complete", user="ines"),
            'user: must be an object such as {"id": "u1"}, not str (event \'order complete\')',
        ),
        (
            lambda c: c.push("a b", consent=True),
            "consent: must be an object such as {\"marketing\": true}, not bool (event 'a b')",
        ),
        (
            lambda c: c.push({"event": "order complete", "data": {}}),
            'event name is missing, and stands under "name", not under "event"; '
            'write "entity action", such as "order complete"',
        ),
        (
            lambda c: c.push({"data": {}}),
            'event name is missing; write "entity action", such as "order complete"',
        ),
        (
            lambda c: c.push("ordercomplete"),
            "event name 'ordercomplete' is not \"entity action\": two words with one space "
            'between, such as "order complete"',
        ),
        (
            lambda c: c.push(7),
            'an event is a name or a mapping, not int; write push("order complete", data={...})',
        ),
        (
            lambda c: c.consent("marketing"),
            "consent: takes an object of keys, granted or not, not str; write "
            'consent({"marketing": True}, user={"id": "u1"})',
        ),
        (
            lambda c: c.consent({"marketing": True}, "ines"),
            'consent: user needs an id, a device or a session, such as {"id": "u1"}',
        ),
        (lambda c: c.push(), f"push: takes an event; write {RIGHT}"),
        (lambda c: c.push(data={"total": 1}), f"push: takes an event; write {RIGHT}"),
        (
            lambda c: c.push(name="cart add", data={}),
            'push: the name of an event is the first argument; write push("cart add", data={...})',
        ),
        (
            lambda c: asyncio.run(c.apush(event="cart add")),
            "apush: the name of an event is the first argument; "
            'write apush("cart add", data={...})',
        ),
        (
            lambda c: c.push("order complete", wait=5),
            "push: wait is True or False, not int; write push(..., wait=True, timeout=10)",
        ),
        (
            lambda c: c.consent(marketing=True),
            "consent: missing a required argument: 'update'; "
            'write consent({"marketing": True}, user={"id": "u1"})',
        ),
        (
            lambda c: asyncio.run(c.aconsent(marketing=True)),
            "aconsent: missing a required argument: 'update'; "
            'write aconsent({"marketing": True}, user={"id": "u1"})',
        ),
        (
            lambda c: c.consent({"marketing": True}, user=None),
            'consent: user is None; write user={"id": "u1"}, or leave user out to set the '
            "default, which is for everybody",
        ),
        (
            lambda c: c.forget({"userId": "u1"}),
            'forget: user needs an id, a device or a session, such as {"id": "u1"}; '
            'write "id" for "userId"',
        ),
        (
            lambda c: c.user(id="u1"),
            'user: missing a required argument: \'update\'; write user({"id": "u1"})',
        ),
        (
            lambda c: c.push_many([], wait=True),
            "push_many: got an unexpected keyword argument 'wait'; write push_many([event])",
        ),
        (
            lambda c: c.push_many([], connection=None),
            "push_many: got an unexpected keyword argument 'connection'; write "
            "push(event, connection=...) for each event",
        ),
        (
            lambda c: c.consent({"marketing": True}, connection=None),
            "consent: got an unexpected keyword argument 'connection'; write "
            'push("walker consent", data={...}, user={"id": "u1"}, connection=...)',
        ),
        (
            lambda c: c.forget({"id": "u1"}, connection=None),
            "forget: got an unexpected keyword argument 'connection'; write "
            'forget({"id": "u1"}) after the commit: an erasure is no part of a transaction',
        ),
        (
            lambda c: c.flush(10, 20),
            "flush: too many positional arguments; write flush(timeout=10)",
        ),
        (lambda c: c.replay(None), "replay: takes dead letters of dead(), not NoneType"),
        (
            lambda c: c.push_many({"name": "order complete"}),
            "push_many: takes a list of events, not dict; "
            "write push(event) for one, push_many([event]) for a list",
        ),
    ],
)
def test_error_says_what_to_write(call: Callable[[Any], Any], message: str, collector: Any) -> None:
    with pytest.raises(EventError) as raised:
        call(collector)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "name",
    [
        "order_complete",
        "OrderComplete",
        "orderComplete",
        "order.complete",
        "order  complete",
        "order:complete",
        "order-complete",
        "Order_Complete",
        " order complete",
    ],
)
def test_name_in_another_spelling_is_answered_with_the_right_one(name: str, collector: Any) -> None:
    with pytest.raises(EventError, match=r"did you mean \'order complete\'\?$"):
        collector.push(name)


def test_error_of_a_coroutine_names_its_own_call(collector: Any) -> None:
    with pytest.raises(EventError, match=r'write apush\("order complete", data=\{...\}\)'):
        asyncio.run(collector.apush("order complete", {"total": 1}))


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ({"destinations": {}}, "Collector.from_config({...}) for a flow in memory"),
        ("flow.json", 'Collector.from_file("flow.json") for a flow file'),
        (Path("flow.json"), 'Collector.from_file("flow.json") for a flow file'),
        (None, 'Collector.from_file("flow.json") or Collector.from_config({...})'),
    ],
)
def test_collector_of_something_else_than_a_flow(given: Any, right: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Collector(given)
    kind = type(given).__name__
    assert [problem.message for problem in raised.value.problems] == [
        f"Collector: takes a flow that was loaded, not {kind}; write {right}"
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Collector, "Collector: missing a required argument: 'flow'; write Collector.from_file"),
        (Collector.from_file, "Collector.from_file: missing a required argument: 'path'; write"),
        (
            lambda: Collector.from_config({}, name="shop"),  # type: ignore[call-arg]
            "Collector.from_config: got an unexpected keyword argument 'name'; write Collector",
        ),
    ],
)
def test_collector_of_nothing(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_every_method_answers_arguments_that_it_does_not_have(collector: Any) -> None:
    async def call(method: Any) -> None:
        made = method(1, 2, 3, 4, 5, surprise=6)
        if inspect.isawaitable(made):
            await made

    names = [name for name in dir(Collector) if not name.startswith("_")]
    for name in (name for name in names if callable(getattr(Collector, name))):
        with pytest.raises((EventError, ConfigError), match=rf"{name}\b.*; write "):
            asyncio.run(call(getattr(collector, name)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda s: s.track(userId="u1", event="Order Completed"),
            "track: got an unexpected keyword argument 'userId'; "
            'write segment.track("u1", "Order Completed", {"total": 25.5})',
        ),
        (
            lambda s: s.alias("a", "b", "c", "d", "e", "f", "g"),
            'alias: too many positional arguments; write segment.alias("session-1", "u1")',
        ),
        (
            lambda s: s.identify({"plan": "pro"}),
            "identify: user_id: must be text, not dict; arguments have the order of "
            "segment.analytics, or are given by name",
        ),
        (
            lambda s: s.page("u1", {"url": "/"}),
            "page: category: must be text, not dict; arguments have the order of "
            "segment.analytics, or are given by name",
        ),
    ],
)
def test_wrong_calls_of_segment_say_what_to_write(call: Any, message: str) -> None:
    with pytest.raises(EventError) as raised:
        call(segment)
    assert str(raised.value) == message


def test_type_error_within_a_method_is_its_own() -> None:
    @answering_wrong_calls
    class Clumsy:
        def flush(self, timeout: Any) -> int:
            return len(timeout)

        async def aflush(self, timeout: Any) -> int:
            return len(timeout)

    with pytest.raises(TypeError, match="has no len"):
        Clumsy().flush(7)
    with pytest.raises(TypeError, match="has no len"):
        asyncio.run(Clumsy().aflush(7))


@pytest.mark.parametrize(
    ("user", "key", "meant"),
    [
        ({"userId": "u1"}, "userId", "id"),
        ({"ID": "u1"}, "ID", "id"),
        ({"user_id": "u1", "device": "d1"}, "user_id", "id"),
        ({"anonymousId": "a1"}, "anonymousId", "device"),
        ({"id": "u1", "session-id": "s1"}, "session-id", "session"),
    ],
)
def test_wrong_key_of_a_user_is_warned_of_once(
    user: dict[str, str], key: str, meant: str, collector: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        collector.push("order complete", user=user)
    assert [item.getMessage() for item in caplog.records] == [
        f"user.{key} identifies nobody: a person is known by id, device and session; did you mean "
        f'user={{"{meant}": ...}}?'
    ]


@pytest.mark.parametrize(
    "user", [{"id": "u1", "user_id": "7"}, {"id": "u1", "ID": "7"}, {"hash": "h", "email": "e"}, {}]
)
def test_other_keys_of_a_user_are_data(
    user: dict[str, str], collector: Any, caplog: pytest.LogCaptureFixture
) -> None:
    collector.push("order complete", user=user)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Collector.from_file, "Collector.from_file: takes a path, not int; write Collector"),
        (Collector.from_config, "Collector.from_config: takes a mapping, not int; write Collector"),
    ],
)
def test_flow_from_something_else_than_a_file_or_mapping(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(7)


def test_push_after_the_block_says_so(collector: Any) -> None:
    with Recorder().collector() as closed:
        pass
    with pytest.raises(CollectorClosed, match=r"push before close\(\), or inside the `with` block"):
        closed.push("order complete")


def test_awaited_result_says_that_apush_is_for_coroutines(collector: Any) -> None:
    async def main() -> None:
        await collector.push("order complete")

    with pytest.raises(TypeError, match=r"the event was accepted; .* `await collector.apush"):
        asyncio.run(main())


def test_any_mapping_may_be_a_part() -> None:
    recorder = Recorder()
    parts: dict[str, Any] = {
        part: MappingProxyType({"x": "y"})
        for part in ("data", "user", "context", "custom", "source")
    }
    with recorder.collector() as collector:
        collector.push("order complete", consent=MappingProxyType({"marketing": True}), **parts)
    sent = recorder.events[0]
    assert [sent[part] for part in ("data", "user", "context", "custom")] == [{"x": "y"}] * 4
    assert sent["source"]["x"] == "y"
    assert sent["consent"] == {"marketing": True}


def test_push_that_waits_in_an_event_loop_is_warned_of_once(
    spool: Path | None, caplog: pytest.LogCaptureFixture
) -> None:
    opened = threading.Event()
    made = flow(plugin(lambda *_: opened.wait(PATIENCE)), spool, queue_max=1, queue_wait=20)
    if spool is not None:
        room = SpoolConfig(path=str(spool), max_events=1)
        made = attrs.evolve(made, collector=attrs.evolve(made.collector, spool=room))

    def push_beyond_room() -> None:
        for n in range(10):
            collector.push(event(n))

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(SpoolFull):
                push_beyond_room()

    with caplog.at_level(logging.WARNING), running(made) as collector:
        asyncio.run(main())
        opened.set()
    assert caplog.text.count("in coroutines write `await collector.apush(...)`") == 1
