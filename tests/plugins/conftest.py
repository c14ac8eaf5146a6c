"""A PostgreSQL server for all tests of a process; each gets a database of its own."""

from collections.abc import Iterator
from itertools import count

import psycopg
import pytest
from attrs import frozen
from psycopg.sql import SQL, Identifier

from tests.plugins.postgres_server import PostgresServer, programs
from tests.services import missing

APPLICATION = "shop"
APPLICATION_PASSWORD = "shop-password"


@frozen
class Database:
    """An empty database that its user may do everything in; `url` is that user's."""

    server: PostgresServer
    name: str

    @property
    def url(self) -> str:
        return self.server.url(self.name, APPLICATION, APPLICATION_PASSWORD)

    def query(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run a statement as superuser, and return its rows."""
        with psycopg.connect(self.server.url(self.name), autocommit=True) as connection:
            cursor = connection.execute(sql.encode(), parameters)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    found = programs()
    if found is None:
        missing("PostgreSQL's initdb and pg_ctl are not installed (Debian: postgresql)")
    with PostgresServer(found) as server:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(
                SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    Identifier(APPLICATION), APPLICATION_PASSWORD
                )
            )
        yield server


_numbers = count(1)


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Database:
    """An empty database."""
    name = f"shop{next(_numbers)}"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        create = SQL("CREATE DATABASE {} OWNER {}")
        connection.execute(create.format(Identifier(name), Identifier(APPLICATION)))
    return Database(postgres_server, name)
