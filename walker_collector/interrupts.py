"""Work that signal handlers cannot interrupt, and waits that they can.

Python runs signal handlers on the main thread, between any two instructions. A handler may raise,
as `sys.exit` does, or call the collector itself. So changes that take several steps are made on
another thread, where no handler runs. And the main thread holds no lock while it waits: an
exception can leave `threading.Condition` and `threading.Event` locked.
"""

import sys
import threading
import time
from _thread import allocate_lock, get_ident, start_new_thread
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

LONGEST: Final = 86_400.0 * 365
"""Longest timeout (s); locks do not accept an infinite one."""
_POLL_INTERVAL: Final = 1.0
"""Longest wait (s) before a condition is checked again, as a wake-up may be interrupted."""
_GRACE: Final = 10.0
"""Wait (s) of an interrupted thread for work that has begun."""
_HANDLERS: Final = 5
"""Signal handlers that may raise one after the other while interrupted work is finished."""
_FOREVER: Final = float("inf")


def uninterrupted(work: Callable[[], T], grace: float = _GRACE) -> T:
    """Call `work` so that signal handlers cannot interrupt it; return its result.

    Called on the main thread, it runs `work` on another thread, to the end, even if a handler
    raises here; the wait for that is `grace` seconds at most. An exception of `work` is raised. The
    caller must hold no lock that `work` takes.
    """
    if get_ident() != threading.main_thread().ident:
        return work()
    run = SingleRun(work)
    try:
        run.begin(here=True)
        run.wait(_FOREVER)
    except BaseException:  # a handler raised; work that has begun ends first
        if not run.cancel():
            _run_out(run, time.monotonic() + grace)
        raise
    return run.result()


def run_to_the_end(work: Callable[[], object]) -> None:
    """Repeat work that a signal handler has interrupted, so that no further one interrupts it.

    Call it first of all where the handler's exception is caught. Further handlers may raise here;
    the work is done then, too.
    """
    if get_ident() != threading.main_thread().ident:
        work()
    else:
        _run_out(SingleRun(work), _FOREVER)


def _run_out(run: "SingleRun[T]", deadline: float, handlers: int = _HANDLERS) -> None:
    """Begin a run unless it has begun, and wait for its end, although some handlers raise."""
    try:
        run.begin(here=True)
        run.wait(deadline)
    except BaseException:
        if handlers:
            _run_out(run, deadline, handlers - 1)
        raise


class SingleRun(Generic[T]):
    """Work that runs once, on a thread without signal handlers, however often it is begun.

    `over` is True after it has ended. `thread` is the identifier of its thread.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._claims: list[None] = [None]
        self._results: list[T] = []
        self._error: BaseException | None = None
        self.over = False
        self.thread = 0
        self._changes = Notifier()

    def begin(self, *, here: bool) -> None:
        """Begin the work, unless it has begun.

        Without further threads, as when the interpreter is about to end, it runs `here` or not at
        all.
        """
        if not self._claims:
            return
        try:
            start_new_thread(self._run, ())  # at once or not at all, unlike the start of a Thread
        except RuntimeError:
            if here:
                self._run()

    def cancel(self) -> bool:
        """Prevent work that has not begun; return whether it was prevented."""
        try:
            self._claims.pop()  # atomic: of several threads, one gets the claim
        except IndexError:
            return False
        return True

    def _run(self) -> None:
        if not self.cancel():  # two have begun it at once
            return
        self.thread = get_ident()
        try:
            self._results.append(self._work())
        except BaseException as error:  # raised by `result`, whatever it is
            self._error = error
        finally:
            self.over = True
            self._changes.notify_all()

    def wait(self, deadline: float) -> bool:
        """Wait for the end, until the monotonic `deadline` (s); return whether it has ended."""
        return self._changes.wait_for(lambda: self.over, deadline)

    def result(self) -> T:
        """Return the result of work that has ended, or raise its exception."""
        if self._error is not None:
            raise self._error
        return self._results[0]


def deadline_after(timeout: float | None) -> float:
    """Return the monotonic time (s) at the end of a timeout (s); None: far in the future."""
    return time.monotonic() + (LONGEST if timeout is None else min(timeout, LONGEST))


class Notifier:
    """Wakes threads that wait for a change: a condition variable without a lock to leave locked.

    Each waiting thread adds a latch, a lock of its own, and blocks on it until it is released.
    """

    def __init__(self) -> None:
        self._latches: deque[threading.Lock] = deque()

    def notify_all(self) -> None:
        """Wake every waiting thread, to check its condition again."""
        latches = self._latches
        for _ in range(len(latches)):
            try:
                latches.popleft().release()
            except IndexError:  # another thread has released them
                return

    def wait_for(
        self, holds: Callable[[], bool], deadline: float, poll: float = _POLL_INTERVAL
    ) -> bool:
        """Wait until a condition is true; return False at the monotonic `deadline` (s).

        `poll`: the longest wait (s) before it is checked again, without a change.
        """
        while not holds():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            latch = allocate_lock()
            latch.acquire()
            self._latches.append(latch)
            if holds():  # it may have become true before the latch was added
                return True
            latch.acquire(timeout=min(left, poll))
        return True

    def wait(self, timeout: float, lock: threading.RLock) -> None:
        """Wait for a change, at most `timeout` s; release `lock`, held once, in the meantime.

        Only for threads that no signal handler can interrupt: see `uninterrupted`.
        """
        latch = allocate_lock()
        latch.acquire()
        self._latches.append(latch)
        lock.release()
        try:
            latch.acquire(timeout=max(0.0, min(timeout, _POLL_INTERVAL)))
        finally:
            lock.acquire()


def process_is_ending() -> bool:
    """Return whether the main thread has ended, and the interpreter waits for the others."""
    return not threading.main_thread().is_alive()


def within_logging() -> bool:
    """Return whether the calling thread is inside the logging module, and may hold its locks.

    A signal handler must not wait for another thread then, as that thread may want to log.
    """
    frame = sys._getframe()  # as the logging module itself does
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_globals.get("__name__") == "logging":
            return True
    return False
