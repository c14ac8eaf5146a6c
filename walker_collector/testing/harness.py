"""One destination by itself: its hooks, called as by the collector, without queues and retries."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import attrs
from attrs import Factory, define

from walker_collector.config import MISSING, Consent, PartState
from walker_collector.delivery.destination import build_destinations
from walker_collector.delivery.preparation import CONSENT_CHANGED
from walker_collector.errors import Untested
from walker_collector.events import Bounds, decode, encode
from walker_collector.flow import load_flow
from walker_collector.hookspecs import Context, Event, Item, Person, PushContext, Received
from walker_collector.people.gate import granted
from walker_collector.people.identity import identifiers
from walker_collector.plugins import Registry

PACKAGE = "under-test"
"""Name of the plugin in the registry that `registry_of` returns."""


def registry_of(plugin: type, package: str = PACKAGE) -> Registry:
    """Return a registry with this destination class alone; raises PluginError if it is none."""
    registry = Registry()
    registry.register(package, plugin)
    return registry


def entry(settings: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the entry for a flow file of the plugin under test."""
    own = {"settings": dict(settings)} if settings else {}
    return {"package": PACKAGE, "config": {**(config or {}), **own}}


@define
class _Progress:
    """Progress of one event's delivery, kept in memory from attempt to attempt."""

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
    """Calls the hooks of one configured destination; a `with` block runs `init` and `shutdown`.

        with Harness(MyDestination, {"url": url}) as destination:
            destination.push(event)

    plugin: class of the destination.
    settings: settings of the destination, as in a flow file.
    config: other keys of its config, such as `mapping`.
    id: id of the destination.
    extensions: plugins that wrap it, by name.
    credentials: False allows for missing secrets, like `walker simulate`.

    Raises ConfigError for settings that the plugin refuses.
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
        self._progress: dict[str, _Progress] = {}

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
        """The context that the hooks get."""
        return self._destination.context

    @property
    def instance(self) -> Any:
        """The plugin's instance."""
        return self._destination.instance

    @property
    def batches(self) -> bool:
        """Whether the plugin has `push_batch`."""
        return self._destination.hooks.push_batch is not None

    def item(self, event: Event, *, trusted: bool = True) -> Item:
        """Return a copy of the event, mapped; raises ValueError if the mapping does not send it.

        `trusted`: whether its sender is.
        """
        copy = decode(encode(event, Bounds()))
        consent = granted(event.get("consent") or {})
        progress = self._progress.setdefault(str(event["id"]), _Progress())
        person = next(iter(identifiers(copy.get("user") or {})), "")
        context = PushContext(self.context, copy, consent, progress=progress, person=person)
        context.trusted = trusted
        if self._destination.relays:
            context.received = Received(copy, trusted=trusted, limited=not trusted)
        else:
            copy["consent"] = consent
        mapped = self._destination.mapper(copy, context)
        if mapped.outcome != "deliver":
            raise ValueError(f"the mapping sends nothing of {event['name']}: {mapped.outcome}")
        context.event = mapped.event
        return Item(mapped.event, mapped.data, mapped.rule, context)

    def partial_item(self, event: Event) -> Item | None:
        """Return a copy of a complete event, mapped, of which only the parts that are read remain.

        It is what a collector hands to a plugin that declares `reads`. None if this one gets the
        event as a whole.
        """
        whole, body = self.item(event), encode({"name": event["name"], **event}, Bounds())
        partial = self._destination.partial
        rule = partial.rule_of(event["name"]) if partial is not None else None
        if partial is None or rule is None:
            return None
        read, context = partial.decode(body), whole.context
        context.event = made = rule.event(read, context.consent)
        data = rule.data(read, context, made) if rule.data else MISSING
        return Item(made, data, rule.rule, context)

    def init(self) -> None:
        """Call `init`. Exceptions of the plugin pass through, here and in all hooks."""
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
        """Deliver events through `push_batch` if there is one, else one by one; raise a failure."""
        if not self.batches:
            for event in events:
                self.push(event)
            return
        for failure in self.push_batch(events).values():
            raise failure

    def simulate(self, event: Event) -> Any:
        """Return the result of the plugin's `simulate`."""
        item = self.item(event)
        return self.instance.simulate(item.event, item.data, item.rule, item.context)

    def consent(self, update: Consent, person: Person | None = None, *, timestamp: int = 0) -> None:
        """Call `consent` with a change; without a person, of the default.

        `timestamp` is the time of the change, in ms since 1970.
        """
        user = {} if person is None else attrs.asdict(person, filter=lambda _, value: bool(value))
        event = {"name": CONSENT_CHANGED, "data": update, "user": user, "timestamp": timestamp}
        context = PushContext(self.context, event, granted(update))
        self._destination.hooks.consent(update=update, state=update, person=person, context=context)

    def erased(self, person: Person | None) -> None:
        """Call `erased` for a person; None stands for everybody."""
        self._destination.hooks.erased(person=person, context=self.context)

    def check(self) -> list[str]:
        """Return the problems that `check` finds."""
        try:
            return list(self._destination.hooks.check(context=self.context) or ())
        except Untested:
            return []

    def shutdown(self) -> None:
        """Call `shutdown`."""
        self._destination.hooks.shutdown(context=self.context)
