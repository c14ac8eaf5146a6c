"""Flushes: waits until nothing is left to deliver, or it is clear that it stays."""

import time
from collections.abc import Callable
from typing import Final

from walker_collector.delivery.health import Health
from walker_collector.delivery.pending import PendingEvents
from walker_collector.delivery.threads import WorkerThreads
from walker_collector.spool import LAST_SEQ

_FLUSH_POLL: Final = 0.1
"""Seconds after which a flush looks again: nobody tells of what another process has delivered."""
_MAX_WAIT: Final = 3600.0
"""Longest time (s) that is looked ahead."""


class Flushes:
    """The waits of callers until a destination has its events.

    under_way: one object for each; batches do not linger while there is any.
    take_rest: takes leases that other processes have given up as all of them close.
    """

    def __init__(self, pending: PendingEvents, health: Health, threads: WorkerThreads) -> None:
        self._state = pending.state
        self._own = pending.own
        self._health = health
        self._threads = threads
        self.under_way: set[object] = set()
        self.take_rest: Callable[[], object] = lambda: None

    def flush(
        self,
        deadline: float,
        given_up: Callable[[], bool] = lambda: False,
        *,
        everything: bool = False,
    ) -> bool:
        """Wait until no events wait that this process has accepted, or none of any process.

        Returns False at the monotonic `deadline` (s), when `given_up` returns True, or as soon as
        it is clear that the waiting events cannot go before the deadline.
        """
        flush, over = object(), False

        def ends() -> bool:
            nonlocal over
            # Asked once: in memory, events that another process has erased may still move after.
            over = self._is_over(everything=everything)
            return over or given_up() or self._is_stuck(deadline)

        try:
            self.under_way.add(flush)
            with self._state.lock:
                self._threads.notify_all()
            self._state.changed.wait_for(ends, deadline, _FLUSH_POLL)
            return over
        finally:
            self.under_way.discard(flush)

    def _is_stuck(self, deadline: float) -> bool:
        """Return whether no event can move until the deadline; if one can, wake a thread."""
        if not self._state.delivers_all:
            return False  # another process may deliver at any time
        with self._state.lock:
            left = min(max(0.0, deadline - time.monotonic()), _MAX_WAIT)
            horizon = self._state.now() + int(left * 1000)
            if self._threads.stopping or self._nothing_moves_before(horizon):
                return True
            self._threads.notify()
            return False

    def _nothing_moves_before(self, horizon: int) -> bool:
        state = self._state
        if state.in_flight:
            return False
        if self._health.blocked_beyond(horizon):
            return True
        due, retries = state.queue.retries.next_due, state.queue.retries
        more = state.queue.ready or retries.due or state.window.more_on_disk
        return not more and due is not None and due > horizon

    def _is_over(self, *, everything: bool) -> bool:
        """Return whether nothing waits, of this process's own events or of all."""
        state = self._state
        if not everything:
            return self._own.are_delivered
        if state.spool.durable and not state.delivers_all:
            # Another process that closes has a lease still: it delivers the rest, or gives it up.
            self.take_rest()
            if not state.delivers_all:
                return not state.spool.has_waiting(state.destination.id, 0, LAST_SEQ)
        with self._state.lock:
            return not (state.waiting or state.window.foreign)
