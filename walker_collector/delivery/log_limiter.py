"""Log lines that do not flood: each message at most once in a while, with a count of the rest."""

import logging
from collections.abc import Callable
from typing import Any

_EVERY = 10.0


class LogLimiter:
    """Logs a message, told apart by its format, at most every ten seconds.

    `now` returns monotonic seconds.
    """

    def __init__(self, logger: logging.Logger, now: Callable[[], float]) -> None:
        self._logger = logger
        self._now = now
        self._last: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def info(self, message: str, *args: Any) -> None:
        self._say(logging.INFO, message, args)

    def warning(self, message: str, *args: Any) -> None:
        self._say(logging.WARNING, message, args)

    def error(self, message: str, *args: Any) -> None:
        self._say(logging.ERROR, message, args)

    def _say(self, level: int, message: str, args: tuple[Any, ...]) -> None:
        now = self._now()
        if now - self._last.get(message, -_EVERY) < _EVERY:
            self._suppressed[message] = self._suppressed.get(message, 0) + 1
            return
        self._last[message] = now
        suppressed = self._suppressed.pop(message, 0)
        more = f" (and {suppressed} more like this)" if suppressed else ""
        self._logger.log(level, message + "%s", *args, more)
