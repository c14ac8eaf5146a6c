"""Sessions at the server, and the tables that the first of them makes."""

import os
import threading
from contextlib import closing

import psycopg
import pytest

from tests.postgres_server import PostgresServer
from tests.support import exit_status, wait_until
from walker_collector.errors import SpoolError
from walker_collector.spool.postgres import Place, open_spool
from walker_collector.spool.postgres.layout import Layout, prepare
from walker_collector.spool.postgres.queries import Queries
from walker_collector.spool.postgres.server_errors import ServerTrouble, spool_error
from walker_collector.spool.postgres.sessions import Database, Session


def session(place: Place) -> Session:
    return Session(place, place.url, Queries(place.schema))


def prepared(place: Place, shards: int | None = None) -> Layout:
    one = session(place)
    try:
        return one.run(lambda database: prepare(database, one.name, shards, read_only=False))
    finally:
        one.close()


def backend(database: Database) -> int:
    ((pid,),) = database.connection.execute("SELECT pg_backend_pid()").fetchall()
    return int(pid)


def test_tables_are_made_once_whoever_comes_first(place: Place) -> None:
    layouts: list[Layout] = []
    threads = [threading.Thread(target=lambda: layouts.append(prepared(place))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert layouts == [Layout(1, 64)] * 4


def test_tables_of_a_newer_version_are_refused(place: Place) -> None:
    prepared(place, 8)
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute(f"UPDATE {place.schema}.layout SET version = 99".encode())
    with pytest.raises(SpoolError, match="written by a newer walker-collector"):
        prepared(place)


def test_connection_that_the_server_has_ended_is_made_anew(place: Place) -> None:
    one = session(place)
    first = one.run(backend)
    with psycopg.connect(place.url) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (first,))
    with pytest.raises(ServerTrouble):
        one.run(backend)
    assert one.run(backend) != first
    assert one.number == 2
    one.close()
    with pytest.raises(SpoolError, match="closed"):
        one.run(backend)


def test_reads_are_repeated_until_the_server_answers(place: Place) -> None:
    one = session(place)
    first = one.run(backend)
    with psycopg.connect(place.url) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (first,))
    assert one.repeat(backend, 5.0) != first
    one.close()


def test_forked_child_leaves_the_session_to_its_parent(place: Place) -> None:
    one = session(place)
    first = one.run(backend)
    child = os.fork()
    if not child:
        try:
            one.abandon()
            os._exit(0)
        finally:
            os._exit(1)
    assert exit_status(child) == 0
    assert one.run(backend) == first
    one.close()


def test_session_of_a_closed_one_is_over_at_the_server(place: Place) -> None:
    one = session(place)
    pid = one.run(backend)
    one.close()
    with psycopg.connect(place.url, autocommit=True) as other:
        there = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
        wait_until(lambda: not other.execute(there, (pid,)).fetchall())


def test_error_names_place_and_remedy_and_no_password(postgres_server: PostgresServer) -> None:
    def error(url: str) -> str:
        with pytest.raises(SpoolError) as raised:
            session(Place(url)).run(backend)
        assert "secret-word" not in str(raised.value)
        return str(raised.value)

    wrong = postgres_server.url("postgres", password="secret-word")
    assert "check the user and the password" in error(wrong)
    assert "create the database" in error(postgres_server.url("nowhere"))
    assert "see whether the server runs" in error("postgresql://a:secret-word@127.0.0.1:1/x")
    assert "is no url of a database" in error("secret-word")
    one, other = "postgresql://a:secret-word@127.0.0.1:1,[::1]:1/x", "postgresql://h,i:2/x"
    assert "spool postgresql://127.0.0.1:1,::1:1/x" in error(one)
    assert session(Place(other)).name == "spool postgresql://h,i:2/x (schema walker)"
    right = postgres_server.url("postgres")
    assert "unknown parameter sslmod; did you mean sslmode?" in error(f"{right}?sslmod=require")
    assert "give sslmode" in error(f"{right}?sslmode=require")
    assert "correct the parameters" in error(f"{right}?sslmode=some")
    assert "correct the host in the url" in error("postgresql://a:secret-word@walker.invalid/x")


def test_full_disk_is_told_also_if_the_server_takes_no_connection_for_it() -> None:
    text = 'connection to server at "db", port 5432 failed: FATAL:  could not write init file'
    assert "the disk of the server is full" in str(spool_error("", psycopg.OperationalError(text)))


def test_processes_of_other_spools_in_the_database_are_no_others(
    postgres_server: PostgresServer, place: Place
) -> None:
    elsewhere = Place(place.url, postgres_server.new_schema())
    with (
        closing(open_spool(elsewhere)),
        closing(open_spool(place)) as first,
        closing(open_spool(place)) as second,
    ):
        assert first.inherited == 0
        assert second.inherited is None


def test_user_may_make_the_tables_in_a_schema_that_is_given_to_it(
    postgres_server: PostgresServer, place: Place
) -> None:
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
        connection.execute(f"CREATE SCHEMA {place.schema} AUTHORIZATION guest".encode())
    url = postgres_server.url("postgres", "guest", "guest")
    assert prepared(Place(url, place.schema), 4) == Layout(1, 4)
    with pytest.raises(SpoolError, match="all rights on the schema, and CREATE on the database"):
        prepared(Place(url, postgres_server.new_schema()))
