"""Destinations hear of erasures: once for each, when the person's events are gone."""

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from walker_collector import Collector, Context, Item, Person, Registry, hookimpl

PATIENCE = 30.0


class Remembering:
    """Keeps what it hears; waits for its collector to be set."""

    heard: "list[tuple[str, Person | None, int]]"
    collector: "Collector | None" = None
    fails = False
    hangs: "threading.Event | None" = None

    @hookimpl
    def push_batch(self, batch: list[Item], context: Context) -> None:
        for item in batch:
            if item.event["name"] == "account close" and context.forget is not None:
                context.forget(item.event["user"])

    @hookimpl
    def erased(self, person: Person | None, context: Context) -> None:
        assert type(self).collector is not None
        status = type(self).collector.status().destinations[context.id]
        type(self).heard.append((context.id, person, status.held))
        if self.hangs is not None:
            self.hangs.wait(PATIENCE)
        if self.fails:
            raise RuntimeError("not to be shown")


@pytest.fixture
def plugin() -> type[Remembering]:
    return type("Plugin", (Remembering,), {"heard": []})


def opened(plugin: type[Remembering], *ids: str, **config: Any) -> Collector:
    registry = Registry()
    registry.register("remembering", plugin)
    entries = {id: {"package": "remembering", "config": config} for id in ids}
    entries["off"] = {"package": "remembering", "config": {"disabled": True}}
    flow: dict[str, Any] = {"destinations": entries}
    plugin.collector = Collector.from_config(flow, registry=registry)
    return plugin.collector


HELD = {"consent": {"marketing": True}}


def test_every_destination_hears_once_when_the_events_are_gone(plugin: type[Remembering]) -> None:
    with opened(plugin, "a", "b", **HELD) as collector:
        collector.push("page view", user={"session": "s1"})
        collector.push("page view", user={"id": 42, "session": "s1", "device": "d1"})
        assert collector.status().destinations["a"].held == 2
        assert collector.forget({"session": "s1"}) == 2
        person = Person("42", "d1", "s1")
        assert plugin.heard == [("a", person, 0), ("b", person, 0)]
        collector.forget({"id": "nobody"})
        assert plugin.heard[2:] == [(id, Person("nobody"), 0) for id in ("a", "b")]


def test_destination_that_has_somebody_erased_hears_it_too(plugin: type[Remembering]) -> None:
    collector = opened(plugin, "a", "b")
    collector.push("account close", user={"id": "u1"})
    assert collector.flush(PATIENCE)
    collector.close(PATIENCE)
    assert {(id, person) for id, person, _ in plugin.heard} == {
        ("a", Person("u1")),
        ("b", Person("u1")),
    }


def test_failure_of_one_is_logged_without_its_text_and_stops_no_erasure(
    plugin: type[Remembering], caplog: pytest.LogCaptureFixture
) -> None:
    plugin.fails = True
    with opened(plugin, "a", "b", **HELD) as collector, caplog.at_level(logging.ERROR):
        collector.push("page view", user={"id": "u1"})
        assert collector.forget({"id": "u1"}) == 1
    assert [id for id, _, _ in plugin.heard] == ["a", "b"]
    assert "destination a: erased raised RuntimeError" in caplog.text
    assert "not to be shown" not in caplog.text


def test_erasure_ends_although_the_hook_hangs(
    plugin: type[Remembering], caplog: pytest.LogCaptureFixture
) -> None:
    hangs = plugin.hangs = threading.Event()
    with opened(plugin, "a", "b", **HELD, timeout=20) as collector, caplog.at_level(logging.ERROR):
        collector.push("page view", user={"id": "u1"})
        assert collector.forget({"id": "u1"}) == 1
        assert [id for id, _, _ in plugin.heard] == ["a", "b"]
        hangs.set()
    expected = "erased has failed, and it may remember the person: no answer within 20 ms (timeout)"
    assert f"destination a: {expected}" in caplog.text


def test_erasure_that_a_start_makes_up_for_is_no_news_to_it(
    plugin: type[Remembering], tmp_path: Path
) -> None:
    from walker_collector.config import SpoolConfig
    from walker_collector.spool.sqlite import SqliteSpool

    path = str(tmp_path / "spool.db")
    spool = SqliteSpool(SpoolConfig(path=path))
    spool.schedule_erasure({"id:u1"})
    spool.close()
    registry = Registry()
    registry.register("remembering", plugin)
    flow = {
        "collector": {"spool": {"path": path}},
        "destinations": {"a": {"package": "remembering"}},
    }
    with Collector.from_config(flow, registry=registry) as collector:
        plugin.collector = collector
        assert plugin.heard == []
        assert not collector._life.runtime.spool.pending_erasures()
