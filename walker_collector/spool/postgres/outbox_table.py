"""The outbox of a spool in PostgreSQL: rows in the transactions of applications."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, Final

from walker_collector.errors import SpoolError
from walker_collector.spool.base import OutboxRow
from walker_collector.spool.postgres.posting_errors import not_posted, of_another_kind
from walker_collector.spool.postgres.queries import Queries
from walker_collector.spool.postgres.sessions import Database, Session, advisory_key
from walker_collector.spool.stored_delivery import json_string

Ask = Callable[[Callable[[Database], list[Any]]], list[Any]]
"""Runs work, which may be repeated, and returns its rows."""

_PAGE: Final = 1_000
"""Rows that are read at once."""


class PostgresOutbox:
    """Rows that applications write, and that one process at a time takes.

    `session`: that of the leases, whose end gives up the right to take rows as well. `ask`: looks
    at them, and removes those of people who are erased.
    """

    def __init__(self, name: str, queries: Queries, session: Session, ask: Ask) -> None:
        self._name = name
        self._schema = queries.schema
        self._post = queries["post"].decode()
        self._key = advisory_key(queries.schema, "outbox")
        self._session = session
        self._ask = ask
        self._taken_in = 0
        """The number of the connection that has the right to take rows."""

    def post(self, connection: Any, at: int, body: bytes) -> None:
        execute = _statements_of(connection)
        try:
            execute(self._post, (at, body))
        except Exception as error:  # of whichever driver
            # Not chained: the text of some drivers has the values of the statement.
            raise not_posted(error, self._name, self._schema) from None

    def take(self, limit: int) -> list[OutboxRow]:
        return self._session.run(lambda database: self._take(database, limit))

    def _take(self, database: Database, limit: int) -> list[OutboxRow]:
        if self._taken_in != self._session.number:
            ((has_it,),) = database.rows("lock_outbox", (self._key,))
            if not has_it:
                return []
            self._taken_in = self._session.number
        return _read(database.rows("take_outbox", (limit,)))

    def remove(self, numbers: Sequence[int]) -> None:
        if numbers:
            wanted = list(numbers)
            self._ask(lambda database: [database.run("remove_outbox", (wanted,))])

    def rows(self) -> Iterator[OutboxRow]:
        last = 0
        while page := self._rows("read_outbox", last, _PAGE):
            yield from page
            last = page[-1].number

    def with_text(self, text: str) -> list[OutboxRow]:
        return self._rows("search_outbox", json_string(text))

    def figures(self) -> tuple[int, int]:
        ((count, oldest),) = self._ask(lambda database: database.rows("outbox_figures"))
        return count, oldest

    def _rows(self, query: str, *values: Any) -> list[OutboxRow]:
        return _read(self._ask(lambda database: database.rows(query, values)))


def _read(rows: list[Any]) -> list[OutboxRow]:
    return [OutboxRow(number, at, bytes(body)) for number, at, body in rows]


def _statements_of(connection: Any) -> Callable[[str, tuple[int, bytes]], object]:
    """Return the function that runs a statement in the transaction of a connection.

    Taken are connections of SQLAlchemy, and all that have cursors: of Django, psycopg and others.
    Raises SpoolError for anything else.
    """
    if other := of_another_kind(connection):
        raise SpoolError(other)
    if hasattr(connection, "exec_driver_sql"):
        run: Callable[[str, tuple[int, bytes]], object] = connection.exec_driver_sql
        return run

    def execute(statement: str, values: tuple[int, bytes]) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(statement, values)

    return execute
