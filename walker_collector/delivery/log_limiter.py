"""A limit for repeated log lines: a failing destination must not flood the log."""

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from walker_collector.tracebacks import attachment

INTERVAL: Final = 10.0
"""Seconds between two lines of the same format."""


class LogLimiter:
    """Logs each message, identified by its format, at most every ten seconds.

    The next line of the same message, or `flush`, says how many were left out. `now` returns
    monotonic seconds. Never raises, whatever handlers and filters of the application do.
    """

    def __init__(self, logger: logging.Logger, now: Callable[[], float]) -> None:
        self.suppressed: dict[str, tuple[int, int, tuple[Any, ...]]] = {}
        """Messages that were left out: level, count, and the arguments of the last one."""
        self._logger = logger
        self._now = now
        self._lock = threading.RLock()  # a handler may log itself
        self._last: dict[str, float] = {}

    def info(self, message: str, *args: Any) -> None:
        self._log(logging.INFO, message, args)

    def warning(self, message: str, *args: Any) -> None:
        self._log(logging.WARNING, message, args)

    def error(self, message: str, *args: Any, error: BaseException | None = None) -> None:
        """Log a message, and with it the traceback of an `error` if that is wanted."""
        self._log(logging.ERROR, message, args, error)

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
        for message, (level, count, args) in released.items():
            self._write(level, message, args, count - 1)

    def _log(
        self,
        level: int,
        message: str,
        args: tuple[Any, ...],
        error: BaseException | None = None,
    ) -> None:
        now = self._now()
        with self._lock:
            _, suppressed, _ = self.suppressed.get(message, (level, 0, ()))
            if now - self._last.get(message, -INTERVAL) < INTERVAL:
                self.suppressed[message] = (level, suppressed + 1, args)
                return
            self._last[message] = now
            self.suppressed.pop(message, None)
        self._write(level, message, args, suppressed, error)

    def _write(
        self,
        level: int,
        message: str,
        args: tuple[Any, ...],
        more: int,
        error: BaseException | None = None,
    ) -> None:
        others = f" (and {more:,} more like this)" if more else ""
        try:
            extra = attachment(self._logger, error)
            self._logger.log(level, message + "%s", *args, others, extra=extra)
        except BaseException:  # a handler or filter of the application's may raise anything
            return
