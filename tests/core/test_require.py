"""A destination that requires others delivers nothing before they are initialised."""

from typing import Any

from tests.core.support import PATIENCE
from walker_collector import Collector, DestinationDown, Registry, hookimpl


class Base:
    settings = None
    rule_settings = None


def flow(**destinations: dict[str, Any]) -> dict[str, Any]:
    return {
        "destinations": {
            name: {"package": name, "config": config} for name, config in destinations.items()
        }
    }


def test_the_required_destination_is_initialised_first() -> None:
    order: list[str] = []

    class First(Base):
        @hookimpl
        def init(self) -> None:
            order.append("first")

        @hookimpl
        def push(self) -> None:
            return

    class Second(Base):
        @hookimpl
        def init(self) -> None:
            order.append("second")

        @hookimpl
        def push(self) -> None:
            return

    registry = Registry()
    registry.register("first", First)
    registry.register("second", Second)
    held_back = {"consent": {"never": True}}
    config = flow(first=held_back, second={"require": ["first"]})
    with Collector.from_config(config, registry=registry) as collector:
        collector.push("order complete")
        assert collector.flush(PATIENCE)
    assert order == ["first", "second"]


def test_what_requires_a_destination_that_is_down_waits_and_says_so() -> None:
    class Broken(Base):
        @hookimpl
        def init(self) -> None:
            raise DestinationDown("no route")

        @hookimpl
        def push(self) -> None:
            return

    class Second(Base):
        @hookimpl
        def push(self) -> None:
            raise AssertionError("must not be called")

    registry = Registry()
    registry.register("broken", Broken)
    registry.register("second", Second)
    config = flow(broken={}, second={"require": ["broken"]})
    with Collector.from_config(config, registry=registry) as collector:
        collector.push("order complete", wait=True, timeout=PATIENCE)
        status = collector.status().destinations["second"]
        collector.close(timeout=0)
    assert (status.state, status.waiting) == ("down", 1)
    assert status.reason == "waits for destination broken: no route"
