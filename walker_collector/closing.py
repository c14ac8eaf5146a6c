"""The end of a collector, on a thread of its own.

No signal handler interrupts it, and every caller of `close`, on any thread, waits for the same one.
"""

import time
from collections.abc import Callable
from typing import Final

from walker_collector.interrupts import SingleRun

_GRACE: Final = 10.0
"""Wait (s) for a closing beyond its deadline, as a plugin's `shutdown` may hang."""


class Closing:
    """A closing: runs `work` once, which returns whether nothing is left.

    `deadline` (monotonic, s) is the end of the wait for deliveries in `work`.
    """

    def __init__(self, work: Callable[["Closing"], bool], deadline: float) -> None:
        self.deadline = deadline
        self._run = SingleRun(lambda: work(self))
        self.begin = self._run.begin

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._run.over

    @property
    def thread(self) -> int:
        """The identifier of the thread that closes; 0 before it has begun."""
        return self._run.thread

    def expired(self) -> bool:
        """Return whether the time to wait for deliveries is over."""
        return time.monotonic() >= self.deadline

    def wait(self) -> bool:
        """Wait for the end; return whether nothing is left.

        SystemExit that a signal handler raises here waits for the end as well, as it asks for an
        orderly one. After any other interruption, as by Ctrl-C, deliveries are waited for no
        longer.
        """
        try:
            ended = self._wait()
        except SystemExit:
            self._wait()
            raise
        except BaseException:
            self.deadline = time.monotonic()
            self._wait()
            raise
        return self._run.result() if ended else False

    def _wait(self) -> bool:
        return self._run.wait(self.deadline + _GRACE)
