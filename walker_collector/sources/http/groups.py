"""Groups of events: those of all requests that wait are accepted together."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from attrs import evolve

from walker_collector.errors import CollectorClosed, WalkerError
from walker_collector.hookspecs import Received
from walker_collector.results import PushResult
from walker_collector.sources.http.respond import Accept

Results = Sequence[PushResult | WalkerError]
Decided = Future[PushResult]
"""Has the result of an event once destinations have decided on it."""
_Waiting = tuple[Sequence[Received], "asyncio.Future[Results]"]
"""The events of a request, and the future of their results."""

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
        self._waiting: list[_Waiting] = []
        self._is_working = False
        self._thread = ThreadPoolExecutor(1, "walker-http")

    async def accept(self, events: Sequence[Received]) -> Results:
        """Return the results of these events, once they are committed."""
        if not events:
            return []
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Results] = loop.create_future()
        self._waiting.append((events, future))
        if not self._is_working:
            self._is_working = True
            self._thread.submit(self._work, loop, self._next_group())
        return await future

    def _work(self, loop: asyncio.AbstractEventLoop, group: "list[_Waiting]") -> None:
        """Accept a group, on the thread."""
        results = pushed(self._accept, [event for events, _ in group for event in events])
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._finish, loop, group, results)

    def _finish(
        self, loop: asyncio.AbstractEventLoop, group: "list[_Waiting]", results: Results
    ) -> None:
        """Give the requests of a group their results, and begin the next one."""
        at = 0
        for events, future in group:
            if not future.done():
                future.set_result(results[at : at + len(events)])
            at += len(events)
        if self._waiting:
            self._thread.submit(self._work, loop, self._next_group())
        else:
            self._is_working = False

    def _next_group(self) -> "list[_Waiting]":
        size = taken = 0
        while taken < len(self._waiting) and size < _GROUP:
            size += len(self._waiting[taken][0])
            taken += 1
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return group


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
