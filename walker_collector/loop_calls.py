"""Calls from an event loop: threads do the blocking work, in the order of the calls.

A push that has nothing to wait for is made at once. Otherwise its event is read at once, and stored
with those of other tasks by a thread, which waits for room and for the disk.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, Final, TypeVar

from attrs import define, field

from walker_collector.delivery import Answer
from walker_collector.errors import CollectorClosed, SpoolFull, WalkerError
from walker_collector.groups import Groups
from walker_collector.intake.event_group import ReadEvent
from walker_collector.intake.in_flight import InFlight, inside
from walker_collector.intake.reading import check_events, raw_event, until_it_raises
from walker_collector.interrupts import LONGEST
from walker_collector.lifecycle import Lifecycle
from walker_collector.results import PushResult, Waiter, answered
from walker_collector.runtime import Runtime

T = TypeVar("T")
Result = PushResult | WalkerError
_Waiting = tuple[ReadEvent, float]
"""An event or command of a task, and the time (monotonic, s) until it waits for room."""

_SLICE: Final = 100
"""Events of one call that are read before other tasks get their turn."""
_TURN: Final = 0.005
"""Time (s) after which they get it in any case."""
_POLL_INTERVAL: Final = 0.005
"""Time (s) between looks whether there is room again."""


@define(eq=False)
class LoopWaiter(Waiter):
    """Gathers the destinations' answers to one event, for a task that waits for them."""

    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _done: asyncio.Event = field(factory=asyncio.Event, init=False)

    def __call__(self, destination: str, answer: Answer) -> None:
        self.answers[destination] = answer
        if self.complete():
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._done.set)

    async def gather(self, timeout: float | None) -> None:
        """Wait for the answers, at most `timeout` s."""
        try:
            async with asyncio.timeout(None if timeout is None else min(timeout, LONGEST)):
                await self._done.wait()
        except TimeoutError:
            pass
        finally:
            self.over = True


class LoopCalls:
    """The calls of a collector from event loops. `queue_wait` (s) is the longest wait for room."""

    def __init__(self, life: Lifecycle, in_flight: InFlight, queue_wait: float) -> None:
        self._life = life
        self._in_flight = in_flight
        self._queue_wait = queue_wait
        self._closes = False
        self._groups: Groups[_Waiting, Result] = Groups(self._accept_waiting, "walker-async")

    async def push(
        self, raw: Mapping[str, Any], *, wait: bool, timeout: float | None
    ) -> PushResult:
        """Accept an event; see AsyncCalls.apush."""
        runtime = await self._runtime()
        waiter = LoopWaiter(0) if wait else None
        (result,) = await self._accept(runtime, [runtime.intake.read(raw, waiter)])
        if isinstance(result, WalkerError):
            raise result
        if waiter is None or not waiter.expected:
            return result
        await waiter.gather(timeout)
        return answered(result, waiter.answers)

    async def push_many(self, events: Iterable[Mapping[str, Any]]) -> list[Result]:
        """Accept many events; see AsyncCalls.apush_many."""
        check_events("apush_many", events)
        runtime = await self._runtime()
        results: list[Result] = []
        left = until_it_raises("apush_many", events)
        while read := _read_some(runtime, left):
            items = [item for item in read if isinstance(item, ReadEvent)]
            accepted = iter(await self._accept(runtime, items))
            results += [next(accepted) if isinstance(item, ReadEvent) else item for item in read]
            await asyncio.sleep(0)
        return results

    async def flush(self, timeout: float | None) -> bool:
        """Wait until no events wait; a task that is cancelled takes its thread with it."""
        if not self._life.may_wait():
            return False
        given_up = threading.Event()
        try:
            return await self.off_loop(partial(self._life.flush, timeout, given_up.is_set))
        finally:
            given_up.set()
            self._life.wake_waiting()

    async def close(self, close: Callable[[], bool]) -> bool:
        """Finish calls that wait for the disk, then close, even if the task is cancelled."""
        return await asyncio.shield(asyncio.ensure_future(self._finish_and_close(close)))

    async def _finish_and_close(self, close: Callable[[], bool]) -> bool:
        self._closes = True
        await self._groups.add([(ReadEvent({}, cancelled=True), 0.0)])  # after all others
        return await self.off_loop(close)

    async def off_loop(self, work: Callable[[], T]) -> T:
        """Return the result of `work`, on a thread of its own; it goes on if the task is cancelled.

        asyncio's own threads are few, and look up host names as well.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(give: Callable[[], None]) -> None:
            if not future.done():  # its task was cancelled
                give()

        def run() -> None:
            try:
                give = partial(future.set_result, work())
            except BaseException as error:
                give = partial(future.set_exception, error)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, give)

        threading.Thread(target=copy_context().run, args=(run,), name="walker-async").start()
        return await future

    # --- private ---------------------------------------------------------------------------

    async def _runtime(self) -> Runtime:
        """Return the runtime, which a forked child makes first; raises CollectorClosed."""
        if self._life.forked:
            await self.off_loop(self._life.own_runtime)
        return self._life.runtime_if_open()

    async def _accept(self, runtime: Runtime, items: Sequence[ReadEvent]) -> Sequence[Result]:
        """Return the results of events and commands, in their order."""
        done: Sequence[Result] = []
        if self._waits_for_nothing(runtime) and all(item.body for item in items):
            done = _with_room(self._accept_now(items))
        left = items[len(done) :]
        if not left:
            return done
        deadline = time.monotonic() + self._queue_wait
        try:
            return [*done, *await self._groups.add([(item, deadline) for item in left])]
        finally:
            for item in left:  # of no effect on those that are stored
                item.cancelled = True

    def _waits_for_nothing(self, runtime: Runtime) -> bool:
        """Return whether events need wait neither for the disk, nor for room or other tasks."""
        return not runtime.spool.durable and self._groups.is_idle() and not runtime.sink.is_full

    def _accept_waiting(self, waiting: Sequence[_Waiting]) -> Sequence[Result]:
        """Accept the events of waiting tasks, on the thread; wait for room."""
        results: list[Result] = []
        is_full = False
        while left := waiting[len(results) :]:
            tried = self._accept_now([item for item, _ in (left[:1] if is_full else left)])
            done = _with_room(tried)
            results += done
            is_full = len(done) < len(tried)
            if is_full:
                head, deadline = left[len(done)]
                if self._closes:
                    results.append(CollectorClosed("the collector is closed; there was no room"))
                elif time.monotonic() >= deadline:
                    results.append(tried[len(done)])
                else:
                    self._wait_for_room(head, deadline)
        return results

    def _wait_for_room(self, head: ReadEvent, deadline: float) -> None:
        """Sleep until there may be room, or the first event waits for it no longer."""
        while time.monotonic() < deadline:
            time.sleep(_POLL_INTERVAL)
            is_closing = self._closes or self._in_flight.closed
            if is_closing or head.cancelled or not self._life.runtime.sink.is_full:
                return

    def _accept_now(self, items: Sequence[ReadEvent]) -> Sequence[Result]:
        """Accept events and commands, up to the first one without room."""
        try:
            return self._accept_inside(items)
        except WalkerError as error:
            return [error] * len(items)

    @inside
    def _accept_inside(self, items: Sequence[ReadEvent]) -> Sequence[Result]:
        return self._life.runtime_if_open().intake.accept_read(items)


def _read_some(runtime: Runtime, events: Iterator[Any]) -> list[ReadEvent | WalkerError]:
    """Read the next events, until other tasks should get their turn; none is left: []."""
    read: list[ReadEvent | WalkerError] = []
    until = time.monotonic() + _TURN
    for event in events:
        try:
            read.append(runtime.intake.read(raw_event(event, {})))
        except WalkerError as error:
            read.append(error)
        if len(read) >= _SLICE or time.monotonic() > until:
            break
    return read


def _with_room(results: Sequence[Result]) -> Sequence[Result]:
    """Return the results before the first event that found no room."""
    for at, result in enumerate(results):
        if isinstance(result, SpoolFull):
            return results[:at]
    return results
