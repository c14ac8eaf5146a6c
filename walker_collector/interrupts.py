"""Work that no signal handler can break off, and waits that each may.

Python runs signal handlers in the main thread, between any two of its calls; a handler may raise,
as `sys.exit` does, or call the collector itself. What is changed in several steps there is changed
on another thread instead, which no handler interrupts. And whoever waits there holds no lock
meanwhile: `threading.Condition` and `threading.Event` may be left locked by such an exception.
"""

import sys
import threading
import time
from _thread import allocate_lock, get_ident, start_new_thread
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

_GLANCE: Final = 1.0
"""How long (s) a thread waits at most before it looks again: a wake-up may have been broken off."""
_PATIENCE: Final = 10.0
"""How long (s) an interrupted thread waits for the work that it has begun."""


def uninterrupted(work: Callable[[], T]) -> T:
    """Return what `work` returns, or raise what it raises; in the main thread it is done by
    another, so that it comes to its end whatever a signal handler raises here meanwhile.

    The caller must hold no lock that `work` takes.
    """
    if get_ident() != threading.main_thread().ident:
        return work()
    results: list[T] = []
    errors: list[BaseException] = []
    claims = [None]
    over = allocate_lock()
    over.acquire()

    def run() -> None:
        try:
            claims.pop()
        except IndexError:  # the other thread does it
            return
        try:
            results.append(work())
        except BaseException as error:  # handed to the caller, whatever it is
            errors.append(error)
        finally:
            over.release()

    try:
        try:
            start_new_thread(run, ())  # at once or not at all, unlike the start of a Thread
        except RuntimeError:  # no more threads: the interpreter is about to end
            run()
        over.acquire()
    except BaseException:
        if not results and not errors:
            over.acquire(timeout=_PATIENCE)
        raise
    if errors:
        raise errors[0]
    return results[0]


class Notifier:
    """Wakes the threads that wait for a change."""

    def __init__(self) -> None:
        self._latches: deque[threading.Lock] = deque()

    def notify_all(self) -> None:
        """Have every thread that waits look again."""
        latches = self._latches
        for _ in range(len(latches)):
            try:
                latches.popleft().release()
            except IndexError:  # another thread was quicker
                return

    def wait_for(self, holds: Callable[[], bool], deadline: float) -> bool:
        """Wait until a condition holds; False where it does not at the monotonic `deadline` (s)."""
        while not holds():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            latch = allocate_lock()
            latch.acquire()
            self._latches.append(latch)
            if holds():  # it may have come to hold before the latch was seen
                return True
            latch.acquire(timeout=min(left, _GLANCE))
        return True

    def wait(self, timeout: float, lock: threading.RLock) -> None:
        """Wait for a change, at most `timeout` s, with a lock released that is held once.

        Not where a signal handler may interrupt: see `uninterrupted`.
        """
        latch = allocate_lock()
        latch.acquire()
        self._latches.append(latch)
        lock.release()
        try:
            latch.acquire(timeout=max(0.0, min(timeout, _GLANCE)))
        finally:
            lock.acquire()


def process_is_ending() -> bool:
    """Whether the main thread has ended: the interpreter waits for the other threads."""
    return not threading.main_thread().is_alive()


def within_logging() -> bool:
    """Whether the calling thread is inside the logging module, whose locks it may hold.

    A signal handler that then waits for another thread may wait for one that wants to log.
    """
    frame = sys._getframe()  # as the logging module itself does
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_globals.get("__name__") == "logging":
            return True
    return False
