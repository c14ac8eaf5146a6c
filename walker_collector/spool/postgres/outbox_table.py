"""The outbox of a spool in PostgreSQL: rows in the transactions of applications."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from walker_collector.errors import SpoolError
from walker_collector.spool.postgres.queries import Queries
from walker_collector.spool.postgres.sessions import Database, Session, advisory_key
from walker_collector.text import describe


class PostgresOutbox:
    """Rows that applications write, and that one process at a time takes.

    `session`: that of the leases, whose end gives up the right to take rows as well.
    """

    def __init__(self, name: str, queries: Queries, session: Session) -> None:
        self._name = name
        self._post = queries["post"].decode()
        self._key = advisory_key(queries.schema, "outbox")
        self._session = session
        self._taken_in = 0
        """The number of the connection that has the right to take rows."""

    def post(self, connection: Any, body: bytes) -> None:
        execute = _statements_of(connection)
        try:
            execute(self._post, (body,))
        except Exception as error:  # of whichever driver
            raise SpoolError(
                f"push(connection=...): no row could be written ({describe(error)}); the connection"
                f" must be one to {self._name}, with the right to insert into its outbox"
            ) from error

    def take(self, limit: int) -> list[tuple[int, bytes]]:
        return self._session.run(lambda database: self._take(database, limit))

    def _take(self, database: Database, limit: int) -> list[tuple[int, bytes]]:
        if self._taken_in != self._session.number:
            ((has_it,),) = database.rows("lock_outbox", (self._key,))
            if not has_it:
                return []
            self._taken_in = self._session.number
        return [(number, bytes(body)) for number, body in database.rows("take_outbox", (limit,))]

    def remove(self, numbers: Sequence[int]) -> None:
        if numbers:
            self._session.run(lambda database: database.run("remove_outbox", (list(numbers),)))


def _statements_of(connection: Any) -> Callable[[str, tuple[bytes]], object]:
    """Return the function that runs a statement in the transaction of a connection.

    Taken are connections of SQLAlchemy, and all that have cursors: of Django, psycopg and others.
    Raises SpoolError for anything else.
    """
    if hasattr(connection, "exec_driver_sql"):
        run: Callable[[str, tuple[bytes]], object] = connection.exec_driver_sql
        return run
    if not hasattr(connection, "cursor") or hasattr(connection, "__aenter__"):
        raise SpoolError(
            f"push(connection=...): takes a psycopg, Django or SQLAlchemy connection, not "
            f"{type(connection).__name__}; of a session of SQLAlchemy give session.connection()"
        )

    def execute(statement: str, values: tuple[bytes]) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(statement, values)

    return execute
