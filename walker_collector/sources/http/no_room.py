"""The log line on requests that found no room: one for many."""

import logging
import time
from typing import Final

from walker_collector.text import counted

_INTERVAL: Final = 60.0
"""Seconds between two log lines."""

logger = logging.getLogger("walker_collector")


class NoRoomLog:
    """Logs that senders are sent away, at most once a minute, with their number."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._requests = 0
        self._due = 0.0

    def note(self) -> None:
        """Count a request that was answered with 429."""
        self._requests += 1
        now = time.monotonic()
        if now < self._due:
            return
        logger.warning(
            "source %s: no room for events; %s answered with 429, to be sent again"
            " (limits: collector.queueMax, or maxEvents and maxBytes of the spool, and its disk)",
            self._source,
            counted(self._requests, "request"),
        )
        self._requests, self._due = 0, now + _INTERVAL
