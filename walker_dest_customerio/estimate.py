"""Requests that events will take, before any is made; pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from walker_dest_customerio.event_delivery import EventDelivery, Task, batches_of
from walker_dest_customerio.operations import ApiName
from walker_dest_customerio.settings import Settings


def estimate(
    deliveries: Sequence[EventDelivery], settings: Settings
) -> Mapping[str, tuple[int, float]]:
    """Return requests and rate limit (per second) of each API, for a batch of events."""
    tasks = [Task(item, operation) for item in deliveries for operation in item.plan.operations]
    apis = Counter(_requests(tasks, batched=settings.delivery == "batch"))
    rates = {"track": settings.rate_limit, "app": settings.app_rate_limit}
    return {f"{api.capitalize()} API": (count, rates[api]) for api, count in apis.items()}


def _requests(tasks: Sequence[Task], *, batched: bool) -> Iterator[ApiName]:
    """Yield the API of each request."""
    if not batched:
        yield from (task.operation.api for task in tasks)
        return
    for task in tasks:
        task.prepare(0)
    yield from (group[0].operation.api for group in batches_of(tasks))
