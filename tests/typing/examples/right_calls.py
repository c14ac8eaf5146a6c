"""Applications that a type checker has nothing to say against."""

from datetime import UTC, datetime
from types import MappingProxyType
from typing import TypedDict
from uuid import uuid4

from walker_collector import Collector, EventParts, EventStatus, PushResult
from walker_collector.config import FlowConfig


class Order(TypedDict):
    total: float


def application(collector: Collector, order: Order, flags: dict[str, bool]) -> PushResult:
    collector.push({"name": "page view", "user": {"id": 42}})
    collector.push("page view", nested=[{"entity": "tea"}], timestamp=datetime.now(UTC), id=uuid4())
    collector.push("order complete", data=order, user=MappingProxyType({"id": 1}), consent=flags)
    collector.consent({"marketing": True}, user={"id": "u1"})
    return collector.push("order complete", data={"total": 55}, wait=True, timeout=1)


def parts() -> EventParts:
    return {"data": {"total": 55}, "user": None}


async def in_a_coroutine(flow: FlowConfig) -> EventStatus:
    async with Collector(flow) as collector:
        result = await collector.apush("order complete", **parts(), wait=True, timeout=1)
        await collector.apush_many([{"name": "page view"}, b'{"name": "page view"}'])
        await collector.aconsent({"marketing": True}, user={"id": "u1"})
        if await collector.aflush(timeout=1) and await collector.aforget({"id": "u1"}):
            assert collector.status_of("archive").state == "ready"
    return result.destinations["archive"]
