"""A limit for repeated log lines: a failing destination must not flood the log."""

import logging
from collections.abc import Callable
from typing import Any

_INTERVAL = 10.0
"""Seconds between two lines of the same format."""


class LogLimiter:
    """Logs each message, identified by its format, at most every ten seconds.

    The next line of the same message says how many were left out. `now` returns monotonic seconds.
    """

    def __init__(self, logger: logging.Logger, now: Callable[[], float]) -> None:
        self._logger = logger
        self._now = now
        self._last: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def info(self, message: str, *args: Any) -> None:
        self._log(logging.INFO, message, args)

    def warning(self, message: str, *args: Any) -> None:
        self._log(logging.WARNING, message, args)

    def error(self, message: str, *args: Any) -> None:
        self._log(logging.ERROR, message, args)

    def _log(self, level: int, message: str, args: tuple[Any, ...]) -> None:
        now = self._now()
        if now - self._last.get(message, -_INTERVAL) < _INTERVAL:
            self._suppressed[message] = self._suppressed.get(message, 0) + 1
            return
        self._last[message] = now
        suppressed = self._suppressed.pop(message, 0)
        more = f" (and {suppressed} more like this)" if suppressed else ""
        try:
            self._logger.log(level, message + "%s", *args, more)
        except BaseException:  # a handler or filter of the application's may raise anything
            self._suppressed[message] = suppressed + 1
