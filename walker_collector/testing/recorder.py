"""A destination that records deliveries, for tests of applications, flows and extensions."""

from collections import deque
from typing import Any, ClassVar

from attrs import Factory, define, frozen

from walker_collector.collector import Collector
from walker_collector.config import Consent
from walker_collector.hookspecs import Event, Person, PushContext, Rule, hookimpl
from walker_collector.plugins import Registry

PACKAGE = "recorder"


@frozen
class Delivery:
    """One event as given to one destination: the event, mapped data, and the matching rule."""

    destination: str
    event: Event
    data: Any
    rule: Rule | None


@define(eq=False)
class Recorder:
    """Records every delivery, in order; fails on demand.

        recorder = Recorder()
        with recorder.collector() as collector:
            place_order(collector)
        assert recorder.names == ["order complete"]

    deliveries: one item per `push`.
    consents: changes of consent, each with its person; None stands for the default.
    """

    deliveries: list[Delivery] = Factory(list)
    consents: list[tuple[Consent, Person | None]] = Factory(list)
    _failures: deque[Exception] = Factory(deque)

    @property
    def events(self) -> list[Event]:
        """The delivered events, in order."""
        return [delivery.event for delivery in self.deliveries]

    @property
    def names(self) -> list[str]:
        """The names of the delivered events, in order."""
        return [event["name"] for event in self.events]

    def fail(self, *failures: Exception) -> None:
        """Raise these from the next deliveries, one each."""
        self._failures.extend(failures)

    def entry(self, **config: Any) -> dict[str, Any]:
        """Return the entry for a flow file of a destination that delivers here."""
        return {"package": PACKAGE, "config": {**config, "env": {PACKAGE: self}}}

    def registry(self) -> Registry:
        """Return a registry with the package `recorder` alone."""
        registry = Registry()
        registry.register(PACKAGE, RecorderDestination)
        return registry

    def collector(self, **config: Any) -> Collector:
        """Return a collector with one destination `recorder`, configured by `config`.

        Raises ConfigError, like `Collector.from_config`.
        """
        flow = {"destinations": {PACKAGE: self.entry(**config)}}
        return Collector.from_config(flow, registry=self.registry())

    def take(self, delivery: Delivery) -> None:
        """Record a delivery, or raise the next failure."""
        if self._failures:
            raise self._failures.popleft()
        self.deliveries.append(delivery)


class RecorderDestination:
    """Passes deliveries and consent to the recorder in `env`."""

    settings: ClassVar = None
    rule_settings: ClassVar = None

    @hookimpl
    def push(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None:
        recorder: Recorder = context.env[PACKAGE]
        recorder.take(Delivery(context.id, event, data, rule))

    @hookimpl
    def consent(
        self, update: Consent, state: Consent, person: Person | None, context: PushContext
    ) -> None:
        recorder: Recorder = context.env[PACKAGE]
        recorder.consents.append((update, person))

    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        return [["record", event]]
