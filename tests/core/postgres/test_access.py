"""The rights that a spool needs, and urls that lead elsewhere: told before anything is made."""

from collections.abc import Iterator

import psycopg
import pytest
from attrs import evolve
from psycopg.sql import SQL, Identifier

from tests.core.postgres.pooler import pooler
from tests.postgres_server import PostgresServer
from walker_collector import Collector
from walker_collector.errors import SpoolError
from walker_collector.spool.postgres import Place, check_access, open_spool


def run(place: Place, *statements: str) -> None:
    names = {"schema": Identifier(place.schema), "user": Identifier(f"user_{place.schema}")}
    with psycopg.connect(place.url, autocommit=True) as db:
        for statement in statements:
            db.execute(SQL(statement).format(**names))


def refusal(place: Place, *, delivers: bool = True) -> str:
    with pytest.raises(SpoolError) as raised:
        check_access(place, delivers=delivers)
    return str(raised.value)


@pytest.fixture
def user(place: Place, postgres_server: PostgresServer) -> Place:
    """The same place as a user without any rights."""
    run(place, "CREATE ROLE {user} LOGIN PASSWORD 'word'")
    name = f"user_{place.schema}"
    return evolve(place, url=postgres_server.url("postgres", user=name, password="word"))


@pytest.fixture
def elsewhere(place: Place, postgres_server: PostgresServer) -> Iterator[str]:
    """The url of another database on the same server."""
    run(place, "CREATE DATABASE {schema}")
    yield postgres_server.url(place.schema)
    run(place, "DROP DATABASE {schema} WITH (FORCE)")


def test_user_needs_the_right_to_make_the_schema(place: Place, user: Place) -> None:
    assert "may not make the schema; run as an administrator: CREATE SCHEMA" in refusal(user)
    run(place, "CREATE SCHEMA {schema} AUTHORIZATION {user}")
    check_access(user, delivers=True)
    run(place, "DROP SCHEMA {schema}")
    run(place, "GRANT CREATE ON DATABASE postgres TO {user}")
    try:
        check_access(user, delivers=True)
    finally:
        run(place, "REVOKE CREATE ON DATABASE postgres FROM {user}")


def test_user_needs_the_right_to_write_in_the_schema(place: Place, user: Place) -> None:
    run(place, "CREATE SCHEMA {schema}")
    assert "may not use the schema; run as its owner: GRANT USAGE" in refusal(user)
    run(place, "GRANT USAGE ON SCHEMA {schema} TO {user}")
    assert "may make no tables in the schema" in refusal(user)
    open_spool(place).close()
    run(place, "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user}")
    assert "accepted among them; run as their owner: GRANT SELECT, INSERT" in refusal(user)
    run(place, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}")
    check_access(user, delivers=True)
    open_spool(user).close()


def test_check_makes_nothing(place: Place) -> None:
    check_access(place, delivers=True)
    with psycopg.connect(place.url) as db:
        found = db.execute("SELECT FROM pg_namespace WHERE nspname = %s", (place.schema,))
        assert found.fetchall() == []


def test_another_number_of_shards_is_told(place: Place) -> None:
    open_spool(place, shards=4).close()
    check_access(place, delivers=True, shards=4)
    with pytest.raises(SpoolError, match="made with 4 shards, and the flow has"):
        check_access(place, delivers=True, shards=8)


def test_schema_with_tables_of_others_is_refused(place: Place) -> None:
    run(place, "CREATE SCHEMA {schema}", "CREATE TABLE {schema}.events (id int)")
    told = "the schema has 1 table of others, such as events; choose another schema"
    assert told in refusal(place)
    with pytest.raises(SpoolError, match=told):
        open_spool(place)


def test_pooler_is_refused_for_leases_alone(place: Place, elsewhere: str) -> None:
    with pooler(place.url) as url:
        through = evolve(place, url=url)
        assert "a pooler is between" in refusal(through)
        check_access(through, delivers=False)
        check_access(evolve(through, lease_url=place.url), delivers=True)
        assert "leads to another database" in refusal(evolve(through, lease_url=elsewhere))


def test_leases_in_another_database_are_refused(place: Place, elsewhere: str) -> None:
    flow = {
        "collector": {"spool": {"url": place.url, "schema": place.schema, "leaseUrl": elsewhere}},
        "destinations": {"log": {"package": "console"}},
    }
    for _ in range(2):  # without a spool there, and with one
        with pytest.raises(SpoolError, match=r"leaseUrl leads to another database than spool\.url"):
            Collector.from_config(flow).__enter__()
        assert "leads to another database" in refusal(evolve(place, lease_url=elsewhere))
        open_spool(evolve(place, url=elsewhere)).close()
