"""A limit for repeated log lines: a failing destination must not flood the log."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import frozen

from walker_collector.tracebacks import attachment

INTERVAL: Final = 10.0
"""Seconds between two lines of the same format."""
TOPIC_INTERVAL: Final = 60.0
"""Seconds between two lines of the same topic."""


@frozen
class _Line:
    """A line of the log: its level, its format with the arguments, and its fields."""

    level: int
    format: str
    args: tuple[Any, ...]
    fields: Mapping[str, str]


class LogLimiter:
    """Logs each message, identified by its format, at most every ten seconds.

    Messages with a `topic` are about a state that lasts: whatever their formats, there is one a
    minute, and those left out are not told at the end. The next line of the same message, or
    `flush`, says how many were left out; its record has the number as `more`. `now` returns
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
        self._topics: set[str] = set()

    def info(self, message: str, *args: Any) -> None:
        self._log(message, self._line(logging.INFO, message, args))

    def warning(self, message: str, *args: Any, event: str = "", topic: str = "") -> None:
        """Log a message; `event` is the id of the event that it is about."""
        self._log(topic or message, self._line(logging.WARNING, message, args, event), topic=topic)

    def error(
        self,
        message: str,
        *args: Any,
        error: BaseException | None = None,
        event: str = "",
        topic: str = "",
    ) -> None:
        """Log a message, and with it the traceback of an `error` if that is wanted."""
        line = self._line(logging.ERROR, message, args, event)
        self._log(topic or message, line, error, topic=topic)

    def end(self, *topics: str) -> None:
        """Forget messages of these topics, since their state has ended."""
        with self._lock:
            for topic in topics:
                self.suppressed.pop(topic, None)
                self._last.pop(topic, None)

    def flush(self, *, due: bool = True) -> None:
        """Log the messages that were left out, with their counts.

        Unless `due`, it is the end: all of them, except those with a topic.
        """
        now = self._now()
        with self._lock:
            released = {
                key: self.suppressed.pop(key)
                for key in list(self.suppressed)
                if (
                    now - self._last[key] >= self._interval(key) if due else key not in self._topics
                )
            }
            self._last.update(dict.fromkeys(released, now))
        for count, line in released.values():
            self._write(line, count - 1)

    def _interval(self, key: str) -> float:
        return TOPIC_INTERVAL if key in self._topics else INTERVAL

    def _line(self, level: int, message: str, args: tuple[Any, ...], event: str = "") -> _Line:
        fields = {**self._fields, **({"event": event} if event else {})}
        return _Line(level, message, args, fields)

    def _log(
        self, key: str, line: _Line, error: BaseException | None = None, *, topic: str = ""
    ) -> None:
        now = self._now()
        with self._lock:
            if topic:
                self._topics.add(topic)
            count, _ = self.suppressed.get(key, (0, line))
            if now - self._last.get(key, -TOPIC_INTERVAL) < self._interval(key):
                self.suppressed[key] = (count + 1, line)
                return
            self._last[key] = now
            self.suppressed.pop(key, None)
        self._write(line, count, error)

    def _write(self, line: _Line, more: int, error: BaseException | None = None) -> None:
        others = f" (and {more:,} more like this)" if more else ""
        counted = {"more": more} if more else {}
        try:
            extra = {**line.fields, **counted, **(attachment(self._logger, error) or {})}
            self._logger.log(line.level, line.format + "%s", *line.args, others, extra=extra)
        except BaseException:  # a handler or filter of the application's may raise anything
            return
