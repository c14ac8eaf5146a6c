"""A schema of its own for each test."""

import pytest

from tests.postgres_server import PostgresServer
from walker_collector.spool.postgres import Place


@pytest.fixture
def place(postgres_server: PostgresServer) -> Place:
    """Where nobody has made a spool yet."""
    return Place(postgres_server.url("postgres"), postgres_server.new_schema())
