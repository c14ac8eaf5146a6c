"""One destination by itself: its hooks called as the collector calls them, without its queues."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import attrs
from attrs import Factory, define

from walker_collector.config import Consent, PartState
from walker_collector.delivery import CONSENT_CHANGED
from walker_collector.delivery.destination import build_destinations
from walker_collector.events import Bounds, decode, encode
from walker_collector.flowfile import load_flow
from walker_collector.hookspecs import Context, Event, Item, Person, PushContext
from walker_collector.people.gate import granted
from walker_collector.people.identity import identifiers
from walker_collector.plugins import Registry

PACKAGE = "under-test"
"""What a flow calls the plugin that `registry_of` holds."""


def registry_of(plugin: type, package: str = PACKAGE) -> Registry:
    """Return a registry with this destination class alone; raises PluginError."""
    registry = Registry()
    registry.register(package, plugin)
    return registry


def entry(settings: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a flow's entry for the plugin under test."""
    own = {"settings": dict(settings)} if settings else {}
    return {"package": PACKAGE, "config": {**(config or {}), **own}}


@define
class _Parts:
    """The progress of one event's delivery, kept over its attempts."""

    parts: dict[str, PartState] = Factory(dict)
    reasons: dict[str, str] = Factory(dict)

    def state(self, part: str) -> PartState | None:
        return self.parts.get(part)

    def reason(self, part: str) -> str:
        return self.reasons.get(part, "")

    def begin(self, part: str) -> None:
        self.parts[part] = "begun"

    def abandon(self, part: str) -> None:
        self.parts.pop(part, None)

    def finish(self, part: str) -> None:
        self.parts[part] = "done"

    def reject(self, part: str, reason: str) -> None:
        self.parts[part] = "rejected"
        self.reasons[part] = reason


class Harness:
    """Calls the hooks of one configured destination; initialised inside a `with` block.

        with Harness(MyDestination, {"url": url}) as destination:
            destination.push(event)

    plugin: the destination's class.
    settings, config: as a flow file has them; `config` is what stands beside `settings`.
    id: of the destination.
    extensions: plugins that wrap it, by name.
    credentials: False stands in for absent secrets, as `walker simulate` does.

    Raises ConfigError for settings that the plugin does not take.
    """

    def __init__(
        self,
        plugin: type,
        settings: Mapping[str, Any] | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        id: str = "destination",
        extensions: Mapping[str, Any] | None = None,
        credentials: bool = True,
    ) -> None:
        registry = registry_of(plugin)
        for name, extension in (extensions or {}).items():
            registry.register_extension(name, extension)
        flow = {"destinations": {id: entry(settings or {}, config)}}
        loaded = load_flow(flow, registry=registry, credentials=credentials)
        self._destination = build_destinations(loaded, registry)[0]
        self._parts: dict[str, _Parts] = {}

    def __enter__(self) -> Self:
        self.init()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()

    @property
    def context(self) -> Context:
        """What the hooks are told of the destination."""
        return self._destination.context

    @property
    def instance(self) -> Any:
        """The plugin's instance."""
        return self._destination.instance

    @property
    def batches(self) -> bool:
        """Whether the plugin has `push_batch`."""
        return self._destination.hooks.push_batch is not None

    def item(self, event: Event) -> Item:
        """Return a copy of the event, mapped; raises ValueError where it would not be sent."""
        copy = decode(encode(event, Bounds()))
        copy["consent"] = granted(event.get("consent") or {})
        progress = self._parts.setdefault(str(event["id"]), _Parts())
        person = next(iter(identifiers(copy.get("user") or {})), "")
        context = PushContext(self.context, copy, copy["consent"], progress=progress, person=person)
        mapped = self._destination.mapper(copy, context)
        if mapped.outcome != "deliver":
            raise ValueError(f"the mapping sends nothing of {event['name']}: {mapped.outcome}")
        context.event = mapped.event
        return Item(mapped.event, mapped.data, mapped.rule, context)

    def init(self) -> None:
        """Prepare the destination; raises what the plugin raises, as all hooks do."""
        self._destination.hooks.init(context=self.context)

    def push(self, event: Event) -> None:
        """Deliver one event through `push`."""
        self.push_item(self.item(event))

    def push_item(self, item: Item) -> None:
        """Deliver one mapped event through `push`."""
        self._destination.hooks.push(
            event=item.event, data=item.data, rule=item.rule, context=item.context
        )

    def push_batch(self, events: Sequence[Event]) -> Mapping[int, Exception]:
        """Deliver several events through `push_batch`; return the failures by index."""
        return self.push_items([self.item(event) for event in events])

    def push_items(self, items: Sequence[Item]) -> Mapping[int, Exception]:
        """Deliver several mapped events through `push_batch`; return the failures by index."""
        push_batch = self._destination.hooks.push_batch
        if push_batch is None:
            raise ValueError("the plugin has no push_batch")
        return push_batch(batch=items, context=self.context) or {}

    def deliver(self, *events: Event) -> None:
        """Deliver by `push_batch` where the plugin has it, else one by one; raise a failure."""
        if not self.batches:
            for event in events:
                self.push(event)
            return
        for failure in self.push_batch(events).values():
            raise failure

    def simulate(self, event: Event) -> Any:
        """Return what the plugin's `simulate` answers."""
        item = self.item(event)
        return self.instance.simulate(item.event, item.data, item.rule, item.context)

    def consent(self, update: Consent, person: Person | None = None, *, timestamp: int = 0) -> None:
        """Tell the destination of a change; without a person, of the process default.

        `timestamp` (ms) is when it was made.
        """
        user = {} if person is None else attrs.asdict(person, filter=lambda _, value: bool(value))
        event = {"name": CONSENT_CHANGED, "data": update, "user": user, "timestamp": timestamp}
        context = PushContext(self.context, event, granted(update))
        self._destination.hooks.consent(update=update, state=update, person=person, context=context)

    def erased(self, person: Person | None) -> None:
        """Say that a person was erased; None is everybody."""
        self._destination.hooks.erased(person=person, context=self.context)

    def shutdown(self) -> None:
        """Let the destination flush and release."""
        self._destination.hooks.shutdown(context=self.context)
