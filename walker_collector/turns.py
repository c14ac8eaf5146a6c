"""Turns: the work of many calls on one event loop, in their order, with room for all else."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Final, TypeVarTuple, Unpack

Args = TypeVarTuple("Args")

_TURN: Final = 0.002
"""Time (s) for this work in each round of the loop; asyncio runs all that is ready in one."""


class Turns:
    """Does the work of calls on their event loop, for a short time in each of its rounds.

    Work is done at once while there is time left, else in later rounds, in the order of the calls
    and in their contexts. So a thousand tasks that call at once do not stop the loop.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Context, Callable[..., object], tuple[Any, ...]]] = deque()
        self._ends: float | None = None
        """The end of the turn (monotonic, s); None: nothing was done in this round."""

    def do(self, work: Callable[[Unpack[Args]], object], *args: *Args) -> None:
        """Do the work of a call, now or when its turn comes; then it must raise nothing."""
        if self._waiting or self.is_over():
            self._waiting.append((copy_context(), work, args))
        else:
            work(*args)

    def is_over(self) -> bool:
        """Return whether the time of this round is over; begins the turn if there was none."""
        now = time.monotonic()
        if self._ends is None:
            self._ends = now + _TURN
            asyncio.get_running_loop().call_soon(self._next_round)
        return now >= self._ends

    def _next_round(self) -> None:
        self._ends = None
        while self._waiting and not self.is_over():
            context, work, args = self._waiting.popleft()
            context.run(work, *args)
