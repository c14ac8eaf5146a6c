"""The erasures under way, each an advisory lock of its process.

The server gives a lock up however the process ends. Whoever finds that of an erasure free knows
that nobody is at work on it any more.
"""

import secrets
import threading
from collections.abc import Callable

from walker_collector.interrupts import uninterrupted
from walker_collector.spool.postgres.sessions import Database, Session, advisory_key, is_pooled


class ErasureSessions:
    """The erasures of this process, in a session that ends with the last of them.

    A lost session frees its locks, and a pooler has none to give. Then another process may adopt an
    erasure that goes on here: to erase twice does no harm.
    """

    def __init__(self, session: Session, wait: float) -> None:
        self._session = session
        self._wait = wait
        self._names: set[str] = set()
        self._changing = threading.Lock()

    def begin(self) -> str:
        """Return the name of a new erasure, with its lock taken."""
        name = secrets.token_hex(8)
        uninterrupted(lambda: self._begin(name))
        return name

    def _begin(self, name: str) -> None:
        with self._changing:
            self._session.repeat(lambda database: self._lock(database, name), self._wait)
            self._names.add(name)

    def _lock(self, database: Database, name: str) -> None:
        # The lock would stay with a pooler's session, for whoever gets it next.
        if not is_pooled(database):
            database.rows("lock_erasure", (self._key(name),))

    def end(self, name: str) -> None:
        """Give the lock of an erasure up."""
        uninterrupted(lambda: self._end(name))

    def _end(self, name: str) -> None:
        with self._changing:
            if name not in self._names:
                return
            self._names.discard(name)
            if self._names or self._session.is_kept:
                self._session.repeat(
                    lambda db: db.rows("end_erasure", (self._key(name),)), self._wait
                )
            else:
                self._session.rest()

    def is_under_way(self, name: str) -> bool:
        """Return whether a process is at work on an erasure."""
        if name in self._names:
            return True

        def ask(database: Database) -> bool:
            return bool(database.rows("is_erasing", (self._key(name),))[0][0])

        return uninterrupted(lambda: self._asked(ask))

    def _asked(self, ask: Callable[[Database], bool]) -> bool:
        with self._changing:
            answer = self._session.repeat(ask, self._wait)
            if not self._names:
                self._session.rest()
            return answer

    def _key(self, name: str) -> int:
        return advisory_key(self._session.schema, "erasure", name)

    def close(self) -> None:
        """End all erasures of this process."""
        self._names.clear()
        self._session.close()

    def pause(self) -> None:
        """Let nobody begin or end an erasure, before a fork."""
        self._changing.acquire()
        self._session.turn.acquire()

    def resume(self) -> None:
        """Go on, in the parent."""
        self._session.turn.release()
        self._changing.release()

    def abandon(self) -> None:
        """Leave the erasures to the parent process, in a forked child."""
        self._session.abandon()
