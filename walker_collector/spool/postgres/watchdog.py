"""The watchdog: ends connections to a server that hangs.

A stopped server, or one whose disk does not answer, keeps its connections open and says nothing for
as long as it hangs. But a statement may take long because there is much to do. So the watchdog asks
whether the server takes another connection, and ends those of one that does not. Whoever waits in
such a connection finds it lost, and the outcome of a commit is looked up as always.
"""

import logging
import threading
import time
from typing import Any, Final, Protocol

import psycopg

_SILENT: Final = 5.0
"""Seconds that a session may be in use before the server is asked."""
_ANSWER: Final = 5
"""Seconds in which a server takes a new connection, also at its busiest."""
logger = logging.getLogger("walker_collector")


class Watched(Protocol):
    """A session to watch; see `Session`."""

    turn: threading.Lock
    name: str
    uses: int

    def address(self) -> str:
        """Return the url of the server that the connection leads to; "" if there is none."""

    def cut(self, uses: int) -> bool:
        """End the connection beneath the thread that waits in it since this use.

        Returns False if that has ended.
        """


class Watchdog:
    """Watches the sessions of a process on a thread of its own, until it is closed."""

    def __init__(self, silent: float = _SILENT, answer: int = _ANSWER) -> None:
        self._silent = silent
        self._answer = answer
        self._sessions: list[Watched] = []
        self._since: dict[Watched, tuple[int, float]] = {}
        """The use that a session is in, and when it was seen first or asked about last."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="walker-watchdog", daemon=True)

    def watch(self, session: Watched) -> None:
        """Watch a session as well, for good."""
        self._sessions.append(session)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """Watch no more."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(self._silent / 5):
            try:
                self._look()
            except Exception:  # a session that was just closed, or a mistake: the next look counts
                logger.debug("the watchdog of the spool has failed", exc_info=True)

    def _look(self) -> None:
        hanging: dict[str, bool] = {}
        for session in list(self._sessions):
            uses = session.uses
            if not self._is_long(session, uses) or not (address := session.address()):
                continue
            if address not in hanging:
                hanging[address] = _hangs(address, self._answer)
            if hanging[address] and session.cut(uses):
                logger.warning("%s: the server hangs; its connection is given up", session.name)
            del self._since[session]

    def _is_long(self, session: Watched, uses: int) -> bool:
        """Return whether one use of a session goes on for long."""
        now = time.monotonic()
        if not session.turn.locked():
            self._since.pop(session, None)
            return False
        seen, since = self._since.get(session, (-1, now))
        if seen != uses:
            self._since[session] = (uses, now)
            return False
        return now >= since + self._silent


def _hangs(address: str, answer: int) -> bool:
    """Return whether a server takes no connection within `answer` seconds; any error is one."""
    options: dict[str, Any] = {"connect_timeout": answer, "application_name": "walker-collector"}
    try:
        psycopg.connect(address, **options).close()
    except psycopg.errors.ConnectionTimeout:
        return True
    except psycopg.Error:
        pass
    return False
