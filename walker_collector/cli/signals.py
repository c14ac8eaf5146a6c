"""Ctrl-C and SIGTERM: stop reading, then deliver the accepted events."""

import os
import signal
import sys
import threading
import time
from _thread import start_new_thread
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, Self

from walker_collector.errors import WalkerError
from walker_collector.sources.file.lines import Stream, read_piece

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_ECHO: Final = 1.0
"""Seconds within which the same signal is the same request. `timeout` and the job control of shells
send it twice: to the process and to its process group.
"""
_START: Final = 0.5
"""Seconds in which a start may still succeed after a signal: it may wait for a server in vain."""
_ERASE_LINE: Final = b"\r\x1b[2K"


class _ReadInterrupted(BaseException):
    """Interrupts a read that waits for input."""


class StopSignal:
    """Catches signals while it is entered. The first one ends the reading, another the process.

    Repeating the first one within a second has no effect. Outside the main thread, which alone
    receives signals, nothing is caught. `now` returns monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.signal: signal.Signals | None = None
        self.before_exit: Callable[[], None] = lambda: None
        """Called before another signal ends the process."""
        self.on_signal: Callable[[signal.Signals], None] = lambda received: None
        """Called with the first signal."""
        self._now = now
        self._received_at = 0.0
        self._reading = self._starting = False
        self._handlers_before: dict[int, Any] = {}

    @property
    def exit_status(self) -> int | None:
        """128 plus the signal's number, as shells have it; None without a signal."""
        return None if self.signal is None else 128 + self.signal

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._handlers_before = {
                number: signal.signal(number, self._receive) for number in _SIGNALS
            }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == self.signal and self._now() - self._received_at < _ECHO:
            return
        if self.signal is not None:
            if sys.stderr.isatty():
                os.write(2, _ERASE_LINE)  # a line of progress stands there
            self.before_exit()
            os._exit(128 + number)
        self.signal = signal.Signals(number)
        self._received_at = self._now()
        self.on_signal(self.signal)
        if self._starting:
            start_new_thread(self._end_start, (128 + number,))
        # Python resumes a system call after a handler; only an exception ends a waiting read.
        if self._reading:
            raise _ReadInterrupted

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Have a signal end the process within a moment, unless the block has ended by then.

        A block that fails after a signal ends the process with the status of the signal.
        """
        self._starting = True
        try:
            yield
        except WalkerError:
            if self.exit_status is None:
                raise
            sys.exit(self.exit_status)
        finally:
            self._starting = False

    def _end_start(self, status: int) -> None:
        time.sleep(_START)
        if self._starting:  # nothing was begun that would have to be ended
            self.before_exit()
            os._exit(status)

    def read(self, stream: Stream) -> bytes:
        """Return the next bytes of a stream like `read_piece`; b"" after a signal."""
        try:
            try:
                # Set before looking at the signal: one that came between would be missed.
                self._reading = True
                return b"" if self.signal else read_piece(stream)
            finally:
                self._reading = False
        except _ReadInterrupted:
            return b""
