"""A line at the bottom of a terminal that is painted again and again, below all that is printed."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

from walker_collector.cli.folding import columns_of
from walker_collector.cli.streams import logs_json
from walker_collector.errors import WalkerError

_INTERVAL: Final = 0.25
"""Seconds between two paintings."""
_ERASE: Final = "\r\x1b[2K"
_DUMB: Final = frozenset({"dumb", "unknown"})


class _Painter:
    """Paints a line on a terminal, and takes it away while something else is written."""

    def __init__(self, terminal: TextIO, text: Callable[[], str]) -> None:
        self._terminal = terminal
        self._text = text
        self._shown = ""
        self._at_line_start = True
        self._stopped = threading.Event()
        self._lock = threading.RLock()  # a handler of a signal may print as well

    def run(self) -> None:
        """Paint until stopped."""
        while not self._stopped.wait(_INTERVAL):
            self._paint()

    def stop(self) -> None:
        """Take the line away for good."""
        self._stopped.set()
        with self._lock:
            self._put("")

    def write(self, stream: TextIO, text: str) -> int:
        """Write text to a stream of this terminal, above the line."""
        with self._lock:
            shown = self._shown
            self._put("")
            written = stream.write(text)
            stream.flush()
            if text:
                self._at_line_start = text.endswith("\n")
            self._put(shown)
        return written

    def _paint(self) -> None:
        try:
            text = self._text()
        except WalkerError:  # a spool that cannot be read now; the command tells it
            return
        with self._lock:
            if not self._stopped.is_set():
                self._put(text[: (columns_of(self._terminal) or 80) - 1])

    def _put(self, text: str) -> None:
        if not self._at_line_start:  # the rest of somebody's line comes first
            return
        try:
            if self._shown or text:
                self._terminal.write((_ERASE if self._shown else "") + text)
                self._terminal.flush()
            self._shown = text
        except OSError:  # the terminal is gone, and the deliveries go on
            self._stopped.set()


class _Above:
    """A standard stream with its text above the line."""

    def __init__(self, stream: TextIO, painter: _Painter) -> None:
        self._stream = stream
        self._painter = painter

    def write(self, text: str) -> int:
        return self._painter.write(self._stream, text)

    def writelines(self, lines: Any) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def live_line(text: Callable[[], str]) -> Iterator[None]:
    """Show `text()` at the bottom of the terminal while the block runs, if stderr is one.

    It is called on a thread, a few times a second. All that is printed on streams that are
    terminals comes above; streams that lead elsewhere are left alone.
    """
    before = sys.stdout, sys.stderr
    if logs_json() or not sys.stderr.isatty() or os.environ.get("TERM", "dumb") in _DUMB:
        yield
        return
    painter = _Painter(sys.stderr, text)
    thread = threading.Thread(target=painter.run, name="walker-live-line", daemon=True)
    sys.stderr = _Above(sys.stderr, painter)
    if sys.stdout.isatty():
        sys.stdout = _Above(sys.stdout, painter)
    thread.start()
    try:
        yield
    finally:
        painter.stop()
        thread.join()
        sys.stdout, sys.stderr = before
