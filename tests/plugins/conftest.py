"""Databases of the tests' PostgreSQL server: each test gets one of its own."""

from itertools import count

import psycopg
import pytest
from attrs import frozen
from psycopg.sql import SQL, Identifier

from tests.postgres_server import PostgresServer

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
def shop_server(postgres_server: PostgresServer) -> PostgresServer:
    """The server, with the user of an application."""
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(
            SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                Identifier(APPLICATION), APPLICATION_PASSWORD
            )
        )
    return postgres_server


_numbers = count(1)


@pytest.fixture
def postgres(shop_server: PostgresServer) -> Database:
    """An empty database."""
    name = f"shop{next(_numbers)}"
    with psycopg.connect(shop_server.url("postgres"), autocommit=True) as connection:
        create = SQL("CREATE DATABASE {} OWNER {}")
        connection.execute(create.format(Identifier(name), Identifier(APPLICATION)))
    return Database(shop_server, name)
