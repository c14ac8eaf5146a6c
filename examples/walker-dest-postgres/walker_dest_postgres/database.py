"""The database: a pool of connections, and upserts of rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, LifoQueue
from typing import Any, Final

import psycopg
from attrs import astuple, fields
from psycopg.sql import SQL, Composed, Identifier

from walker_dest_postgres.errors import connection_error, statement_error
from walker_dest_postgres.rows import Row
from walker_dest_postgres.settings import Settings

Connection = psycopg.Connection[tuple[Any, ...]]

_COLUMNS: Final = {
    "event_id": "text",
    "event_name": "text",
    "event_time": "timestamptz",
    "user_id": "text",
    "session_id": "text",
    "data": "jsonb",
}
assert list(_COLUMNS) == [column.name for column in fields(Row)]

_CREATE: Final = SQL(
    "CREATE TABLE IF NOT EXISTS {table} (event_id text PRIMARY KEY, event_name text NOT NULL,"
    " event_time timestamptz NOT NULL, user_id text, session_id text, data jsonb)"
)
_UPSERT: Final = SQL(
    "INSERT INTO {table} ({columns}) SELECT {columns} FROM unnest({arrays})"
    " WITH ORDINALITY AS row({columns}, place) ORDER BY place"
    " ON CONFLICT (event_id) DO UPDATE SET {updates}"
)


class PostgresDatabase:
    """A PostgreSQL database. Safe to use from several threads.

    Methods raise RetryLater, DestinationDown or Rejected.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: LifoQueue[Connection] = LifoQueue()

    def create(self, table: str) -> None:
        """Create a table if it does not exist."""
        with self._connected() as connection:
            connection.execute(_CREATE.format(table=_identifier(table)))

    def upsert(self, table: str, rows: Sequence[Row]) -> None:
        """Insert rows, all or none; a row replaces an earlier one of the same event."""
        last = {row.event_id: row for row in rows}  # one statement may touch a row once only
        columns = [list(values) for values in zip(*map(astuple, last.values()), strict=True)]
        with self._connected() as connection:
            connection.execute(_upsert(table), columns)

    def close(self) -> None:
        """Close the connections."""
        while (connection := self._take_idle()) is not None:
            connection.close()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Lend a connection within a transaction."""
        connection = self._reusable() or self._connect()
        try:
            with connection.transaction():
                yield connection
        except psycopg.Error as error:
            raise statement_error(error) from None
        finally:
            if connection.closed:
                connection.close()
            else:
                self._idle.put(connection)

    def _reusable(self) -> Connection | None:
        """Return an idle connection that the server has not closed, or None."""
        while (connection := self._take_idle()) is not None:
            try:
                connection.execute("")
            except psycopg.Error:
                connection.close()
            else:
                return connection
        return None

    def _take_idle(self) -> Connection | None:
        try:
            return self._idle.get_nowait()
        except Empty:
            return None

    def _connect(self) -> Connection:
        timeout = self._settings.timeout
        try:
            return psycopg.connect(
                self._settings.url.reveal(),
                autocommit=True,
                application_name="walker-collector",
                connect_timeout=max(1, timeout // 1000),
                options=f"-c statement_timeout={timeout}",
            )
        except psycopg.OperationalError as error:
            raise connection_error(error) from None


def _upsert(table: str) -> Composed:
    columns = list(map(Identifier, _COLUMNS))
    arrays = [SQL("%s::{}[]").format(SQL(kind)) for kind in _COLUMNS.values()]
    updates = [SQL("{0} = EXCLUDED.{0}").format(column) for column in columns[1:]]
    return _UPSERT.format(
        table=_identifier(table),
        columns=SQL(", ").join(columns),
        arrays=SQL(", ").join(arrays),
        updates=SQL(", ").join(updates),
    )


def _identifier(table: str) -> Identifier:
    return Identifier(*table.split("."))
