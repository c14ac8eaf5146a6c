"""Plugins that a type checker has nothing to say against."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from attrs import frozen

from walker_collector import (
    Consent,
    Context,
    Event,
    Item,
    Person,
    PushContext,
    Rule,
    Secret,
    Value,
    hookimpl,
)
from walker_collector import protocols as p
from walker_collector.destinations.console import ConsoleDestination
from walker_collector.destinations.file import FileDestination
from walker_collector.destinations.http import HttpDestination
from walker_collector.testing import Backend, DestinationContract
from walker_dest_customerio.destination import CustomerioDestination


@frozen(kw_only=True)
class Settings:
    url: str
    token: Secret
    label: Value | None = None


class Whole(
    p.Init, p.Push, p.PushBatch, p.Consent, p.Shutdown, p.Simulate, p.Check, p.CheckSettings
):
    settings: ClassVar = Settings

    @hookimpl
    def init(self, context: Context) -> None: ...

    @hookimpl
    def push(self, event: Event, data: Any, rule: Rule | None, context: PushContext) -> None: ...

    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> Mapping[int, Exception]:
        return {index: ValueError() for index, _ in enumerate(batch)}

    @hookimpl
    def consent(
        self, update: Consent, state: Consent, person: Person | None, context: PushContext
    ) -> None: ...

    @hookimpl
    def check(self, context: Context) -> list[str]:
        return ["the service answered 401; set settings.token"]

    @hookimpl
    def shutdown(self, context: Context) -> None: ...

    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        return [["send", event]]

    @staticmethod
    def check_settings(settings: Settings, rules: Mapping[str, Any]) -> list[tuple[str, str]]:
        return [("settings.url", "unreachable")]


class InAnyOrder(p.Push):
    """Arguments come by keyword, so their order is free."""

    @hookimpl
    def push(self, context: PushContext, rule: Rule | None, event: Event, data: object) -> int:
        return 1


class Unchecked:
    """Without a protocol, hooks may leave arguments out."""

    @hookimpl
    def push(self, event: Event) -> None: ...


console: p.PushBatch = ConsoleDestination()
file: p.PushBatch = FileDestination()
http: p.PushBatch = HttpDestination()
customerio: p.PushBatch = CustomerioDestination()


class TestWhole(DestinationContract):
    plugin = Whole

    @pytest.fixture
    def backend(self) -> Backend:
        return Backend(settings={"url": "https://example.org"}, received=list)
