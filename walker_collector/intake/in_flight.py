"""The calls in flight inside a collector, by thread; and the end of accepting calls."""

import functools
import time
from _thread import get_ident
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

from walker_collector.errors import CollectorClosed, ReentrantCall

_POLL_INTERVAL: Final = 0.002
"""Time (s) between checks of the calls that closing waits for."""

P = ParamSpec("P")
T = TypeVar("T")


class InFlight:
    """The threads inside a call of a collector; closed, it admits no further calls.

    `inside` maps a thread's identifier to whether closing waits for its call. `leaving` has the
    threads inside whose waits are to end, as they have asked to close. A call enters and leaves by
    single operations of `inside`: a signal handler that raises between two steps could leave a
    lock, a count or a context manager behind.
    """

    def __init__(self) -> None:
        self.inside: dict[int, bool] = {}
        self.leaving: set[int] = set()
        self.closed = False

    def after_fork(self) -> None:
        """Drop the parent's threads, in a forked child."""
        self.inside = {}
        self.leaving = set()

    def check_open(self) -> None:
        """Raise CollectorClosed if the collector is closed."""
        if self.closed:
            raise CollectorClosed(
                "the collector is closed; the event was not accepted: push before close(), or "
                "inside the `with` block"
            )

    def wait_until_empty(self, expired: Callable[[], bool]) -> None:
        """Wait for the calls that closing waits for, until `expired` returns True."""
        while any(list(self.inside.values())) and not expired():
            time.sleep(_POLL_INTERVAL)


class _HasInFlight(Protocol):
    _in_flight: InFlight


S = TypeVar("S", bound=_HasInFlight)


def inside(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Decorate a method: closing waits for its calls.

    Within another call of the same thread it raises ReentrantCall, as that one may hold locks.
    """

    @functools.wraps(method)
    def entered(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        threads, me = self._in_flight.inside, get_ident()
        if me in threads:
            raise reentrant(method.__name__)
        try:
            threads[me] = True
            return method(self, *args, **kwargs)
        finally:
            threads.pop(me, None)

    return entered


def looking(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Decorate a method that only reads: closing does not wait for its calls.

    It may be called within another call of the same thread.
    """

    @functools.wraps(method)
    def entered(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        threads, me = self._in_flight.inside, get_ident()
        if me in threads:
            return method(self, *args, **kwargs)
        try:
            threads[me] = False
            return method(self, *args, **kwargs)
        finally:
            threads.pop(me, None)

    return entered


def reentrant(method: str) -> ReentrantCall:
    """Return the error of a call from within another one."""
    return ReentrantCall(
        f"{method}: called while this thread is inside another call of the collector, from a "
        "signal handler, a log handler or a finalizer; note it down there and call later, or from "
        "another thread"
    )
