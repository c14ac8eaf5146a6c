"""Lists as parameters: packed at once, they are what psycopg makes of them."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.postgres_server import PostgresServer
from walker_collector.spool.postgres import Place
from walker_collector.spool.postgres.array_dumper import ArrayDumper
from walker_collector.spool.postgres.queries import Queries
from walker_collector.spool.postgres.sessions import Session

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
LISTS = (
    st.tuples(st.just("bigint"), st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
    | st.tuples(st.just("text"), st.lists(st.none() | TEXT))
    | st.tuples(st.just("bytea"), st.lists(st.none() | st.binary()))
    | st.tuples(st.just("boolean"), st.lists(st.none() | st.booleans()))
)


Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture(scope="module")
def connection(postgres_server: PostgresServer) -> Iterator[Connection]:
    place = Place(postgres_server.url("postgres"))
    session = Session(place, place.url, Queries(place.schema))
    with closing(session):
        yield session.open().connection


@given(LISTS)
def test_list_comes_back_as_it_was(connection: Connection, given: tuple[str, list[object]]) -> None:
    kind, items = given
    statement = f"SELECT %s::{kind}[]".encode()
    ((found,),) = connection.execute(statement, (items,), binary=True).fetchall()
    assert found == items


def test_lists_are_packed_as_psycopg_packs_them(
    connection: Connection,
) -> None:
    for items in ([1, -2, 2**40], ["a", "ü", ""], [b"", b"\0\xff"]):
        ours = psycopg.adapt.Transformer(connection).get_dumper(items, psycopg.adapt.PyFormat.AUTO)
        assert isinstance(ours, ArrayDumper)
        assert ours.dump(items) == super(ArrayDumper, ours).dump(items)
