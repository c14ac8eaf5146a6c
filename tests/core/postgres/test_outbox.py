"""The outbox: rows are there when the application's transaction has committed, and only then."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
import sqlalchemy

from tests.support import wait_until
from walker_collector.errors import SpoolError
from walker_collector.spool.postgres import Place
from walker_collector.spool.postgres.layout import prepare
from walker_collector.spool.postgres.outbox_table import PostgresOutbox
from walker_collector.spool.postgres.queries import Queries
from walker_collector.spool.postgres.sessions import Session


def opened(place: Place) -> tuple[PostgresOutbox, Session]:
    queries = Queries(place.schema)
    session = Session(place, place.url, queries)
    session.run(lambda database: prepare(database, session.name, None, read_only=False))
    return PostgresOutbox(session.name, queries, session, session.run), session


@pytest.fixture
def outbox(place: Place) -> Iterator[PostgresOutbox]:
    found, session = opened(place)
    with closing(session):
        yield found


@pytest.fixture
def application(place: Place) -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(place.url) as connection:
        yield connection


def taken(outbox: PostgresOutbox) -> list[bytes]:
    return [row.body for row in outbox.take(10)]


def test_row_is_there_after_the_commit_and_not_before(
    outbox: PostgresOutbox, application: "psycopg.Connection[Any]"
) -> None:
    outbox.post(application, 1, b"1")
    assert taken(outbox) == []
    application.commit()
    assert taken(outbox) == [b"1"]


def test_row_of_a_transaction_that_is_rolled_back_never_comes(
    outbox: PostgresOutbox, application: "psycopg.Connection[Any]"
) -> None:
    outbox.post(application, 1, b"1")
    application.rollback()
    outbox.post(application, 1, b"2")
    application.commit()
    assert taken(outbox) == [b"2"]


def test_rows_come_again_until_they_are_removed(
    outbox: PostgresOutbox, application: "psycopg.Connection[Any]"
) -> None:
    for body in (b"1", b"2", b"3"):
        outbox.post(application, 1, body)
    application.commit()
    first, second = [row.number for row in outbox.take(2)]
    outbox.remove([first])
    assert [row.number for row in outbox.take(1)] == [second]
    assert taken(outbox) == [b"2", b"3"]


def test_transaction_that_commits_later_comes_later(
    outbox: PostgresOutbox, application: "psycopg.Connection[Any]", place: Place
) -> None:
    outbox.post(application, 1, b"early row, late commit")
    with psycopg.connect(place.url) as other:
        outbox.post(other, 1, b"late row, early commit")
    seen = taken(outbox)
    application.commit()
    assert seen == [b"late row, early commit"]
    outbox.remove([row.number for row in outbox.take(10)][1:])
    assert taken(outbox) == [b"early row, late commit"]


def test_one_process_takes_rows_until_it_has_ended(
    outbox: PostgresOutbox, application: "psycopg.Connection[Any]", place: Place
) -> None:
    outbox.post(application, 1, b"1")
    application.commit()
    other, session = opened(place)
    with closing(session):
        assert taken(other) == [b"1"]
        assert taken(outbox) == []
    wait_until(lambda: taken(outbox) == [b"1"])  # the server ends a session a moment later


@pytest.mark.parametrize(
    ("connection", "advice"),
    [("postgresql://h/d", "not str; of a session of SQLAlchemy give session.connection()")],
)
def test_what_is_no_connection_is_refused(
    outbox: PostgresOutbox, connection: Any, advice: str
) -> None:
    with pytest.raises(
        SpoolError, match="takes a psycopg, Django or SQLAlchemy connection"
    ) as told:
        outbox.post(connection, 1, b"1")
    assert advice in str(told.value)


def test_connection_to_another_database_is_named_as_the_trouble(
    outbox: PostgresOutbox, place: Place
) -> None:
    with (
        psycopg.connect(place.url.replace("/postgres", "/template1")) as elsewhere,
        pytest.raises(SpoolError, match=rf"no such outbox; it must be .*{place.schema}"),
    ):
        outbox.post(elsewhere, 1, b"1")


def refusal(outbox: PostgresOutbox, connection: Any) -> str:
    with pytest.raises(SpoolError) as told:
        outbox.post(connection, 1, b"the event of a person")
    assert told.value.__cause__ is None
    assert "person" not in str(told.value)
    assert "INSERT INTO" not in str(told.value)
    return str(told.value)


def test_trouble_of_a_connection_is_told_by_its_kind(
    outbox: PostgresOutbox, place: Place, application: "psycopg.Connection[Any]"
) -> None:
    with pytest.raises(psycopg.Error):
        application.execute("SELECT 1/0")
    assert "has failed; roll back" in refusal(outbox, application)
    application.rollback()
    application.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    application.commit()
    assert "its session is read-only" in refusal(outbox, application)
    application.close()
    assert "the connection is closed" in refusal(outbox, application)
    with psycopg.connect(place.url) as killed:
        pid = killed.info.backend_pid
        with psycopg.connect(place.url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        assert "its server has gone away" in refusal(outbox, killed)


def test_cursors_with_other_parameters_are_told(outbox: PostgresOutbox, place: Place) -> None:
    with psycopg.connect(place.url, cursor_factory=psycopg.RawCursor) as connection:
        assert "take a connection with psycopg's usual ones" in refusal(outbox, connection)


def test_user_without_the_right_to_insert_is_told_which(
    outbox: PostgresOutbox, application: "psycopg.Connection[Any]", place: Place
) -> None:
    role = f"weak_{place.schema}"
    application.execute(f"CREATE ROLE {role}")
    application.execute(f"SET LOCAL ROLE {role}")
    assert f"INSERT ON {place.schema}.outbox" in refusal(outbox, application)


def test_connections_to_other_databases_are_refused_before_anything_is_run(
    outbox: PostgresOutbox,
) -> None:
    lite = sqlalchemy.create_engine("sqlite://")
    with closing(sqlite3.connect(":memory:")) as plain, lite.connect() as by_sqlalchemy:
        for connection in (plain, by_sqlalchemy):
            assert "this is a connection to sqlite" in refusal(outbox, connection)
    lite.dispose()


def test_error_of_sqlalchemy_is_told_without_its_statement_and_values(
    outbox: PostgresOutbox, place: Place
) -> None:
    engine = sqlalchemy.create_engine(place.url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        with pytest.raises(sqlalchemy.exc.DBAPIError):
            connection.exec_driver_sql("SELECT 1/0")
        assert "SQLSTATE 25P02" in refusal(outbox, connection)
    engine.dispose()


def test_rows_are_looked_at_without_being_taken(
    outbox: PostgresOutbox, application: "psycopg.Connection[Any]"
) -> None:
    assert outbox.figures() == (0, 0)
    outbox.post(application, 8, b'{"id":"a"}')
    outbox.post(application, 7, b'{"id":"b"}')
    application.commit()
    outbox.post(application, 1, b'{"id":"c"}')
    assert outbox.figures() == (2, 7)
    assert [row.at for row in outbox.rows()] == [8, 7]
    assert [row.body for row in outbox.with_text("b")] == [b'{"id":"b"}']
