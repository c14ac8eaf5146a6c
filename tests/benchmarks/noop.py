"""Destinations that do nothing: what is left is the collector's own cost."""

from collections.abc import Sequence
from typing import Any

from tests.benchmarks.flows import Json, flow
from walker_collector import (
    Collector,
    Context,
    DestinationDown,
    Event,
    Item,
    PushContext,
    Registry,
    Rule,
    hookimpl,
)


class Single:
    """Takes events one by one, like the peer's."""

    reads = ()

    @hookimpl
    def push(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        """Do nothing."""


class Batched:
    """Takes events in batches of the usual size."""

    reads = ()

    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> None:
        """Do nothing."""


class Down:
    """Takes nothing, so that everything waits."""

    batch_size = 500

    @hookimpl
    def init(self, context: Context) -> None:
        """Refuse."""
        raise DestinationDown("as this benchmark wants it")

    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> None:
        """Not reached."""


def collector(destinations: Json, **settings: Any) -> Collector:
    """Return a collector for a flow that may name `single`, `batched` and `down` as packages."""
    return Collector.from_config(flow(destinations, **settings), registry=registry())


def registry() -> Registry:
    """Return a registry that knows `single`, `batched` and `down` as packages."""
    found = Registry()
    found.register("single", Single)
    found.register("batched", Batched)
    found.register("down", Down)
    return found
