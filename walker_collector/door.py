"""A door that may be closed while some are still inside."""

import threading
import time
from types import TracebackType

from walker_collector.errors import CollectorClosed


class Door:
    """Lets pushes in while it is open; whoever closes it waits for those that are inside.

    Entering a closed one raises CollectorClosed.
    """

    def __init__(self) -> None:
        self._closed = False
        self._empty()

    def _empty(self) -> None:
        self._inside = 0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def after_fork(self) -> None:
        """Note, in a forked child, that those inside are not there."""
        self._empty()

    def check(self) -> None:
        """Raise CollectorClosed where the door is closed."""
        if self._closed:
            raise CollectorClosed("the collector is closed; the event was not accepted")

    def __enter__(self) -> None:
        with self._lock:
            self.check()
            self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._closed:
                self._changed.notify_all()

    def close(self, deadline: float) -> bool:
        """Let nobody in any more, and wait for those inside until the monotonic `deadline` (s);
        False where it was closed already.
        """
        with self._changed:
            if self._closed:
                return False
            self._closed = True
            while self._inside and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
        return True
