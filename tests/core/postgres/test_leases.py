"""Leases that are locks of sessions at a PostgreSQL server, and the claims made under them."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from attrs import define, evolve, field

from tests.core.postgres.peer import member, peer
from tests.core.postgres.pooler import pooler
from tests.core.processes.peer import until_held
from tests.forms import form
from tests.postgres_server import PostgresServer
from tests.support import exit_status, join, wait_until
from walker_collector.errors import SpoolError
from walker_collector.spool import Deliveries, Lease, LeaseLost, SpoolBusy, StalePeople
from walker_collector.spool.postgres import Place, lease_session
from walker_collector.spool.postgres.layout import prepare
from walker_collector.spool.postgres.queries import Queries
from walker_collector.spool.postgres.roster import RosterObserver
from walker_collector.spool.postgres.session_claims import calls_of
from walker_collector.spool.postgres.session_membership import DeliveringMembership
from walker_collector.spool.postgres.sessions import Session

CRM = Lease("crm", 0)
STOPPED = form(1.0, 30.0)
"""Seconds after which a process counts as stopped."""


@define
class Spool:
    """The tables of a spool, and the leases that members in this process were given."""

    place: Place
    session: Session
    open_ones: ExitStack
    taken: list[Lease] = field(factory=list)

    def join(self, *destinations: str) -> DeliveringMembership:
        """Join as a process of its own would, and take the free leases."""
        joined = member(
            self.place, [*destinations], Deliveries(self.taken.append, lambda lease: True)
        )
        self.open_ones.callback(joined.close)
        joined.start()
        return joined

    def calls(self) -> set[tuple[str, int]]:
        """Return the calls under way, as another process sees them."""
        return self.session.run(lambda database: calls_of(database, None))

    def execute(self, statement: str) -> None:
        """Run a statement in a session of its own."""
        with psycopg.connect(self.place.url, autocommit=True) as connection:
            connection.execute(statement.replace("SCHEMA", self.place.schema).encode())

    def end_sessions(self) -> None:
        """End all sessions with leases, as the server does with idle ones."""
        pids = "SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory'"
        self.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM ({pids}) AS found")


@pytest.fixture
def spool(place: Place) -> Iterator[Spool]:
    session = Session(place, place.url, Queries(place.schema))
    session.run(lambda database: prepare(database, session.name, 1, read_only=False))
    with ExitStack() as open_ones:
        open_ones.callback(session.close)
        yield Spool(place, session, open_ones)


def test_whoever_finds_its_session_gone_begins_nothing_and_joins_anew(spool: Spool) -> None:
    one = spool.join("crm")
    before = one.token
    assert one.holds(CRM)
    spool.end_sessions()
    with pytest.raises(LeaseLost):
        one.claims.claim("crm", {1: "id:a"}, 0)
    assert not one.holds(CRM)
    wait_until(lambda: one.holds(CRM))
    assert one.token not in ("", before)
    assert spool.taken == [CRM, CRM]
    one.claims.claim("crm", {1: "id:a"}, 0)


def test_calls_under_way_are_seen_after_their_session_was_lost(spool: Spool) -> None:
    one = spool.join("crm")
    ended, open_ = (one.claims.claim("crm", {1: "id:a"}, 0).number for _ in range(2))
    one.claims.end(ended)
    before = one.token
    spool.end_sessions()
    wait_until(lambda: one.token not in ("", before))
    assert spool.calls() == {(one.token, open_)}
    one.claims.end(open_)
    one.claims.write_ended()
    assert spool.calls() == set()


def test_claim_waits_for_whoever_changes_what_is_known_of_people(spool: Spool) -> None:
    one = spool.join("crm")
    errors: list[BaseException] = []

    def claim() -> None:
        try:
            one.claims.claim("crm", {1: "id:a"}, 0)
        except StalePeople as error:
            errors.append(error)

    thread = threading.Thread(target=claim)
    table = f"{spool.place.schema}.people_version"
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with psycopg.connect(spool.place.url) as learner:
        learner.execute(f"UPDATE {table} SET version = version + 1".encode())
        thread.start()
        with psycopg.connect(spool.place.url, autocommit=True) as other:
            wait_until(lambda: other.execute(waiting).fetchall())
        assert not errors
    join(thread)
    assert len(errors) == 1
    assert spool.calls() == set()


def test_no_call_begins_while_the_server_cannot_write_its_claim(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(lease_session._SETTINGS, "statement_timeout", "50ms")
    one = spool.join("crm")
    with psycopg.connect(spool.place.url) as stopped:
        stopped.execute(f"LOCK {spool.place.schema}.people_version".encode())
        with pytest.raises(SpoolBusy):
            one.claims.claim("crm", {1: "id:a"}, 0)
    assert one.holds(CRM)
    one.claims.claim("crm", {1: "id:a"}, 0)


def test_leases_behind_a_pooler_are_refused(spool: Spool) -> None:
    with pooler(spool.place.url) as url:
        through = evolve(spool.place, url=url)
        with pytest.raises(SpoolError, match=r"a pooler is between .* spool.leaseUrl"):
            member(through, ["crm"], Deliveries(lambda lease: None, lambda lease: True))
        spool.place = evolve(through, lease_url=spool.place.url)
        assert spool.join("crm").holds(CRM)


@pytest.mark.long
def test_stopped_process_loses_its_leases(spool: Spool) -> None:
    with peer(spool.place, "crm", idle=STOPPED) as stopped:
        until_held([1], stopped)
        other = spool.join("crm")
        assert not other.holds(CRM)
        stopped.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        wait_until(lambda: other.holds(CRM), timeout=STOPPED + 5)
        assert time.monotonic() - began < STOPPED + 5
        stopped.process.send_signal(signal.SIGCONT)
        until_held([0], stopped)
        observer = RosterObserver(spool.session)
        wait_until(lambda: len(observer.deliveries(["crm"])) == 2)  # it has joined anew
        assert other.holds(CRM)


def test_forked_child_neither_holds_nor_ends_the_leases_of_its_parent(spool: Spool) -> None:
    parent, other = spool.join("crm"), spool.join("crm")
    goes_on, end = os.pipe()
    parent.pause()
    other.pause()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(end)
            parent.abandon()
            other.abandon()
            os.read(goes_on, 1)  # it lives on
            os._exit(parent.holds(CRM))
        finally:
            os._exit(2)
    other.resume()
    parent.resume()
    parent.claims.claim("crm", {1: "id:a"}, 0)
    assert parent.holds(CRM)
    parent.close()
    wait_until(lambda: other.holds(CRM))
    os.close(end)
    os.close(goes_on)
    assert exit_status(pid) == 0
    other.claims.claim("crm", {1: "id:a"}, 0)


def test_leases_come_back_after_a_crash_of_the_server(
    spool: Spool, postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    one = spool.join("crm")
    one.claims.claim("crm", {1: "id:a"}, 0)
    postgres_server.stop("immediate")
    try:
        wait_until(lambda: not one.token)
        assert not one.holds(CRM)
        assert not one.take_rest()
        (nobody,) = one.deliverers("crm")
        assert nobody.member is None
    finally:
        postgres_server.start()
    wait_until(lambda: one.holds(CRM))
    (found,) = one.deliverers("crm")
    assert found.member is not None
    assert found.member.pid == os.getpid()
    assert "see whether the server runs" in caplog.text


def test_server_that_is_just_started_is_waited_for(
    spool: Spool, postgres_server: PostgresServer
) -> None:
    postgres_server.stop("fast")
    try:
        starting = threading.Timer(0.1, postgres_server.start)
        starting.start()
        assert spool.join("crm").holds(CRM)
    finally:
        join(starting)
