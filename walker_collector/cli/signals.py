"""Ctrl-C and SIGTERM: a request to stop reading and to deliver what was accepted."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, Self

from walker_collector.cli.lines import Stream, read_piece

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_ECHO: Final = 1.0
"""For how long (s) the same signal again is the same request: `timeout` and a shell's job control
send it to the process and to its group.
"""
_SHOW_CURSOR: Final = b"\x1b[?25h"


class _Interrupted(BaseException):
    """Ends a read that waits for input."""


class StopSignal:
    """Notices the first signal and ends a read that waits; a second one ends the process at once,
    unless it is the same within a second.

    Only in the main thread, where signals arrive; elsewhere it never stops. `now` returns
    monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.signal: signal.Signals | None = None
        self._now = now
        self._came = 0.0
        self._reading = False
        self._before: dict[int, Any] = {}

    @property
    def exit_status(self) -> int | None:
        """128 and the signal's number; None where there was none."""
        return None if self.signal is None else 128 + self.signal

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == self.signal and self._now() - self._came < _ECHO:
            return
        if self.signal is not None:
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR)  # a progress bar hides it
            os._exit(128 + number)
        self.signal = signal.Signals(number)
        self._came = self._now()
        if self._reading:
            raise _Interrupted

    def read(self, stream: Stream) -> bytes:
        """Return what the stream has, as `read_piece` does; b"" once a signal has come."""
        try:
            try:
                # Set before the signal is looked at: between the two it would go unnoticed.
                self._reading = True
                return b"" if self.signal else read_piece(stream)
            finally:
                self._reading = False
        except _Interrupted:
            return b""
