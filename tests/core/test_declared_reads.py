"""A plugin that declares `reads` gets the parts that are read; all others get whole events."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.core.support import PATIENCE, plugin
from walker_collector import (
    Collector,
    Item,
    PluginError,
    PushContext,
    Registry,
    RetryLater,
    Value,
    hookimpl,
)
from walker_collector.verification import verify_destination

WHOLE = {"data", "context", "globals", "custom", "user", "nested", "timestamp", "source"}
ALWAYS = {"name", "id", "consent"}
ORDER: dict[str, Any] = {
    "data": {"id": "o1", "total": 5, "list": [1, None]},
    "user": {"id": "u1", "email": "ann@example.org"},
    "nested": [{"entity": "item", "data": {"sku": "s1", "more": {}}}, {"data": None}],
    "consent": {"marketing": True},
}
DATA = {"map": {"total": "data.total", "skus": {"loop": ["nested", {"map": {"sku": "data.sku"}}]}}}
MAPPING = {"order": {"complete": {"name": "bought", "data": DATA}}}
MADE = {"total": 5, "skus": [{"sku": "s1"}, {}]}


@frozen
class Settings:
    label: Value | None = None
    function: Callable[[Any], Any] | None = None


def destination(seen: list[Item], **attributes: Any) -> type:
    return plugin(push_batch=lambda batch: seen.extend(batch), settings=Settings, **attributes)


def deliver(
    cls: type,
    *events: dict[str, Any],
    extension: Any = None,
    spool: Path | None = None,
    **config: Any,
) -> None:
    """Push events through one destination, and wait until all that may are delivered."""
    registry = Registry()
    registry.register("it", cls)
    if extension is not None:
        registry.register_extension("looks", extension)
    settings = {} if spool is None else {"spool": {"path": str(spool)}}
    entry = {"package": "it", "config": {"mapping": MAPPING, "retry": {"base": 1}, **config}}
    flow = {"collector": settings, "destinations": {"d": entry}}
    with Collector.from_config(flow, registry=registry) as collector:
        collector.push_many([{"name": "order complete", **event} for event in events])
        assert collector.flush(PATIENCE)


def parts_of(seen: list[Item]) -> set[str]:
    (item,) = seen
    assert item.context.event is item.event
    assert (item.event["name"], item.data) == ("bought", MADE)
    return set(item.event)


def test_plugin_gets_the_parts_that_it_declares(spool: Path | None) -> None:
    seen: list[Item] = []
    deliver(destination(seen, reads=("user.id", "timestamp")), ORDER, spool=spool)
    assert parts_of(seen) == ALWAYS | {"user", "timestamp"}
    assert seen[0].event["user"] == ORDER["user"]
    assert seen[0].context.consent == seen[0].event["consent"] == {"marketing": True}


def test_plugin_without_reads_gets_whole_events() -> None:
    seen: list[Item] = []
    deliver(destination(seen), ORDER)
    assert parts_of(seen) > WHOLE


def test_values_of_the_settings_find_what_they_read() -> None:
    seen: list[Item] = []
    deliver(destination(seen, reads=()), ORDER, settings={"label": ["data.list.0", "globals.no"]})
    assert parts_of(seen) == ALWAYS | {"data", "globals"}
    (item,) = seen
    assert item.context.settings.label(item.event, item.context) == 1


def read_all(value: Any) -> Any:
    return value


@pytest.mark.parametrize("settings", [{"function": read_all}, {"label": {"fn": read_all}}])
def test_function_in_the_settings_may_read_everything(settings: Any) -> None:
    seen: list[Item] = []
    deliver(destination(seen, reads=()), ORDER, settings=settings)
    assert parts_of(seen) > WHOLE


class Transforms:
    @hookimpl
    def transform(self, event: Any) -> None:
        event["globals"] = {"seen": sorted(event)}


class Wraps:
    @hookimpl(wrapper=True)
    def push_batch(self, batch: Any) -> Any:
        return (yield)


@pytest.mark.parametrize("extension", [Transforms(), Wraps()])
def test_extension_that_looks_at_events_sees_them_whole(extension: Any) -> None:
    seen: list[Item] = []
    deliver(destination(seen, reads=()), ORDER, extension=extension)
    assert parts_of(seen) > WHOLE


class Counts(Wraps):
    reads = ("trigger",)


def test_extension_that_declares_its_reads_gets_them_too() -> None:
    seen: list[Item] = []
    deliver(destination(seen, reads=("user",)), ORDER, extension=Counts())
    assert parts_of(seen) == ALWAYS | {"user", "trigger"}


def test_event_that_does_not_fit_is_delivered_as_a_whole() -> None:
    seen: list[Item] = []
    deliver(destination(seen, reads=()), {**ORDER, "nested": [{"data": "text"}]}, ORDER)
    (unlike, usual) = seen
    assert (unlike.data, usual.data) == ({"total": 5, "skus": [{}]}, MADE)
    assert set(unlike.event) > WHOLE > set(usual.event) - ALWAYS


def test_event_without_consent_is_held_and_released() -> None:
    seen: list[Item] = []
    registry = Registry()
    registry.register("it", destination(seen, reads=()))
    entry = {"package": "it", "config": {"consent": {"marketing": True}, "mapping": MAPPING}}
    with Collector.from_config({"destinations": {"d": entry}}, registry=registry) as collector:
        collector.push("order complete", **{**ORDER, "consent": {}})
        collector.push("order complete", **{**ORDER, "consent": {"marketing": False}})
        assert collector.flush(PATIENCE)
        assert (len(seen), collector.status().destinations["d"].held) == (0, 2)
        collector.consent({"marketing": True}, user={"id": "u1"})
        assert collector.flush(PATIENCE)
    assert parts_of(seen) == ALWAYS


def test_retry_decodes_an_event_of_its_own(spool: Path | None) -> None:
    attempts: list[tuple[int, Any]] = []

    def push(event: Any, context: PushContext) -> None:
        attempts.append((context.attempt, dict(event["user"])))
        event["user"].clear()
        if len(attempts) < 3:
            raise RetryLater("busy")

    deliver(plugin(push, reads=("user",)), ORDER, spool=spool)
    assert attempts == [(count, ORDER["user"]) for count in (1, 2, 3)]


def test_names_that_many_events_have_are_all_delivered() -> None:
    seen: list[Item] = []
    cls = destination(seen, reads=(), batch_size=500)
    names = [f"order n{number}" for number in range(1_100)]
    deliver(cls, *({**ORDER, "name": name} for name in [*names, 'odd "name"']), unmatched="send")
    assert [item.event["name"] for item in seen] == [*names, 'odd "name"']


@pytest.mark.parametrize("declared", ["user.id", ["user"], (1,), ("",)])
def test_reads_are_a_tuple_of_paths(declared: object) -> None:
    with pytest.raises(PluginError, match="reads must be a tuple of paths in an event"):
        verify_destination("there", destination([], reads=declared))
