"""Sessions of this process at the server, each one connection, made anew after it was lost.

A process has at most three: the writer (`url`), that of the leases, and the listener (both
`lease_url`, without a pooler). A process that only accepts has the writer alone.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Final, TypeVar

import psycopg
from attrs import evolve, frozen
from psycopg.conninfo import make_conninfo
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

from walker_collector.errors import SpoolError
from walker_collector.spool.postgres.array_dumper import ArrayDumper
from walker_collector.spool.postgres.outage import Outage
from walker_collector.spool.postgres.queries import Queries
from walker_collector.spool.postgres.server_errors import ServerTrouble, may_heal, spool_error
from walker_collector.spool.postgres.spool_place import Place
from walker_collector.spool.postgres.watchdog import Watchdog
from walker_collector.spool_settings import url_parameters

T = TypeVar("T")

_ENCODING: Final = {"client_encoding": "utf8"}
"""Whatever the url says, or the environment: names and ids are of any characters."""
_OPTIONS: Final = {
    "connect_timeout": 5,  # seconds
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # ms
}
_NAME: Final = 63
"""Characters of the name of a session that the server keeps."""
_ASKED: Final = 3
"""How often a new connection asks which server process it has: a pooler gives it several."""
_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between attempts; the last one again and again."""
_ATTEMPT: Final = 0.1
"""Seconds to wait for the turn at least."""
_REFUSED: Final = 0.05
"""Seconds after a failed connection in which no other thread tries, or those that it has taken."""


@frozen
class Database:
    """A connection, with the statements of the spool.

    is_pooled: another program gives the sessions of the server to several connections.
    """

    connection: psycopg.Connection[tuple[Any, ...]]
    queries: Queries
    is_pooled: bool = False

    def rows(self, name: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Return the rows of a statement."""
        cursor = self.connection.execute(self.queries[name], values, binary=True)
        return cursor.fetchall()

    def quick_rows(self, name: str, values: Mapping[str, Any]) -> list[Any]:
        """Return the rows of a statement that runs for every batch, outside of transactions."""
        if self.is_pooled:  # the session may be another one, without what was prepared
            return self.rows(name, values)
        return self.queries.quick[name].rows(self.connection, values)

    def rows_of_all(
        self, statements: Sequence[tuple[str, Mapping[str, Any]]], settings: Mapping[str, str]
    ) -> list[list[Any]]:
        """Return the rows of each quick statement, sent together and run in one transaction.

        `settings` are those of the session. Behind a pooler, the transaction gets them.
        """
        if len(statements) == 1 and not self.is_pooled:  # much cheaper
            return [self.quick_rows(*statements[0])]
        execute, queries = self.connection.execute, self.queries
        with self.connection.pipeline():
            if self.is_pooled:
                execute(queries["set_for_now"], (list(settings), list(settings.values())))
            cursors = [execute(queries[name], values, binary=True) for name, values in statements]
        return [cursor.fetchall() for cursor in cursors]

    def run(self, name: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> int:
        """Run a statement; return the number of rows that it has changed.

        Within a pipeline, that number is not known.
        """
        return self.connection.execute(self.queries[name], values, binary=True).rowcount

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as a transaction."""
        with self.connection.transaction():
            yield


class Session:
    """One connection to the server, made when it is needed.

    `turn` is held by the thread that uses it. `prepared` is called with each new connection.
    `number` is another one with each new connection. `settings` are the server's for the session;
    one of a pooler is left as it is. `outage` and `watchdog` are those of all sessions of the
    process. `uses` counts the uses of the connection.
    """

    def __init__(
        self,
        place: Place,
        url: str,
        queries: Queries,
        *,
        prepared: Callable[[Database], None] = lambda database: None,
        settings: Mapping[str, str] = MappingProxyType({}),
        outage: Outage | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self.turn = threading.Lock()
        self.name = name_of(place, url)
        self.schema = place.schema
        self.outage = outage or Outage(self.name)
        self.number = self.uses = 0
        self.is_kept = False
        """Whether somebody uses the connection all the time."""
        self._url = url
        self._queries = queries
        self._prepared = prepared
        # To compile one of these short queries takes longer than to run it, and so does planning
        # each anew for its values: all have one plan that is right.
        self._settings = {"jit": "off", "plan_cache_mode": "force_generic_plan", **settings}
        self._database: Database | None = None
        self._cutting = threading.Lock()
        self._closed = False
        self._refused_until = 0.0
        self._troubled_since: float | None = None
        self._connected_at: float | None = None
        self.trouble = ""
        """The reason why the server could not be used the last time; "" if it was."""
        if watchdog is not None:
            watchdog.watch(self)

    @property
    def database(self) -> Database | None:
        """The connection; None: there is none just now."""
        database = self._database
        return None if database is None or database.connection.closed else database

    def open(self) -> Database:
        """Return the connection, made anew if there is none. Raises SpoolError.

        Called with the turn.
        """
        self.uses += 1
        if (database := self.database) is not None:
            return database
        if self._closed:
            raise SpoolError(f"{self.name}: it is closed")
        if time.monotonic() < self._refused_until:
            raise self.lost(self.trouble)
        self.drop()
        began = time.monotonic()
        try:
            return self._connect()
        except psycopg.Error as error:
            self.drop()
            raise self._refused(error, began) from error

    def _refused(self, error: psycopg.Error, began: float) -> SpoolError:
        made = spool_error(self.name, error)
        if isinstance(made, ServerTrouble):
            self.outage.note(made, self._connected_at)
            self._note_trouble(made)
            now = time.monotonic()
            self._refused_until = now + max(_REFUSED, now - began)
        return made

    def lost(self, text: str) -> ServerTrouble:
        """Return the error for a session that there is not just now."""
        error = ServerTrouble(text)
        self.outage.note(error, self._connected_at)
        return error

    def _note_trouble(self, error: ServerTrouble) -> None:
        self.trouble = str(error)
        if self._troubled_since is None:
            self._troubled_since = time.monotonic()

    def _note_success(self) -> None:
        self.trouble, self._troubled_since = "", None

    def _connect(self) -> Database:
        connection = psycopg.connect(
            self._url,
            autocommit=True,
            prepare_threshold=None,
            **_options(self._url, self.schema),
        )
        # All numbers of one type: else each length of a number makes another prepared statement.
        connection.adapters.register_dumper(int, Int8Dumper)
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        connection.adapters.register_dumper(list, ArrayDumper)
        database = Database(connection, self._queries)
        self._database = database = evolve(database, is_pooled=is_pooled(database))
        if not database.is_pooled:  # else what it has prepared, and is set to, is another's
            connection.prepare_threshold = 3
            database.rows("set_all", (list(self._settings), list(self._settings.values())))
        self._prepared(database)
        self.number += 1
        self._note_success()
        self.outage.end()
        self._connected_at = time.monotonic()
        return database

    def run(self, work: Callable[[Database], T]) -> T:
        """Run `work` once, with the turn. Raises SpoolError; a connection that fails is closed."""
        with self.turn:
            return self.run_with_turn(work)

    def run_with_turn(self, work: Callable[[Database], T]) -> T:
        """Run `work` as `run` does; the caller has the turn."""
        database = self.open()
        try:
            return work(database)
        except psycopg.Error as error:
            made, was_lost = spool_error(self.name, error), database.connection.closed
            if was_lost or not is_idle(database.connection):
                self.drop()
            if was_lost and isinstance(made, ServerTrouble):
                self.outage.note(made, self._connected_at)
            raise made from error

    def repeat(self, work: Callable[[Database], T], wait: float) -> T:
        """Run `work`, which may be repeated, until it succeeds; for at most `wait` seconds.

        Other threads have their turns in between. While the server has been in trouble for longer
        than that, there is one attempt. Raises SpoolError.
        """
        began = time.monotonic()
        for pause in pauses():
            deadline = (self._troubled_since or began) + wait
            try:
                return self._run_by(work, deadline)
            except ServerTrouble as error:
                self._note_trouble(error)
                if time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
        raise AssertionError("pauses never end")

    def _run_by(self, work: Callable[[Database], T], deadline: float) -> T:
        """Run `work` once, if the turn comes by the deadline; another thread may wait in it."""
        if not self.turn.acquire(timeout=max(0.0, deadline - time.monotonic()) + _ATTEMPT):
            raise ServerTrouble(f"{self.name}: the server has not answered for too long")
        try:
            result = self.run_with_turn(work)
        finally:
            self.turn.release()
        self._note_success()
        return result

    def drop(self) -> None:
        """Close the connection; the next use makes a new one."""
        with self._cutting:
            database, self._database = self._database, None
            if database is not None:
                with contextlib.suppress(psycopg.Error):
                    database.connection.close()

    def address(self) -> str:
        """Return the url of the very server that the connection leads to; "" if there is none."""
        if (database := self.database) is None:
            return ""
        info = database.connection.info
        where = {"host": info.host, "hostaddr": info.hostaddr or None, "port": info.port}
        return make_conninfo(self._url, **where, target_session_attrs="any")

    def cut(self, uses: int) -> bool:
        """End the connection beneath the thread that waits in it since this use, as if it was lost.

        Called without the turn. Returns False if that use has ended.
        """
        with self._cutting:
            if self.uses != uses or (database := self.database) is None:
                return False
            # Not closed, which only the thread that uses it may do.
            with socket.socket(fileno=os.dup(database.connection.fileno())) as copy:
                copy.shutdown(socket.SHUT_RDWR)
            return True

    def rest(self) -> None:
        """Close the connection, unless it is kept: there is nothing to do in it for now."""
        with self.turn:
            if not self.is_kept:
                self.drop()

    def close(self) -> None:
        """Close the connection for good."""
        with self.turn:
            self._closed = True
            self.drop()

    def abandon(self) -> None:
        """Leave the connection to the parent process, in a forked child.

        To close it would end the parent's session: the socket is the same. So another socket takes
        its place first.
        """
        self._closed = True
        database, self._database = self._database, None
        if database is not None and not database.connection.closed:
            one, other = socket.socketpair()
            with one, other:
                os.dup2(one.fileno(), database.connection.fileno(), inheritable=False)
            database.connection.close()


def pauses() -> Iterator[float]:
    """Return the seconds between attempts, without an end."""
    yield from _PAUSES
    while True:
        yield _PAUSES[-1]


def is_pooled(database: Database) -> bool:
    """Return whether another program hands out the sessions of the server."""
    own = database.connection.info.backend_pid
    return any(database.rows("backend") != [(own,)] for _ in range(_ASKED))


def is_idle(connection: psycopg.Connection[Any]) -> bool:
    """Return whether a connection is outside any transaction, and may be used on."""
    return connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE


def can_retry(error: BaseException) -> bool:
    """Return whether an error of the server may be gone a moment later."""
    return isinstance(error, psycopg.Error) and may_heal(error)


def name_of(place: Place, url: str) -> str:
    """Return the name of a spool by one of its urls, for messages, which has no secret.

    Raises SpoolError.
    """
    found = _parsed(url)
    hosts = (found.get("host") or found.get("hostaddr") or "localhost").split(",")
    ports = (found.get("port") or "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    where = ",".join(
        f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=False)
    )
    return f"spool postgresql://{where}/{found.get('dbname', '')} (schema {place.schema})"


def _options(url: str, schema: str) -> dict[str, Any]:
    """Return the options of a connection: its encoding, and those that its url does not set.

    The name is that of the session in `pg_stat_activity`: other spools have other sessions.
    """
    options = {"application_name": f"walker-collector {schema}"[:_NAME], **_OPTIONS}
    given = _parsed(url)
    return _ENCODING | {key: value for key, value in options.items() if key not in given}


def _parsed(url: str) -> Mapping[str, Any]:
    try:
        return url_parameters(url)
    except ValueError as error:
        raise SpoolError(f"spool.url {error}") from None


def advisory_key(*parts: object) -> int:
    """Return the key of an advisory lock (64 bits) for these parts, the schema among them."""
    text = "\0".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), signed=True)
