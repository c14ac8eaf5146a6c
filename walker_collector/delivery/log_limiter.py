"""A limit for repeated log lines: a failing destination must not flood the log."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import frozen

from walker_collector.tracebacks import attachment

INTERVAL: Final = 10.0
"""Seconds between two lines of the same format."""


@frozen
class _Line:
    """A line of the log: its level, the arguments of its message, and its fields."""

    level: int
    args: tuple[Any, ...]
    fields: Mapping[str, str]


class LogLimiter:
    """Logs each message, identified by its format, at most every ten seconds.

    The next line of the same message, or `flush`, says how many were left out. `now` returns
    monotonic seconds; `fields` are in each record, as its attributes. Never raises, whatever
    handlers and filters of the application do.
    """

    def __init__(
        self,
        logger: logging.Logger,
        now: Callable[[], float],
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self.suppressed: dict[str, tuple[int, _Line]] = {}
        """Messages that were left out: their count, and the last line."""
        self._fields = dict(fields or {})
        self._logger = logger
        self._now = now
        self._lock = threading.RLock()  # a handler may log itself
        self._last: dict[str, float] = {}

    def info(self, message: str, *args: Any) -> None:
        self._log(message, self._line(logging.INFO, args))

    def warning(self, message: str, *args: Any, event: str = "") -> None:
        """Log a message; `event` is the id of the event that it is about."""
        self._log(message, self._line(logging.WARNING, args, event))

    def error(
        self, message: str, *args: Any, error: BaseException | None = None, event: str = ""
    ) -> None:
        """Log a message, and with it the traceback of an `error` if that is wanted."""
        self._log(message, self._line(logging.ERROR, args, event), error)

    def flush(self, *, due: bool = True) -> None:
        """Log the messages that were left out, with their counts; all of them unless `due`."""
        now = self._now()
        with self._lock:
            released = {
                message: self.suppressed.pop(message)
                for message in list(self.suppressed)
                if not due or now - self._last[message] >= INTERVAL
            }
            self._last.update(dict.fromkeys(released, now))
        for message, (count, line) in released.items():
            self._write(message, line, count - 1)

    def _line(self, level: int, args: tuple[Any, ...], event: str = "") -> _Line:
        return _Line(level, args, {**self._fields, **({"event": event} if event else {})})

    def _log(self, message: str, line: _Line, error: BaseException | None = None) -> None:
        now = self._now()
        with self._lock:
            count, _ = self.suppressed.get(message, (0, line))
            if now - self._last.get(message, -INTERVAL) < INTERVAL:
                self.suppressed[message] = (count + 1, line)
                return
            self._last[message] = now
            self.suppressed.pop(message, None)
        self._write(message, line, count, error)

    def _write(
        self, message: str, line: _Line, more: int, error: BaseException | None = None
    ) -> None:
        others = f" (and {more:,} more like this)" if more else ""
        try:
            extra = {**line.fields, **(attachment(self._logger, error) or {})}
            self._logger.log(line.level, message + "%s", *line.args, others, extra=extra)
        except BaseException:  # a handler or filter of the application's may raise anything
            return
