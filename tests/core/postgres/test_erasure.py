"""Erasure: no row is left that tells of the person."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from tests.support import wait_until
from walker_collector.spool import DeliveryState, NewEvent, PeopleUpdate, SpoolUpdate, State
from walker_collector.spool import UpdateKind as Kind
from walker_collector.spool.postgres import Place, open_spool
from walker_collector.spool.postgres.postgres_spool import PostgresSpool
from walker_collector.spool.repeats import mark_of_id


@pytest.fixture
def spool(place: Place) -> Iterator[PostgresSpool]:
    with closing(open_spool(place, shards=4)) as spool:
        yield spool


def rows(place: Place) -> str:
    """Return everything that the tables of the spool have."""
    with psycopg.connect(place.url, autocommit=True) as connection:
        names = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s", (place.schema,)
        ).fetchall()
        found = [
            connection.execute(f"SELECT t::text FROM {place.schema}.{name} t".encode()).fetchall()
            for (name,) in names
        ]
    return str(found)


def test_no_row_is_left_that_names_the_person(spool: PostgresSpool, place: Place) -> None:
    body = b'{"id": "1", "user": {"id": "secret-person"}}'
    states = {"crm": State.WAITING, "file": State.HELD}
    keys = ["id:secret-person", "session:secret-s"]
    events = [NewEvent(key, 1, body, states, mark=mark_of_id(key)) for key in (*keys, "id:other")]
    spool.append(events, lambda runs: None)
    dead = spool.load("crm", 0, 1)[0].entry
    refusal = DeliveryState(3, reason="no", parts={"secret-part": "rejected"})
    spool.settle("crm", [SpoolUpdate(dead, Kind.DEAD, refusal, at=5)])
    spool.learn(
        PeopleUpdate(
            aliases={"session:secret-s": "id:secret-person"},
            signed_in={"device:d": "id:secret-person"},
            consents={"id:secret-person": {"ads": (True, 1)}},
        )
    )
    spool.schedule_erasure(keys, spool.begin_erasure())
    assert "secret" in rows(place)
    assert len(spool.erase(keys).seqs) == 2
    left = rows(place)
    assert "secret" not in left
    assert b"secret-person".hex() in left  # that of the other one: in the JSON of the same event
    spool.erase(["id:other"])
    assert b"secret-person".hex() not in rows(place)
    assert spool.scrub()


def test_erasure_of_a_process_that_was_lost_is_adopted(place: Place) -> None:
    with closing(open_spool(place)) as one, closing(open_spool(place)) as other:
        lost = one.begin_erasure()
        one.schedule_erasure(["id:a"], lost)
        mine = other.begin_erasure()
        assert other.adopt_erasures(mine) == set()
        one.erasure_sessions.close()
        # The server ends a lost session a moment after its socket; whoever adopts asks again.
        wait_until(lambda: other.adopt_erasures(mine) == {"id:a"})
