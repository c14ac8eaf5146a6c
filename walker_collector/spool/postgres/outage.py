"""Outages of the server, logged once for all sessions of this process, with their end."""

import logging
import threading
import time

from walker_collector.spool.postgres.server_errors import ServerTrouble

logger = logging.getLogger("walker_collector")


class Outage:
    """The time without the server, which all sessions of a process notice one by one.

    Thread-safe. `name`: that of the spool.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._since: float | None = None
        self._ended_at = 0.0

    def note(self, error: ServerTrouble, connected_at: float | None) -> None:
        """Log the first error of an outage, and mark each one of it as logged.

        `connected_at`: the monotonic time (s) at which the session was made; None: it has never
        been, and whoever opens it is told.
        """
        with self._lock:
            if self._since is not None:
                error.is_logged = True
            elif connected_at is not None:
                error.is_logged = True
                # Else it was lost in the outage before, and is missed only now.
                if connected_at >= self._ended_at:
                    self._since = time.monotonic()
                    logger.error("%s; it is tried again until it succeeds", error)

    def end(self) -> None:
        """Log the end of an outage, if there was one: a session was made."""
        with self._lock:
            if self._since is None:
                return
            self._ended_at = now = time.monotonic()
            seconds, self._since = now - self._since, None
            logger.warning("%s: connected to the server again after %.1f s", self._name, seconds)
