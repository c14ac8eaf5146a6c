"""Statements beneath psycopg's cursors: they find and tell the same, and outlast a rollback."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest

from tests.postgres_server import PostgresServer
from walker_collector.spool.postgres import Place
from walker_collector.spool.postgres.queries import Queries
from walker_collector.spool.postgres.quick_statements import QuickStatement
from walker_collector.spool.postgres.sessions import Session

Connection = psycopg.Connection[tuple[object, ...]]


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    place = Place(url)
    session = Session(place, place.url, Queries(place.schema))
    with closing(session):
        yield session.open().connection


@pytest.fixture
def connection(postgres_server: PostgresServer) -> Iterator[Connection]:
    with connected(postgres_server.url("postgres")) as made:
        yield made


def test_values_come_back_as_they_were(connection: Connection) -> None:
    parts = (
        "%(number)s::bigint",
        "%(text)s::text",
        "%(yes)s::boolean",
        "(%(numbers)s::bigint[])[2]",
        "encode((%(flags)s::bytea[])[1], 'hex')",
        "cardinality(%(none)s::int[])",
        "NULL::int",
        "%(number)s::smallint",
    )
    statement = QuickStatement("values", f"SELECT {', '.join(parts)}".encode())
    values = {"number": -7, "text": "ü'\"{}\\", "yes": False, "numbers": [1, 2**62], "none": []}
    (row,) = statement.rows(connection, {**values, "flags": [b"\0\1\xff", b""]})
    assert row == (-7, "ü'\"{}\\", False, 2**62, "0001ff", 0, None, -7)


def test_text_is_the_same_for_cursors_whatever_encoding_the_url_asks_for(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.url("postgres")
    with connected(f"{url}?client_encoding=latin1") as connection:
        row = ("küche-日",)
        statement = QuickStatement("text", b"SELECT %(text)s::text WHERE char_length(%(text)s) = 7")
        assert statement.rows(connection, {"text": row[0]}) == [row]
        assert connection.execute("SELECT %s::text", row).fetchall() == [row]


def test_a_statement_is_prepared_again_when_the_session_has_forgotten_it(
    connection: Connection,
) -> None:
    statement = QuickStatement("one", b"SELECT %(number)s::int")
    assert statement.rows(connection, {"number": 1}) == [(1,)]
    connection.execute("DEALLOCATE ALL")
    assert statement.rows(connection, {"number": 2}) == [(2,)]


def test_a_statement_that_the_session_has_already_is_used_and_no_other(
    connection: Connection,
) -> None:
    for _ in range(2):  # the second one finds what the first one has prepared
        statement = QuickStatement("one", b"SELECT %(number)s::int")
        assert statement.rows(connection, {"number": 1}) == [(1,)]
    other = QuickStatement("one", b"SELECT -%(number)s::int")
    assert other.rows(connection, {"number": 1}) == [(-1,)]


def test_an_error_of_the_server_is_the_one_that_a_cursor_raises(connection: Connection) -> None:
    statement = QuickStatement("fails", b"SELECT 1 / %(number)s::int")
    with pytest.raises(psycopg.errors.DivisionByZero, match="division by zero"):
        statement.rows(connection, {"number": 0})
    assert statement.rows(connection, {"number": 1}) == [(1,)]
    with pytest.raises(psycopg.errors.UndefinedTable):
        QuickStatement("lost", b"SELECT %(number)s::int FROM nowhere").rows(
            connection, {"number": 1}
        )


def test_a_lost_connection_is_told(connection: Connection, postgres_server: PostgresServer) -> None:
    statement = QuickStatement("one", b"SELECT %(number)s::int")
    statement.rows(connection, {"number": 1})
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        statement.rows(connection, {"number": 2})
    assert connection.closed
