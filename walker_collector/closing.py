"""The end of a collector, on a thread of its own: no signal handler breaks it off, and whoever
asks for it, however often and from wherever, waits for the same one.
"""

import time
from _thread import start_new_thread
from collections.abc import Callable
from typing import Final

from walker_collector.interrupts import Notifier

_GRACE: Final = 10.0
"""How long (s) beyond its deadline a closing is waited for: a plugin's `shutdown` may hang."""


class Closing:
    """Closes once, by calling `work`, which returns whether nothing is left.

    `deadline` (monotonic, in s) is until when `work` may wait for deliveries; `over` is True once
    it has ended.
    """

    def __init__(self, work: Callable[["Closing"], bool], deadline: float) -> None:
        self.deadline = deadline
        self._work = work
        self._claims: list[None] = [None]
        self.over = False
        self._complete = False
        self._error: BaseException | None = None
        self._changes = Notifier()

    def begin(self, *, here: bool) -> None:
        """Have it begin, unless it has already; `here`, where there are no more threads to be had,
        as when the interpreter is about to end.
        """
        if not self._claims:
            return
        try:
            start_new_thread(self._run, ())
        except RuntimeError:
            if here:
                self._run()

    def _run(self) -> None:
        try:
            self._claims.pop()
        except IndexError:  # two have asked at once
            return
        try:
            self._complete = self._work(self)
        except BaseException as error:  # handed to those who wait, whatever it is
            self._error = error
        finally:
            self.over = True
            self._changes.notify_all()

    def expired(self) -> bool:
        """Whether deliveries are waited for no longer."""
        return time.monotonic() >= self.deadline

    def wait(self) -> bool:
        """Wait for the end; return whether nothing is left.

        SystemExit, which a signal handler raises here, waits for it as well: it asks for an
        orderly end. Any other interruption, as by Ctrl-C, does not want deliveries to be waited
        for.
        """
        try:
            self._wait()
        except SystemExit:
            self._wait()
            raise
        except BaseException:
            self.deadline = time.monotonic()
            self._wait()
            raise
        if self._error is not None:
            raise self._error
        return self._complete

    def _wait(self) -> None:
        self._changes.wait_for(lambda: self.over, self.deadline + _GRACE)
