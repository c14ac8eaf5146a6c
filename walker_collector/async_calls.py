"""The calls of a collector for coroutines; `loop_calls` does the work."""

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Never, Self, Unpack

from walker_collector.config import Consent
from walker_collector.errors import WalkerError
from walker_collector.events import EventParts, EventUser
from walker_collector.intake.in_flight import InFlight
from walker_collector.intake.reading import check_statement, raw_event, readable
from walker_collector.lifecycle import Lifecycle, check_timeout, check_wait
from walker_collector.results import PushResult
from walker_collector.usage import MISSING, answering_wrong_calls

if TYPE_CHECKING:
    from walker_collector.loop_calls import LoopCalls


@answering_wrong_calls
class AsyncCalls:
    """The calls of a collector for coroutines of asyncio; they never block their event loop."""

    _life: Lifecycle
    _in_flight: InFlight
    _queue_wait: float

    # Of the collector itself:
    consent: Callable[..., int]
    forget: Callable[..., int]
    close: Callable[..., bool]

    @cached_property
    def _calls(self) -> "LoopCalls":
        # Imported here: an application without coroutines does not need asyncio.
        from walker_collector.loop_calls import LoopCalls

        return LoopCalls(self._life, self._in_flight, self._queue_wait)

    def _import_calls(self) -> None:
        """Import `loop_calls` where asyncio is at work: the first call is to import nothing."""
        if "asyncio" in sys.modules:
            import_module("walker_collector.loop_calls")

    async def apush(
        self,
        event: str | Mapping[str, Any],
        /,
        *more: Never,
        wait: bool = False,
        timeout: float | None = None,
        **parts: Unpack[EventParts],
    ) -> PushResult:
        """Accept one event as `push` does, without blocking the event loop.

        The event is read at the call or, where many tasks push at once, some ms later: leave its
        objects as they are until the call returns. Tasks are served in the order of their calls,
        and each waits for room for up to `collector.queueWait` ms. Raises as `push` does. A task
        that is cancelled while it waits for room has accepted nothing; one that is cancelled while
        the event is written may have accepted it: wholly, or not at all.
        """
        if wait:
            check_wait("apush", wait, timeout)
            self._life.check_may_wait("apush(wait=True)")
        elif timeout is not None:
            check_timeout("apush", timeout)
        raw = raw_event(event, parts, more, "apush")
        return await self._calls.push(raw, wait=wait, timeout=timeout)

    async def apush_many(
        self, events: Iterable[Mapping[str, Any] | bytes]
    ) -> list[PushResult | WalkerError]:
        """Accept many events as `push_many` does, without blocking the event loop.

        They are read on the loop, and other tasks get their turn in between.
        """
        return await self._calls.push_many(events)

    async def aconsent(self, update: Consent, user: EventUser | Mapping[str, Any] = MISSING) -> int:
        """Record a grant or withdrawal as `consent` does, without blocking the event loop.

        A task that is cancelled may have recorded it: wholly, or not at all.
        """
        check_statement("aconsent", update, user)
        if user is not MISSING:
            self._check_person("aconsent", user)
        return await self._calls.off_loop(partial(self.consent, update, user))

    async def aforget(self, user: EventUser | Mapping[str, Any]) -> int:
        """Erase a person as `forget` does, without blocking the event loop."""
        self._life.check_may_wait("aforget")
        self._check_person("aforget", user)
        return await self._calls.off_loop(partial(self.forget, user))

    async def aflush(self, timeout: float | None = None) -> bool:
        """Wait until no events wait, as `flush` does, without blocking the event loop."""
        check_timeout("aflush", timeout)
        return await self._calls.flush(timeout)

    async def aclose(self, timeout: float | None = None) -> bool:
        """Close as `close` does, without blocking the event loop; `async with` does it at its end.

        Calls of this loop that wait for the disk are finished first; those that wait for room get
        CollectorClosed. Closing goes on if the task is cancelled.
        """
        check_timeout("aclose", timeout)
        if not self._life.may_wait():
            return self.close(timeout)
        return await self._calls.close(partial(self.close, timeout))

    def _check_person(self, call: str, user: Any) -> None:
        """Raise EventError that names this call, and not the one that does its work."""
        commands = self._life.runtime.intake.commands
        readable(lambda: commands.person(call, user))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
