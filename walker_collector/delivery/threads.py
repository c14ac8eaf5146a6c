"""The threads of a destination: started when there is work; none is lost while events wait."""

import threading
from collections.abc import Callable
from typing import Final

from walker_collector.delivery.log_limiter import LogLimiter
from walker_collector.error_details import place_of
from walker_collector.interrupts import uninterrupted
from walker_collector.text import describe, storable

_JOIN_INTERVAL: Final = 0.1
"""Wait (s) for a thread to end, before the time limit is checked again."""


class WorkerThreads:
    """Up to `concurrency` threads, each of which calls `work` once; idle ones are in `wait`."""

    def __init__(
        self,
        name: str,
        concurrency: int,
        lock: threading.RLock,
        work: Callable[[], None],
        log: LogLimiter,
    ) -> None:
        self._changed = threading.Condition(lock)
        self.stopping = False
        """Whether the threads have been told to stop."""
        self.abandoned = False
        """Whether the wait for them is over: their later deliveries are not recorded."""
        self._idle = 0
        self._name = name
        self._concurrency = concurrency
        self._lock = lock
        self._work = work
        self._log = log
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._running: set[int] = set()
        """Their identifiers; that of one that has ended may soon be another thread's."""

    def notify(self) -> bool:
        """Wake one idle thread, or start one; return False if there is none. Needs the lock."""
        if self._idle:
            self._changed.notify()
        elif len(self._threads) < self._concurrency and not self.stopping:
            self._start()
        return bool(self._threads)

    def notify_all(self) -> None:
        """Wake every idle thread; call with the lock held."""
        self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Idle until `notify`, or for so long. Call it with the lock held; others get it."""
        self._idle += 1
        try:
            self._changed.wait(seconds)
        finally:
            self._idle -= 1

    def sleep(self, seconds: float) -> bool:
        """Wait, at most until the threads stop; return whether they go on."""
        self._stop.wait(min(seconds, threading.TIMEOUT_MAX))
        return not self.stopping

    def includes(self, thread: int) -> bool:
        """Return whether the thread with this identifier is one of these."""
        return thread in self._running

    def stop(self, expired: Callable[[], bool]) -> None:
        """End the threads; wait for deliveries in flight until `expired` returns True."""
        with self._lock:
            self.stopping = True
            self._stop.set()
            self._changed.notify_all()
        for thread in list(self._threads):
            thread.join(_JOIN_INTERVAL)
            while thread.is_alive() and not expired():
                thread.join(_JOIN_INTERVAL)
        self.abandoned = True

    def _start(self) -> None:
        try:
            # A thread that runs must be in the list, even if a signal handler raises.
            uninterrupted(self._add_thread)
        except RuntimeError as error:  # too many threads, or the interpreter ends
            self._log.error("destination %s: no thread to deliver: %s", self._name, storable(error))

    def _add_thread(self) -> None:
        name = f"walker-{self._name}-{len(self._threads) + 1}"
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _run(self) -> None:
        me = threading.get_ident()
        try:
            self._running.add(me)
            self._work()
        except BaseException as error:  # the last resort: another thread takes over
            self._log.error(
                "destination %s: a thread ended: %s at %s",
                self._name,
                describe(error),
                place_of(error),
                error=error,
            )
        finally:
            self._running.discard(me)
            with self._lock:
                if not self.stopping:
                    self._threads.remove(threading.current_thread())
                    self.notify()
