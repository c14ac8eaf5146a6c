"""Groups: the items of all tasks that wait are handled together, off their event loop."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")
R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)


class Taker(Protocol[R_contra]):
    """Takes the results of some items, or the exception of their group; a future is one.

    It may do some work at once, and raises nothing.
    """

    def done(self) -> bool:
        """Return whether nobody waits any more, so that the next groups leave the items out."""

    def set_result(self, results: Sequence[R_contra], /) -> object:
        """Take the results."""

    def set_exception(self, error: Exception, /) -> object:
        """Take the exception."""


_Waiting = tuple[Sequence[T], Taker[R]]
"""The items of a task, and the taker of their results."""

_Answer = tuple[Taker[R], Sequence[R] | Exception]
"""The taker of a task, and its results."""

_GROUP: Final = 2_000
"""Items after which a group is closed, if not told otherwise."""
_WOKEN: Final = 100
"""Tasks that get their results in one round of the loop, which runs all of them."""


class Groups(Generic[T, R]):
    """Hands the items of all tasks that wait to `handle` together, on a thread per event loop.

    `handle` returns a result for each. While it works on a group, the next one gathers, until it
    has `most` items: so a busy process commits seldom, and a quiet one at once. Groups keep the
    order of the calls.
    """

    def __init__(
        self, handle: Callable[[Sequence[T]], Sequence[R]], thread: str, *, most: int = _GROUP
    ) -> None:
        self._handle = handle
        self._thread = thread
        self._most = most
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _GroupsOfLoop[T, R]] = (
            WeakKeyDictionary()
        )

    def is_idle(self) -> bool:
        """Return whether no task of the running loop waits."""
        groups = self._loops.get(asyncio.get_running_loop())
        return groups is None or not groups.is_working

    def submit(self, items: Sequence[T], taker: Taker[R]) -> None:
        """Have items handled, and their results taken on the running loop."""
        loop = asyncio.get_running_loop()
        groups = self._loops.get(loop)
        if groups is None:
            groups = self._loops[loop] = _GroupsOfLoop(self._handle, self._thread, self._most)
        groups.add(loop, (items, taker))


class _GroupsOfLoop(Generic[T, R]):
    """The groups of one event loop; its thread ends with it."""

    def __init__(
        self, handle: Callable[[Sequence[T]], Sequence[R]], thread: str, most: int
    ) -> None:
        self._handle = handle
        self._most = most
        self._waiting: list[_Waiting[T, R]] = []
        self._answers: deque[_Answer[R]] = deque()
        self._thread = ThreadPoolExecutor(1, thread)
        self.is_working = False

    def add(self, loop: asyncio.AbstractEventLoop, waiting: _Waiting[T, R]) -> None:
        """Have items handled with the next group."""
        self._waiting.append(waiting)
        if not self.is_working:
            self.is_working = True
            loop.call_soon(self._begin, loop)  # with all else that is ready

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin with the next group, if there is one."""
        if group := self._next_group():
            self._thread.submit(self._work, loop, group)
        self.is_working = bool(group)

    def _work(self, loop: asyncio.AbstractEventLoop, group: list[_Waiting[T, R]]) -> None:
        """Handle a group, on the thread."""
        try:
            results = self._handle([item for items, _ in group for item in items])
            answers = _shared_out(group, results)
        except Exception as error:
            answers = [(taker, error) for _, taker in group]
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._finish, loop, answers)

    def _finish(self, loop: asyncio.AbstractEventLoop, answers: Sequence[_Answer[R]]) -> None:
        """Begin the next group, and give the tasks of this one their results."""
        self._begin(loop)
        is_giving = bool(self._answers)
        self._answers += answers
        if not is_giving:
            self._give(loop)

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give tasks their results, some in each round of the loop."""
        try:
            for _ in range(min(len(self._answers), _WOKEN)):
                taker, results = self._answers.popleft()
                if taker.done():  # its task was cancelled
                    pass
                elif isinstance(results, Exception):
                    taker.set_exception(results)
                else:
                    taker.set_result(results)
        finally:  # the fault of one is not that of the others
            if self._answers:
                loop.call_soon(self._give, loop)

    def _next_group(self) -> list[_Waiting[T, R]]:
        """Take the items that are handled next, without those of cancelled tasks."""
        waiting = [item for item in self._waiting if not item[1].done()]
        size = taken = 0
        while taken < len(waiting) and size < self._most:
            size += len(waiting[taken][0])
            taken += 1
        self._waiting = waiting[taken:]
        return waiting[:taken]


def _shared_out(group: Sequence[_Waiting[T, R]], results: Sequence[R]) -> list[_Answer[R]]:
    """Return the results of a group for each of its tasks."""
    answers: list[_Answer[R]] = []
    at = 0
    for items, taker in group:
        answers.append((taker, results[at : at + len(items)]))
        at += len(items)
    return answers
