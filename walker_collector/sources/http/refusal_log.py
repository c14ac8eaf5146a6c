"""The log lines on events that are refused for the time being: one for many."""

import logging
import time
from typing import Final

from walker_collector.errors import WalkerError
from walker_collector.text import counted

_INTERVAL: Final = 60.0
"""Seconds between two log lines on the same."""

logger = logging.getLogger("walker_collector")


class RefusalLog:
    """Logs that senders are sent away, for each cause at most once a minute, with their number."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._no_room = _Bounded()
        self._not_stored = _Bounded()

    def no_room(self) -> None:
        """Count a request that was answered with 429."""
        if number := self._no_room.number():
            logger.warning(
                "source %s: no room for events; %s answered with 429, to be sent again"
                " (limits: collector.queueMax, or maxEvents and maxBytes of the spool)",
                self._source,
                counted(number, "request"),
            )

    def not_stored(self, error: WalkerError) -> None:
        """Count an event that the spool could not store."""
        if number := self._not_stored.number():
            logger.error(
                "source %s: %s refused with 503, to be sent again: %s",
                self._source,
                counted(number, "event"),
                error,
            )


class _Bounded:
    """The number of items since a log line, and the time of the next one."""

    def __init__(self) -> None:
        self._items = 0
        self._due = 0.0

    def number(self) -> int:
        """Count an item; return their number if a line on them is due, else 0."""
        self._items += 1
        now = time.monotonic()
        if now < self._due:
            return 0
        number, self._items, self._due = self._items, 0, now + _INTERVAL
        return number
