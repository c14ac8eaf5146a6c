"""Leases that are locks of sessions at a PostgreSQL server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest
from attrs import define, field

from tests.support import wait_until
from walker_collector.spool import Deliveries, Lease, LeaseLost
from walker_collector.spool.postgres import Place
from walker_collector.spool.postgres.layout import prepare
from walker_collector.spool.postgres.membership import DeliveringMembership
from walker_collector.spool.postgres.queries import Queries
from walker_collector.spool.postgres.sessions import Session

CRM = Lease("crm", 0)


@define
class Spool:
    """Tables of a spool, and those who take part in it."""

    place: Place
    session: Session
    open_ones: ExitStack
    taken: list[Lease] = field(factory=list)

    def join(
        self, *destinations: str, shards: int = 1, abandon: Callable[[Lease], bool] | None = None
    ) -> DeliveringMembership:
        """Join as a process of its own would."""
        deliveries = Deliveries(self.taken.append, abandon or (lambda lease: True))
        queries = Queries(self.place.schema)
        member = DeliveringMembership(self.place, queries, destinations, shards, deliveries)
        self.open_ones.callback(member.close)
        return member

    def end_session(self, member: DeliveringMembership) -> None:
        """End a session as the server does with one that is idle for too long."""
        locks = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
        with psycopg.connect(self.place.url, autocommit=True) as connection:
            mine = {pid for (pid,) in connection.execute(locks)}
            assert len(mine) == 1
            for pid in mine:
                connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


@pytest.fixture
def spool(place: Place) -> Iterator[Spool]:
    session = Session(place, place.url, Queries(place.schema))
    session.run(lambda database: prepare(database, session.name, 4, read_only=False))
    with ExitStack() as open_ones:
        open_ones.callback(session.close)
        yield Spool(place, session, open_ones)


def test_session_that_the_server_has_ended_ends_the_leases_and_is_made_anew(spool: Spool) -> None:
    one = spool.join("crm")
    one.start()
    before = one.token
    assert one.holds(CRM)
    spool.end_session(one)
    with pytest.raises(LeaseLost):
        one.claims.claim("crm", {1: "id:a"}, 0)
    assert not one.holds(CRM)
    wait_until(lambda: one.holds(CRM))
    assert one.token not in ("", before)
    assert spool.taken == [CRM, CRM]
    one.claims.claim("crm", {1: "id:a"}, 0)
