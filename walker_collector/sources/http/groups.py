"""Groups of events: those of all requests that wait are accepted together."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from attrs import evolve

from walker_collector.errors import CollectorClosed, WalkerError
from walker_collector.hookspecs import Received
from walker_collector.results import PushResult
from walker_collector.sources.http.respond import Accept

Results = Sequence[PushResult | WalkerError]
Decided = Future[PushResult]
"""Has the result of an event once destinations have decided on it."""

_GROUP: Final = 2_000
"""Events after which a group is closed; the requests after it wait for the next."""

logger = logging.getLogger("walker_collector")


class EventGroups:
    """Accepts the events of all requests that wait together, off the event loop.

    While a group is being committed, the next one gathers: so a busy server commits seldom, and a
    quiet one at once.
    """

    def __init__(self, accept: Accept) -> None:
        self._accept = accept
        self._waiting: list[tuple[Sequence[Received], asyncio.Future[Results]]] = []
        self._working: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "walker-http")

    async def accept(self, events: Sequence[Received]) -> Results:
        """Return the results of these events, once they are committed."""
        if not events:
            return []
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Results] = loop.create_future()
        self._waiting.append((events, future))
        if self._working is None:
            self._working = loop.create_task(self._work())
        return await asyncio.shield(future)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                group = self._next_group()
                events = [event for some, _ in group for event in some]
                results = await loop.run_in_executor(self._thread, self._push, events)
                at = 0
                for some, future in group:
                    if not future.done():
                        future.set_result(results[at : at + len(some)])
                    at += len(some)
        finally:
            self._working = None

    def _next_group(self) -> list[tuple[Sequence[Received], "asyncio.Future[Results]"]]:
        size = taken = 0
        while taken < len(self._waiting) and size < _GROUP:
            size += len(self._waiting[taken][0])
            taken += 1
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return group

    def _push(self, events: Sequence[Received]) -> Results:
        return pushed(self._accept, events)


def pushed(accept: Accept, events: Sequence[Received]) -> Results:
    """Accept events; an error becomes the result of each."""
    try:
        return accept(events) if events else []
    except WalkerError as error:
        return [error] * len(events)
    except Exception:
        logger.exception("source http: events could not be accepted")
        return [CollectorClosed("the events could not be accepted")] * len(events)


def awaited(events: Sequence[Received]) -> tuple[list[Received], list[Decided]]:
    """Return events, with a future of each that has its result once destinations have decided."""
    futures = [Decided() for _ in events]
    return [evolve(item, decided=at) for item, at in zip(events, futures, strict=True)], futures


def undecided(futures: Sequence[Decided], results: Results) -> set[Decided]:
    """Return the futures of the events that were accepted."""
    pairs = zip(futures, results, strict=True)
    return {future for future, result in pairs if isinstance(result, PushResult)}


def decisions(results: Results, futures: Sequence[Decided]) -> Results:
    """Return the decisions that there are, and of other events the first result."""
    late = [future.cancel() for future in futures]  # one that is done cannot be cancelled
    return [
        result if is_late else future.result()
        for result, is_late, future in zip(results, late, futures, strict=True)
    ]
