"""Destinations that do nothing: what is left is the collector's own cost."""

from collections.abc import Sequence
from typing import Any

from tests.benchmarks.flows import Json, flow
from walker_collector import Collector, Context, Event, Item, PushContext, Registry, Rule, hookimpl


class Single:
    """Takes events one by one, like the peer's."""

    @hookimpl
    def push(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        """Do nothing."""


class Batched:
    """Takes events in batches."""

    batch_size = 500

    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> None:
        """Do nothing."""


def collector(destinations: Json, **settings: Any) -> Collector:
    """Return a collector for a flow that may name `single` and `batched` as packages."""
    registry = Registry()
    registry.register("single", Single)
    registry.register("batched", Batched)
    return Collector.from_config(flow(destinations, **settings), registry=registry)
