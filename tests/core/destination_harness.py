"""A configured destination behind its real hooks, for tests of the built-in ones."""

from collections.abc import Mapping
from typing import Any

from walker_collector import MISSING
from walker_collector.flow import load_flow
from walker_collector.hooks import connect
from walker_collector.hookspecs import Context, Item, PushContext, Rule
from walker_collector.people.identity import identifiers
from walker_collector.plugins import Registry

BASE = {"id": "e1", "timestamp": 1_700_000_100_000, "user": {"id": "u1"}}


class Harness:
    """One destination of a flow, as the collector would hold it."""

    def __init__(self, package: str, settings: Mapping[str, Any], **config: Any) -> None:
        entry = {"package": package, "config": {"settings": settings, **config}}
        flow = load_flow({"destinations": {"d": entry}}, registry=Registry().discover())
        self.hooks = connect(flow.destinations)["d"]
        config_ = flow.destinations["d"].config
        self.context = Context(id="d", settings=config_.settings, config=config_)

    def init(self) -> "Harness":
        self.hooks.init(context=self.context)
        return self

    def item(self, name: str, data: Any = MISSING, skip: bool = False, **event: Any) -> Item:
        made = {**BASE, "name": name, **event}
        rule = Rule(key=name, skip=skip)
        context = PushContext(
            self.context, made, {}, person=next(iter(identifiers(made["user"] or {})), "")
        )
        return Item(made, data, rule, context)

    def push(self, *items: Item) -> dict[int, Exception]:
        assert self.hooks.push_batch is not None
        return dict(self.hooks.push_batch(batch=list(items), context=self.context) or {})

    def simulate(self, item: Item) -> list[list[Any]]:
        calls: list[list[Any]] = self.hooks.instance.simulate(
            item.event, item.data, item.rule, item.context
        )
        return calls

    def shutdown(self) -> None:
        self.hooks.shutdown(context=self.context)
