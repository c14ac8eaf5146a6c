"""The session that holds the leases of this process: its membership, as others see it.

The server gives up the locks of a session with it. So a process that has ended has no lease, nor
has one that is stopped, or cut off: its session is idle for too long.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Final, TypeVar

from walker_collector.errors import SpoolError
from walker_collector.interrupts import uninterrupted
from walker_collector.spool.base import Lease
from walker_collector.spool.postgres.outage import Outage
from walker_collector.spool.postgres.queries import Queries
from walker_collector.spool.postgres.sessions import Database, Session, advisory_key, is_pooled
from walker_collector.spool.postgres.spool_place import Place
from walker_collector.spool.postgres.watchdog import Watchdog

T = TypeVar("T")

IDLE: Final = 30.0
"""Seconds after which the server ends the session of a process that gives no sign."""
BEAT: Final = 5.0
"""Seconds between signs of life."""
_JOIN: Final = 10.0
"""Seconds to wait for a sign that is just given, at the end."""
_SETTINGS: Final = {
    "statement_timeout": "10s",
    # A claim looks up a few numbers. Statistics of a queue are of another moment.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    # What it writes means nothing without the session: a crash of the server ends both.
    "synchronous_commit": "off",
}
_RETRY: Final = 1.0
"""Seconds from one attempt to make the session anew to the next: many processes may do so."""


class LeaseSession:
    """One connection to the server, and a name for as long as it lasts.

    Whoever finds the session gone has lost every lease; `ensure` makes another one, with another
    name. `delivers` are the destinations that this process can deliver to. `idle`: the seconds
    after which the server ends the session of a process that gives no sign. `outage`,
    `watchdog`: those of all sessions of the process.
    """

    def __init__(
        self,
        place: Place,
        queries: Queries,
        delivers: Iterable[str],
        idle: float = IDLE,
        outage: Outage | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        ended = f"{idle * 1000:.0f}ms"
        settings = {
            **_SETTINGS,
            "idle_session_timeout": ended,
            "idle_in_transaction_session_timeout": ended,
        }
        self._session = Session(
            place,
            place.direct_url,
            queries,
            prepared=self._enter,
            settings=settings,
            outage=outage,
            watchdog=watchdog,
        )
        self.name = self._session.name
        self.schema = place.schema
        self._has_own_url = place.lease_url is not None
        self._delivers = sorted(delivers)
        self.on_renamed: Callable[[Database, str, str], None] = lambda database, before, now: None
        """Called within a session made anew with the name before, and the new one."""
        self.locks_seen = 0
        """A digest of all locks in the database, as `SessionLeases.are_held` has seen them last."""
        self._token = ""
        self._since: float | None = None
        self._leaving = False
        self._failure, self._retry_at = "", 0.0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def token(self) -> str:
        """The name of this process among the others; "" while there is no session."""
        return self._token if self._session.database is not None else ""

    def join(self, wait: float) -> None:
        """Join the processes of the spool; wait for the server so many seconds.

        Raises SpoolError.
        """
        uninterrupted(lambda: self._session.repeat(lambda database: None, wait))

    def ensure(self) -> None:
        """Join anew if the session is lost. Raises SpoolError."""
        uninterrupted(self._open)

    def _open(self) -> None:
        with self._session.turn:
            now = time.monotonic()
            if self._session.database is None and now < self._retry_at:
                raise self._session.lost(self._failure)
            try:
                self._session.open()
            except SpoolError as error:
                self._failure, self._retry_at = str(error), now + _RETRY
                raise

    def run(self, work: Callable[[Database], T]) -> T:
        """Run `work` in the session that there is. Raises ServerTrouble if there is none."""
        return uninterrupted(lambda: self._run(work))

    def _run(self, work: Callable[[Database], T]) -> T:
        with self._session.turn:
            if self._session.database is None:
                raise self._session.lost(
                    f"{self.name}: the session of the leases is lost; it is made anew"
                )
            return self._session.run_with_turn(work)

    def _enter(self, database: Database) -> None:
        try:
            refuse_pooler(database, self.name)  # first: else it may fail for any reason
            self._require_tables(database)
        except SpoolError:
            self._session.drop()
            raise
        before, token = self._token, secrets.token_hex(8)
        # First the lock: whoever finds a member without one deletes it.
        database.rows("lock", (member_key(self.schema, token),))
        self._sign(database, token)
        if before:
            self.on_renamed(database, before, token)
        self._token = token

    def _sign(self, database: Database, token: str) -> None:
        self._since = sign(
            database, token, self._since, delivers=self._delivers, leaving=self._leaving
        )

    def _require_tables(self, database: Database) -> None:
        """Raise SpoolError if `leaseUrl` leads to a database without the spool."""
        if self._has_own_url and not database.rows("has_layout", (self.schema,))[0][0]:
            raise SpoolError(
                f"{self.name}: there is no spool, as spool.leaseUrl leads to another database than "
                "spool.url; give the url of the same one"
            )

    def start(self) -> None:
        """Give a sign of life every few seconds, on a thread, until `close`."""
        self._thread = threading.Thread(target=self._beat_on, name="walker-beat", daemon=True)
        self._thread.start()

    def _beat_on(self) -> None:
        while not self._over.wait(BEAT):
            with suppress(SpoolError):  # the keeper finds the session gone, and tells
                self.run(lambda database: self._sign(database, self._token))

    def leave(self) -> None:
        """Take no part in sharing out leases any more."""
        self._leaving = True
        self.run(lambda database: self._sign(database, self._token))

    def close(self) -> None:
        """End the session, and all leases with it."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(_JOIN)
        with suppress(SpoolError):  # then others delete it
            self.run(self._give_up)
        self._session.close()

    def _give_up(self, database: Database) -> None:
        # Here, as the server may notice the end of the session later than others ask for the locks.
        database.rows("unlock_all")
        database.run("delete_members", ([self._token],))

    def pause(self) -> None:
        """Let no thread use the session, before a fork."""
        self._session.turn.acquire()

    def resume(self) -> None:
        """Let threads use the session again, in the parent."""
        self._session.turn.release()

    def abandon(self) -> None:
        """Leave the session to the parent process, in a forked child."""
        self._over.set()
        self._session.abandon()


def refuse_pooler(database: Database, name: str) -> None:
    """Raise SpoolError if another program hands out the sessions of the server."""
    if is_pooled(database):
        raise SpoolError(
            f"{name}: a pooler is between this process and the server, and leases need a session "
            "of their own; give the url of the database without it as spool.leaseUrl"
        )


def sign(
    database: Database,
    token: str,
    since: float | None,
    *,
    delivers: Sequence[str] = (),
    leaving: bool = False,
) -> float:
    """Give a sign of life of this process; return the time (s) since which it is a member."""
    ((since,),) = database.rows(
        "sign",
        {
            "token": token,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": since,
            "delivers": list(delivers),
            "leaving": leaving,
        },
    )
    return since


def member_key(schema: str, token: str) -> int:
    """Return the key of the lock that every living process has."""
    return advisory_key(schema, "member", token)


@lru_cache(maxsize=4096)
def lease_key(schema: str, lease: Lease) -> int:
    """Return the key of the lock that the process with a lease has."""
    return advisory_key(schema, "lease", lease.shard, lease.destination)
