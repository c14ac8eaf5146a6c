"""The life of a collector: its runtime, from the start to the close, also across a fork."""

import threading
from _thread import get_ident
from collections.abc import Callable
from typing import TYPE_CHECKING

from walker_collector import process
from walker_collector.closing import Closing
from walker_collector.errors import EventError, ReentrantCall
from walker_collector.intake.in_flight import InFlight
from walker_collector.interrupts import deadline_after, process_is_ending, within_logging
from walker_collector.text import get_logger, storable

if TYPE_CHECKING:
    from walker_collector.runtime import Runtime

logger = get_logger("walker_collector")


class Lifecycle:
    """Opens a collector's runtime, opens it again in a forked child, and closes it once.

    `build` makes a runtime. `close_timeout` is the time (s) that closing waits for deliveries.
    """

    runtime: "Runtime"

    def __init__(
        self, build: "Callable[[], Runtime]", in_flight: InFlight, close_timeout: float
    ) -> None:
        self.close_timeout = close_timeout
        self.forked = False
        self._build = build
        self._in_flight = in_flight
        self._closings: dict[str, Closing] = {}
        """At most one: `setdefault` happens once, also if a signal handler interrupts it."""
        self._reopening = threading.Lock()

    # --- open ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the runtime of the process that the collector is made in."""
        self._start()
        process.register(self)

    def _start(self) -> None:
        self.runtime = self._build()
        self.runtime.start(
            forked=self.forked
        )  # now that the hooks which it calls may use the collector

    def runtime_if_open(self) -> "Runtime":
        """Return the runtime of this process; raises CollectorClosed."""
        self._in_flight.check_open()
        return self.own_runtime()

    def own_runtime(self) -> "Runtime":
        """Return the runtime of this process: a forked child makes its own when it needs one."""
        if self.forked and self._reopen() and not self.runtime.spool.durable:
            logger.warning(
                "this process was forked, and its collector is in memory: it has queues, consent "
                "and identities of its own, of which the parent and other children know nothing; "
                "configure a spool (collector.spool) to have the same in all processes"
            )
        return self.runtime

    def _reopen(self) -> bool:
        """Make the runtime of a forked child; return whether this call has made it."""
        with self._reopening:
            if not self.forked:
                return False
            self._start()
            self.forked = False
            return True

    # --- flush -----------------------------------------------------------------------------

    def may_wait(self) -> bool:
        """Return whether a call may wait: for nothing that its own thread does, or may hold."""
        me = get_ident()
        return not (me in self._in_flight.inside or within_logging() or self._is_serving(me))

    def flush(self, timeout: float | None, given_up: Callable[[], bool] = lambda: False) -> bool:
        """Wait until nothing waits, or it is given up; see Collector.flush."""
        check_timeout("flush", timeout)
        if self.forked:
            return True  # the waiting events are the parent's
        if not self.may_wait():
            return False
        threads, me = self._in_flight.inside, get_ident()
        deadline = deadline_after(timeout)
        try:
            self._in_flight.leaving.discard(me)
            threads[me] = False
            return self._flush(deadline, lambda: me in self._in_flight.leaving or given_up())
        finally:
            threads.pop(me, None)

    def _flush(self, deadline: float, leaves: Callable[[], bool]) -> bool:
        workers = self.runtime.workers
        if workers.flush(deadline, lambda: leaves() or process_is_ending()):
            return True
        # The interpreter waits for this thread: no longer than for a collector that closes.
        deadline = min(deadline, deadline_after(self.close_timeout))
        return workers.flush(deadline, lambda: leaves() or not process_is_ending())

    def wake_waiting(self) -> None:
        """Have threads that wait for deliveries, or for room, look again whether they go on."""
        for worker in self.runtime.workers.values():
            worker.wake_waiting()

    # --- close -----------------------------------------------------------------------------

    def close(self, timeout: float | None = None) -> bool:
        """Close, or wait for the close that is under way; see Collector.close."""
        check_timeout("close", timeout)
        self._in_flight.closed = True
        if self.forked and not self._in_flight.inside:
            process.unregister(self)
            return True  # the waiting events are the parent's
        deadline = deadline_after(self.close_timeout if timeout is None else timeout)
        closing = self._closings.setdefault("one", Closing(self._end, deadline))
        waits = not self._cannot_wait()
        closing.begin(here=waits)
        if not waits and not closing.over:
            return False
        return closing.wait()

    def _cannot_wait(self) -> bool:
        """Return whether closing would wait for the calling thread, or for a lock it may hold."""
        me = get_ident()
        if me in self._in_flight.inside:
            self._in_flight.leaving.add(me)
            self.wake_waiting()
            return True
        return within_logging() or self._is_serving(me)

    def _is_serving(self, thread: int) -> bool:
        """Return whether a thread delivers, erases or closes: it must not wait for the others."""
        return (
            thread == self.runtime.erasure.thread
            or any(
                closing.thread == thread and not closing.over
                for closing in list(self._closings.values())
            )
            or any(worker.is_worker(thread) for worker in self.runtime.workers.values())
        )

    def check_may_wait(self, call: str) -> None:
        """Raise ReentrantCall within a hook: the call would wait for the end of that hook."""
        if self._is_serving(get_ident()):
            raise ReentrantCall(
                f"{call}: called within a hook of a destination, it would wait for itself; in a "
                "hook, push without wait, and erase with the `forget` of its context"
            )

    def _end(self, closing: Closing) -> bool:
        """Close, on a thread without signal handlers; return whether nothing is left."""
        self._in_flight.wait_until_empty(closing.expired)
        try:
            return self.forked or self.runtime.stop(closing.deadline, closing.expired)
        finally:
            process.unregister(self)

    # --- fork ------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Pause SQLite, so that a forked child inherits no held lock."""
        spool = self.runtime.spool
        if spool.durable and not self.forked and get_ident() not in self._in_flight.inside:
            spool.pause()

    def after_fork_in_parent(self) -> None:
        """Resume SQLite in the parent."""
        if self.runtime.spool.durable and not self.forked:
            self.runtime.spool.resume()

    def after_fork_in_child(self) -> None:
        """Leave everything to the parent; `own_runtime` makes the child's runtime."""
        self.forked = True
        self._reopening = threading.Lock()
        self._closings = {}
        self._in_flight.after_fork()
        if self.runtime.spool.durable:
            self.runtime.spool.abandon()


def check_wait(call: str, wait: object, timeout: float | None) -> None:
    """Raise EventError, naming the call, unless it waits for a number of seconds, or for ever."""
    if wait is not True:
        raise EventError(
            f"{call}: wait is True or False, not {type(wait).__name__}; "
            f"write {call}(..., wait=True, timeout=10)"
        )
    check_timeout(call, timeout)


def check_timeout(call: str, timeout: object) -> None:
    """Raise EventError, naming the call, for a timeout that is no number of seconds."""
    if timeout is None or (type(timeout) in (int, float) and timeout == timeout):  # not NaN
        return
    shown = f'"{timeout}"' if type(timeout) is str else timeout
    raise EventError(f"{call}: timeout is a number of seconds, or None; not {storable(shown, 80)}")
