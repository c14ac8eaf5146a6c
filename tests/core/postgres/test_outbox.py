"""The outbox: rows are there when the application's transaction has committed, and only then."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

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
    return PostgresOutbox(session.name, queries, session), session


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
    return [body for _, body in outbox.take(10)]


def test_row_is_there_after_the_commit_and_not_before(
    outbox: PostgresOutbox, application: "psycopg.Connection[Any]"
) -> None:
    outbox.post(application, b"1")
    assert taken(outbox) == []
    application.commit()
    assert taken(outbox) == [b"1"]


def test_row_of_a_transaction_that_is_rolled_back_never_comes(
    outbox: PostgresOutbox, application: "psycopg.Connection[Any]"
) -> None:
    outbox.post(application, b"1")
    application.rollback()
    outbox.post(application, b"2")
    application.commit()
    assert taken(outbox) == [b"2"]


def test_rows_come_again_until_they_are_removed(
    outbox: PostgresOutbox, application: "psycopg.Connection[Any]"
) -> None:
    for body in (b"1", b"2", b"3"):
        outbox.post(application, body)
    application.commit()
    (first, _), (second, _) = outbox.take(2)
    outbox.remove([first])
    assert [number for number, _ in outbox.take(1)] == [second]
    assert taken(outbox) == [b"2", b"3"]


def test_transaction_that_commits_later_comes_later(
    outbox: PostgresOutbox, application: "psycopg.Connection[Any]", place: Place
) -> None:
    outbox.post(application, b"early row, late commit")
    with psycopg.connect(place.url) as other:
        outbox.post(other, b"late row, early commit")
    seen = taken(outbox)
    application.commit()
    assert seen == [b"late row, early commit"]
    outbox.remove([number for number, _ in outbox.take(10)][1:])
    assert taken(outbox) == [b"early row, late commit"]


def test_one_process_takes_rows_until_it_has_ended(
    outbox: PostgresOutbox, application: "psycopg.Connection[Any]", place: Place
) -> None:
    outbox.post(application, b"1")
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
        outbox.post(connection, b"1")
    assert advice in str(told.value)


def test_connection_to_another_database_is_named_as_the_trouble(
    outbox: PostgresOutbox, place: Place
) -> None:
    with (
        psycopg.connect(place.url.replace("/postgres", "/template1")) as elsewhere,
        pytest.raises(SpoolError, match=rf"must be one to spool .*{place.schema}"),
    ):
        outbox.post(elsewhere, b"1")
