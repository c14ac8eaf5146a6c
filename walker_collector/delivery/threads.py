"""The threads of a destination: started when there is work; no exception ends them."""

import threading
from collections.abc import Callable
from typing import Final

from walker_collector.delivery.log_limiter import LogLimiter
from walker_collector.delivery.pending import Batch, Wait
from walker_collector.error_details import place_of
from walker_collector.errors import SpoolError
from walker_collector.interrupts import uninterrupted
from walker_collector.text import describe, storable

PAUSE: Final = 1.0
"""Wait (s) of a thread after an error in the collector itself, or of an unreadable spool."""
_JOIN_INTERVAL: Final = 0.1
"""Wait (s) for a thread to end, before the time limit is checked again."""
_MAX_WAIT: Final = 3600.0
"""Longest wait (s) of an idle thread: locks do not accept any number of seconds."""


class WorkerThreads:
    """Up to `concurrency` threads that take batches and deliver them.

    `next_batch` is called with `lock` held, `deliver` without. `interrupted` is called with the
    batch when its delivery ends with an error in the collector itself.
    """

    def __init__(
        self,
        name: str,
        concurrency: int,
        lock: threading.RLock,
        next_batch: Callable[[], Batch | Wait],
        deliver: Callable[[Batch], None],
        interrupted: Callable[[Batch | None], None],
        log: LogLimiter,
    ) -> None:
        self._name = name
        self._concurrency = concurrency
        self._lock = lock
        self._next_batch = next_batch
        self._deliver = deliver
        self._interrupted = interrupted
        self._log = log
        self._changed = threading.Condition(lock)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._idle = 0

    @property
    def stopping(self) -> bool:
        """Whether the threads have been told to stop."""
        return self._stopping.is_set()

    def notify(self) -> None:
        """Wake one idle thread, or start one; call with the lock held."""
        if self._idle:
            self._changed.notify()
        elif len(self._threads) < self._concurrency and not self.stopping:
            self._start()

    def notify_all(self) -> None:
        """Wake every idle thread; call with the lock held."""
        self._changed.notify_all()

    def sleep(self, seconds: float) -> bool:
        """Wait, at most until the threads stop; return whether they go on."""
        self._stopping.wait(seconds)
        return not self.stopping

    def includes(self, thread: int) -> bool:
        """Return whether the thread with this identifier is one of these."""
        return any(item.ident == thread for item in list(self._threads))

    def stop(self, expired: Callable[[], bool]) -> None:
        """End the threads; wait for deliveries in flight until `expired` returns True."""
        with self._lock:
            self._stopping.set()
            self._changed.notify_all()
        for thread in list(self._threads):
            thread.join(_JOIN_INTERVAL)
            while thread.is_alive() and not expired():
                thread.join(_JOIN_INTERVAL)

    def _start(self) -> None:
        try:
            # A thread that runs must be in the list, even if a signal handler raises.
            uninterrupted(self._add_thread)
        except RuntimeError as error:  # too many threads, or the interpreter ends
            self._log.error("destination %s: no thread to deliver: %s", self._name, error)

    def _add_thread(self) -> None:
        name = f"walker-{self._name}-{len(self._threads) + 1}"
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _run(self) -> None:
        try:
            while self._work():
                pass
        finally:
            with self._lock:
                if not self.stopping:  # so that another can be started in its place
                    self._threads.remove(threading.current_thread())

    def _work(self) -> bool:
        """Deliver the next batch; return False when the threads stop. Never raises."""
        batch: Batch | None = None
        try:
            batch = self._wait_for_batch()
            if batch is not None:
                self._deliver(batch)
        except SpoolError as error:
            self._recover(batch, storable(error))
        except BaseException as error:  # a dead thread would mean events that wait for ever
            self._recover(batch, f"{describe(error)} at {place_of(error)}")
        else:
            return batch is not None
        return not self.stopping

    def _recover(self, batch: Batch | None, reason: str) -> None:
        self._log.error("destination %s: delivery interrupted: %s", self._name, reason)
        with self._lock:
            self._interrupted(batch)
            self._changed.notify_all()
        self._stopping.wait(PAUSE)

    def _wait_for_batch(self) -> Batch | None:
        """Wait for the next batch and return it; None when the threads stop."""
        with self._lock:
            while not self.stopping:
                found = self._next_batch()
                if isinstance(found, Batch):
                    return found
                wait = _MAX_WAIT if found.ms is None else min(found.ms / 1000, _MAX_WAIT)
                self._idle += 1
                try:
                    self._changed.wait(wait)
                finally:
                    self._idle -= 1
        return None
