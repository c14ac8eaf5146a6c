"""Calls from an event loop: threads do the blocking work, in the order of the calls.

A push that has nothing to wait for is made on the loop. Otherwise its event is read there, and
stored with those of other tasks by a thread, which waits for room and for the disk. However many
tasks push at once, the loop does so for a few ms in each of its rounds.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from copy import copy
from functools import partial
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from attrs import define, field

from walker_collector.delivery.status import Answer
from walker_collector.errors import CollectorClosed, SpoolFull, WalkerError
from walker_collector.groups import Groups
from walker_collector.intake.in_flight import InFlight, inside
from walker_collector.intake.read_events import ReadEvent
from walker_collector.intake.reading import check_events, until_it_raises
from walker_collector.interrupts import LONGEST
from walker_collector.lifecycle import Lifecycle
from walker_collector.results import PushResult, Waiter, answered
from walker_collector.runtime import Runtime
from walker_collector.turns import Turns

T = TypeVar("T")
Result = PushResult | WalkerError
_Waiting = tuple[ReadEvent, float]
"""An event or command of a task, and the time (monotonic, s) until it waits for room."""

_SLICE: Final = 100
"""Events of one call that are read before other tasks get their turn."""
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


@define(eq=False)
class _Call:
    """A call, or a part of one: some events that are accepted together.

    read: returns the next events and commands, and errors in place of what cannot be read. items:
    what it has returned. done: the results of the first events, if they had nothing to wait for.
    future: the results of the others.
    """

    read: "Callable[[Runtime, Turns], Sequence[ReadEvent | WalkerError]]"
    deadline: float
    future: asyncio.Future[Sequence[Result]]
    items: Sequence[ReadEvent | WalkerError] = ()
    done: Sequence[Result] = ()

    async def results(self) -> list[Result]:
        """Wait for the results of all events, and return them in order."""
        try:
            rest = await self.future
        finally:
            for item in self.events():  # of no effect on those that are stored
                item.cancelled = True
        accepted = iter([*self.done, *rest])
        return [next(accepted) if isinstance(item, ReadEvent) else item for item in self.items]

    def events(self) -> list[ReadEvent]:
        """Return the events and commands that could be read."""
        return [item for item in self.items if isinstance(item, ReadEvent)]


class LoopCalls:
    """The calls of a collector from event loops. `queue_wait` (s) is the longest wait for room."""

    def __init__(self, life: Lifecycle, in_flight: InFlight, queue_wait: float) -> None:
        self._life = life
        self._in_flight = in_flight
        self._queue_wait = queue_wait
        self._closes = False
        self._groups: Groups[_Waiting, Result] = Groups(self._accept_waiting, "walker-async")
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()

    async def push(
        self, raw: Mapping[str, Any], *, wait: bool, timeout: float | None
    ) -> PushResult:
        """Accept an event; see AsyncCalls.apush."""
        if self._life.forked:
            await self.off_loop(self._life.own_runtime)
        waiter = LoopWaiter(0) if wait else None
        call = self._begin(partial(_read_one, raw, waiter), self._queue_wait)
        (result,) = await call.results()
        if isinstance(result, WalkerError):
            raise copy(result)  # other tasks may raise the same one
        if waiter is None or not waiter.expected:
            return result
        await waiter.gather(timeout)
        return answered(result, waiter.answers)

    async def push_many(self, events: Iterable[Mapping[str, Any] | bytes]) -> list[Result]:
        """Accept many events; see AsyncCalls.apush_many."""
        check_events("apush_many", events)
        if self._life.forked:
            await self.off_loop(self._life.own_runtime)
        read = partial(_read_some, until_it_raises("apush_many", events))
        results: list[Result] = []
        wait = self._queue_wait
        while some := await self._begin(read, wait).results():
            results += some
            if any(isinstance(result, SpoolFull) for result in some):
                wait = 0.0  # a call waits in vain once
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
        loop = asyncio.get_running_loop()
        others: asyncio.Future[Sequence[Result]] = loop.create_future()
        last = [(ReadEvent(cancelled=True), 0.0)]
        self._turns_of(loop).do(self._groups.submit, last, others)
        await others
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

        def start() -> None:
            try:
                if not future.done():  # its task was cancelled
                    context = copy_context()
                    threading.Thread(target=context.run, args=(run,), name="walker-async").start()
            except RuntimeError as error:  # there are too many threads
                future.set_exception(error)

        self._turns_of(loop).do(start)  # a thread takes as long to start as an event to read
        return await future

    # --- private ---------------------------------------------------------------------------

    def _begin(
        self, read: Callable[[Runtime, Turns], Sequence[ReadEvent | WalkerError]], wait: float
    ) -> _Call:
        """Begin a call, now or when its turn comes; it waits for room for up to `wait` s."""
        self._in_flight.check_open()
        loop = asyncio.get_running_loop()
        call = _Call(read, time.monotonic() + wait, loop.create_future())
        turns = self._turns_of(loop)
        turns.do(self._take, call, turns)
        return call

    def _turns_of(self, loop: asyncio.AbstractEventLoop) -> Turns:
        turns = self._turns.get(loop)
        if turns is None:
            turns = self._turns[loop] = Turns()
        return turns

    def _take(self, call: _Call, turns: Turns) -> None:
        """Read the events of a call, on the loop, and accept them or have them accepted."""
        if call.future.done():  # its task was cancelled
            return
        runtime = self._life.runtime
        try:
            call.items = call.read(runtime, turns)
            events = call.events()
            if self._waits_for_nothing(runtime) and all(item.command is None for item in events):
                call.done = _with_room(self._accept_now(events))
            if left := events[len(call.done) :]:
                self._groups.submit([(item, call.deadline) for item in left], call.future)
            else:
                call.future.set_result(())
        except Exception as error:
            call.future.set_exception(error)

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


def _read_one(
    event: Any, waiter: LoopWaiter | None, runtime: Runtime, _: Turns
) -> list[ReadEvent | WalkerError]:
    """Read an event, as it is now."""
    try:
        return [runtime.intake.read(event, waiter)]
    except WalkerError as error:
        return [error]


def _read_some(
    events: Iterator[Any], runtime: Runtime, turns: Turns
) -> list[ReadEvent | WalkerError]:
    """Read the next events, until other tasks should get their turn; none is left: []."""
    read: list[ReadEvent | WalkerError] = []
    for event in events:
        read += _read_one(event, None, runtime, turns)
        if len(read) >= _SLICE or turns.is_over():
            break
    return read


def _with_room(results: Sequence[Result]) -> Sequence[Result]:
    """Return the results before the first event that found no room."""
    for at, result in enumerate(results):
        if isinstance(result, SpoolFull):
            return results[:at]
    return results
