"""The door of a collector: which threads are inside one of its calls, and whether it is closed."""

import functools
import time
from _thread import get_ident
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

from walker_collector.errors import CollectorClosed, ReentrantCall

_GLANCE: Final = 0.002
"""How long (s) whoever closes the door waits between looks at those inside."""

P = ParamSpec("P")
T = TypeVar("T")


class Door:
    """Knows the threads that are inside; once it is closed, nobody new gets in.

    `inside` maps the identifier of a thread to whether closing waits for its call to end. A call
    enters and leaves by single operations of that mapping: locks, counts and context managers
    could be left behind by a signal handler that raises between two steps.
    """

    def __init__(self) -> None:
        self.inside: dict[int, bool] = {}
        self.leaving: set[int] = set()
        """The threads inside that were asked to close: what they wait for is to end."""
        self.closed = False

    def after_fork(self) -> None:
        """Note, in a forked child, that those inside are not there."""
        self.inside = {}
        self.leaving = set()

    def check(self) -> None:
        """Raise CollectorClosed where the door is closed."""
        if self.closed:
            raise CollectorClosed("the collector is closed; the event was not accepted")

    def wait_until_empty(self, expired: Callable[[], bool]) -> None:
        """Wait, until the time has expired, for the calls that closing waits for."""
        while any(list(self.inside.values())) and not expired():
            time.sleep(_GLANCE)


class _HasDoor(Protocol):
    _door: Door


S = TypeVar("S", bound=_HasDoor)


def inside(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Have the calling thread be inside the door during a method.

    Raises ReentrantCall where it is inside already: whoever called holds locks.
    """

    @functools.wraps(method)
    def entered(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        threads, me = self._door.inside, get_ident()
        if me in threads:
            raise reentrant(method.__name__)
        try:
            threads[me] = True
            return method(self, *args, **kwargs)
        finally:
            threads.pop(me, None)

    return entered


def looking(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Have the calling thread be inside the door during a method that closing need not wait for,
    and that another call of the same thread may be interrupted for.
    """

    @functools.wraps(method)
    def entered(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        threads, me = self._door.inside, get_ident()
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
