"""Mistakes that a type checker must find; each line says the error that it expects there."""

from collections.abc import Sequence
from typing import Any

from walker_collector import Context, Event, Item, PushContext, Rule, hookimpl
from walker_collector import protocols as p
from walker_collector.testing import DestinationContract


class WrongContext(p.Push):
    @hookimpl  # E: incompatible with supertype "walker_collector.protocols.Push"
    def push(self, event: Event, data: Any, rule: Rule | None, context: Context) -> None: ...


class Misspelt(p.Push):
    @hookimpl  # E: incompatible with supertype "walker_collector.protocols.Push"
    def push(self, evnet: Event, data: Any, rule: Rule | None, context: PushContext) -> None: ...


class OneMissing(p.Push):
    @hookimpl  # E: incompatible with supertype "walker_collector.protocols.Push"
    def push(self, event: Event, data: Any, context: PushContext) -> None: ...


class RuleIsSure(p.Push):
    @hookimpl  # E: incompatible with supertype "walker_collector.protocols.Push"
    def push(self, event: Event, data: Any, rule: Rule, context: PushContext) -> None: ...


class WrongAnswer(p.PushBatch):
    @hookimpl  # E: incompatible with supertype "walker_collector.protocols.PushBatch"
    def push_batch(self, batch: Sequence[Item], context: Context) -> list[Exception]:
        return []


class EventsAlone(p.PushBatch):
    @hookimpl  # E: incompatible with supertype "walker_collector.protocols.PushBatch"
    def push_batch(self, batch: Sequence[Event], context: Context) -> None: ...


class PushContextTooSoon(p.Init):
    @hookimpl  # E: incompatible with supertype "walker_collector.protocols.Init"
    def init(self, context: PushContext) -> None: ...


class Forgotten(p.Init, p.Push):
    @hookimpl
    def init(self, context: Context) -> None: ...


made = Forgotten()  # E: Cannot instantiate abstract class "Forgotten"


class TestAnInstance(DestinationContract):
    plugin = WrongContext()  # E: Incompatible types in assignment
