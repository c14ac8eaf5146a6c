"""Commits: in one order over all processes, and with a known outcome whatever happens."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial

import psycopg
import pytest
from attrs import evolve

from tests.core.postgres.cutting import cutting
from tests.core.postgres.pooler import pooler
from tests.postgres_server import PostgresServer
from tests.support import exit_status, wait_until
from walker_collector.errors import SpoolError, SpoolFull
from walker_collector.spool import (
    DeliveryState,
    Entry,
    EntryRun,
    NewEvent,
    PeopleUpdate,
    SpoolUpdate,
    State,
    UpdateKind,
)
from walker_collector.spool.postgres import Place, open_spool
from walker_collector.spool.postgres.postgres_spool import PostgresSpool
from walker_collector.spool.postgres.server_errors import ServerTrouble
from walker_collector.spool.postgres.transactions import Needs, Transaction
from walker_collector.spool.postgres.watchdog import Watchdog

Open = Callable[..., PostgresSpool]


@pytest.fixture
def spools(place: Place) -> Iterator[Open]:
    """Opens the spool as another process would."""
    with ExitStack() as open_ones:

        def make(**changes: object) -> PostgresSpool:
            wait = changes.pop("wait", 20.0)
            spool = open_spool(evolve(place, **changes), shards=4, wait=wait)
            open_ones.callback(spool.close)
            return spool

        yield make


def event(person: str = "id:a", body: bytes = b"{}") -> NewEvent:
    return NewEvent(person, 1_000, body, {"crm": State.WAITING})


def ignore(runs: Sequence[EntryRun]) -> None:
    pass


def stored(spool: PostgresSpool) -> list[tuple[int, str]]:
    return [item.entry[:2] for item in spool.load("crm", 0, 100_000)]


def in_threads(*works: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    return threads


def ended(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_nobody_sees_a_number_while_a_lower_one_is_still_to_be_committed(spools: Open) -> None:
    slow, quick, reader = spools(), spools(), spools()
    slow.append([event("id:first")], ignore)
    has_number, may_commit = threading.Event(), threading.Event()

    def wait(tx: Transaction) -> range:
        numbers = tx.take(1)
        tx.add_events((1,), [(numbers[0], "id:slow", 1_000, b"{}")], [0])
        tx.flush()
        has_number.set()
        assert may_commit.wait(timeout=1.5)  # the server would end it after 2
        return numbers

    threads = in_threads(lambda: slow.core.writes.run(wait, needs=Needs(events=1)))
    assert has_number.wait(timeout=20)
    numbers: list[int] = []
    threads += in_threads(lambda: numbers.extend(quick.append([event("id:quick")], ignore)))
    blocked = "SELECT 1 FROM pg_locks WHERE NOT granted"
    with psycopg.connect(slow.place.url, autocommit=True) as connection:
        wait_until(lambda: connection.execute(blocked).fetchall())
    assert (stored(reader), numbers) == ([(1, "id:first")], [])
    may_commit.set()
    ended(threads)
    assert stored(reader) == [(1, "id:first"), (2, "id:slow"), (3, "id:quick")]


def test_threads_share_commits_and_get_entries_in_the_order_of_numbers(spools: Open) -> None:
    spool = spools()
    given: list[int] = []

    def take(runs: Sequence[EntryRun]) -> None:
        given.extend(entry[0] for entries, _ in runs for entry in entries)

    def push() -> None:
        for _ in range(20):
            spool.append([event()], take)

    ended(in_threads(*[push] * 8))
    assert given == list(range(1, 161))
    with psycopg.connect(spool.place.url) as connection:
        commits = f"SELECT sum(number) FROM {spool.place.schema}.writers"
        assert connection.execute(commits.encode()).fetchall()[0][0] < 160


def test_one_bad_write_of_a_group_fails_alone(spools: Open) -> None:
    spool = spools()
    results: list[str] = []

    def learn() -> None:
        try:
            spool.learn(PeopleUpdate(based_on=99, consents={"id:a": {"ads": (True, 1)}}))
        except Exception as error:
            results.append(type(error).__name__)

    def push() -> None:
        spool.append([event()], ignore)
        results.append("pushed")

    with spool.core.writes.order:  # they become one group
        threads = in_threads(push, learn, push)
        wait_until(lambda: len(spool.core.writes.waiting) == 3)
    ended(threads)
    assert sorted(results) == ["StalePeople", "pushed", "pushed"]
    assert len(stored(spool)) == 2


def test_figures_are_right_after_a_group_with_a_repeated_event_and_an_acknowledgement(
    spools: Open,
) -> None:
    spool = spools()
    entries: list[Entry] = []
    made = NewEvent("id:a", 1, b"{}", {"crm": State.WAITING}, mark=b"marked")
    spool.append([made], lambda runs: entries.extend(runs[0][0]))
    again = NewEvent("id:a", 1, b"{}", {"crm": State.WAITING}, mark=b"marked")
    with spool.core.writes.order:  # they become one group
        threads = in_threads(
            lambda: spool.append([again], ignore), lambda: spool.ack("crm", entries)
        )
        wait_until(lambda: len(spool.core.writes.waiting) == 2)
    ended(threads)
    assert again.repeats
    ((seq, events, size, *_),) = spool.core.rows("figures")
    assert (seq, events, size) == (1, 0, 0)
    assert spool.core.figures.last[:3] == (seq, events, size)


@pytest.mark.parametrize("at", ["before", "after"])
def test_connection_that_is_lost_in_a_commit_loses_and_doubles_nothing(
    spools: Open, place: Place, at: str
) -> None:
    with cutting(place.url) as relay:
        spool = spools(url=relay.url)
        given: list[int] = []

        def take(runs: Sequence[EntryRun]) -> None:
            given.extend(entry[0] for entries, _ in runs for entry in entries)

        relay.at = at
        numbers = [*spool.append([event("id:a")], take), *spool.append([event("id:b")], take)]
        assert relay.cuts == 1
        assert stored(spool) == list(zip(numbers, ["id:a", "id:b"], strict=True))
        assert given == numbers == [1, 2]
        spool.close()


def test_group_of_writes_whose_outcome_nobody_knows_is_not_written_again(
    spools: Open, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[str] = []

    def push(person: str) -> None:
        try:
            spool.append([event(person)], ignore)
        except SpoolError as error:
            errors.append(str(error))

    with cutting(place.url) as relay:
        spool = spools(url=relay.url, wait=0.3)
        writes = spool.core.writes
        asked_outcome = writes._asked_outcome

        def asked() -> bool:
            try:
                return asked_outcome()
            finally:
                relay.refuses = False  # the server is back a moment too late

        monkeypatch.setattr(writes, "_asked_outcome", asked)
        with writes.order:  # they become one group
            threads = in_threads(partial(push, "id:a"), partial(push, "id:b"))
            wait_until(lambda: len(writes.waiting) == 2)
            relay.at, relay.refuses = "after", True
        ended(threads)
        assert [("may be there" in error) for error in errors] == [True, True]
        assert sorted(person for _, person in stored(spools())) == ["id:a", "id:b"]
        spool.append([event("id:c")], ignore)
        spool.close()


def test_commit_that_the_server_has_still_to_come_to_is_waited_for(
    spools: Open, place: Place
) -> None:
    spool = spools()
    spool.append([event("id:a")], ignore)
    with psycopg.connect(place.url) as other:
        other.execute(f"LOCK TABLE {place.schema}.events IN SHARE MODE")
        (writing,) = in_threads(lambda: spool.append([event("id:b")], ignore))
        seen = "SELECT 1 FROM pg_stat_activity WHERE "
        blocked, asked = seen + "wait_event_type = 'Lock'", seen + "query LIKE %s"
        with psycopg.connect(place.url, autocommit=True) as looking:
            wait_until(lambda: looking.execute(blocked).fetchall())
            spool.core.session.cut(spool.core.session.uses)
            lookup = "SELECT number FROM%NOWAIT"
            wait_until(lambda: looking.execute(asked, (lookup,)).fetchall())
        other.rollback()
        ended([writing])
    assert stored(spool) == [(1, "id:a"), (2, "id:b")]


@pytest.fixture
def quick_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a server for hanging that says nothing for a moment."""
    quick = partial(Watchdog, silent=0.2, answer=2)
    monkeypatch.setattr("walker_collector.spool.postgres.spool_core.Watchdog", quick)


@pytest.mark.usefixtures("quick_watchdog")
def test_commit_in_which_the_server_hangs_is_looked_up_when_it_is_back(
    spools: Open, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with cutting(f"{place.url}?connect_timeout=2") as relay:
        spool = spools(url=relay.url)
        numbers: list[int] = []
        relay.at = "hang"
        threads = in_threads(lambda: numbers.extend(spool.append([event()], ignore)))
        wait_until(lambda: "the server hangs; its connection is given up" in caplog.text)
        relay.flows.set()
        ended(threads)
        assert (numbers, stored(spool)) == ([1], [(1, "id:a")])
        spool.close()


@pytest.mark.usefixtures("quick_watchdog")
def test_write_to_a_server_that_hangs_fails_in_the_end(spools: Open, place: Place) -> None:
    with cutting(f"{place.url}?connect_timeout=2") as relay:
        spool = spools(url=relay.url, wait=0.1)
        relay.at, relay.request = "hang", b"BEGIN"
        with pytest.raises(ServerTrouble):
            spool.append([event()], ignore)
        relay.flows.set()
        assert stored(spools()) == []
        spool.close()


@pytest.mark.parametrize("at", ["before", "after"])
def test_connection_that_is_lost_in_an_acknowledgement_counts_each_event_once(
    spools: Open, place: Place, at: str
) -> None:
    with cutting(place.url) as relay:
        spool = spools(url=relay.url)
        spool.append([event("id:a"), event("id:b"), event("id:c")], ignore)
        done = [item.entry for item in spool.load("crm", 0, 2)]
        # Its rows are followed by the end of the transaction.
        relay.at, relay.request, relay.answer = at, b"DELETE FROM", b"Z\0\0\0\5I"
        spool.ack("crm", done)
        assert relay.cuts == 1
        assert stored(spool) == [(3, "id:c")]
        assert spools().usage() == (1, 2)
        spool.close()


def test_begun_parts_are_known_until_their_event_is_acknowledged(
    spools: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = spools()
    spool.append(
        [NewEvent("id:a", 1, b"{}", dict.fromkeys(("crm", "file"), State.WAITING))], ignore
    )
    (item,) = spool.load("crm", 0, 10)
    begun = DeliveryState(1, parts={"message": "begun"})
    spool.settle("crm", [SpoolUpdate(item.entry, UpdateKind.RETRIED, begun)])

    def lost(*_: object) -> None:
        raise SpoolError("the server is lost")

    with monkeypatch.context() as patch:
        patch.setattr("walker_collector.spool.postgres.event_rows.ack", lost)
        with pytest.raises(SpoolError):
            spool.ack("crm", [item.entry])
    (item,) = spool.load("crm", 0, 10)
    assert item.delivery.parts == {"message": "begun"}
    spool.ack("crm", [item.entry])
    assert spool.load("crm", 0, 10) == []
    assert [item.entry[0] for item in spool.load("file", 0, 10)] == [1]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_appends_go_on_after_a_restart_of_the_server(
    spools: Open, postgres_server: PostgresServer, mode: str
) -> None:
    one, other = spools(), spools()
    accepted: list[int] = []
    over = threading.Event()

    def push(spool: PostgresSpool) -> Callable[[], None]:
        def work() -> None:
            while not over.is_set():  # bounded: by the waits of the test
                accepted.extend(spool.append([event()], ignore))

        return work

    threads = in_threads(push(one), push(one), push(other))
    wait_until(lambda: len(accepted) > 20)
    postgres_server.stop(mode)
    postgres_server.start()
    count = len(accepted)
    wait_until(lambda: len(accepted) > count + 20)
    over.set()
    ended(threads)
    assert sorted(accepted) == [seq for seq, _ in stored(one)]


def test_process_that_is_stopped_within_a_transaction_stops_nobody_else(spools: Open) -> None:
    stopped, other = spools(), spools()
    goes_on = threading.Event()
    attempts: list[None] = []

    def wait(tx: Transaction) -> None:
        attempts.append(None)
        tx.rows("newest")
        assert len(attempts) > 1 or goes_on.wait(timeout=60)

    threads = in_threads(lambda: stopped.core.writes.run(wait, needs=Needs(alone=True)))
    wait_until(lambda: attempts)
    other.append([event()], ignore)
    goes_on.set()
    ended(threads)
    assert len(attempts) == 2  # it was repeated


def test_destinations_that_are_done_with_an_event_at_once_leave_nothing(spools: Open) -> None:
    one, other = spools(), spools()
    states = {"crm": State.WAITING, "file": State.WAITING}
    for _ in range(5):
        one.append([NewEvent("id:a", 1, b"{}", states) for _ in range(20)], ignore)
        crm, file = ([item.entry for item in one.load(id_, 0, 100)] for id_ in states)
        both = (lambda: one.ack("crm", crm)), (lambda: other.ack("file", file[::-1]))  # noqa: B023  # joined within the turn
        ended(in_threads(*both))
        assert one.counts() == {}
    wait_until(lambda: (one.size(), other.size()) == (0, 0))


def test_full_spool_takes_no_event_until_some_are_delivered(spools: Open) -> None:
    spool = spools(max_events=2)
    spool.append([event(), event()], ignore)
    assert spool.is_full
    with pytest.raises(SpoolFull, match="2 events of at most 2"):
        spool.append([event()], ignore)
    spool.ack("crm", [item.entry for item in spool.load("crm", 0, 1)])
    assert not spool.is_full
    spool.append([event()], ignore)


def test_server_that_is_away_is_waited_for_and_then_told(
    spools: Open, postgres_server: PostgresServer
) -> None:
    spool = spools(wait=0.3)
    postgres_server.stop()
    try:
        with pytest.raises(ServerTrouble, match="see whether the server runs"):
            spool.append([event()], ignore)
        with pytest.raises(ServerTrouble):
            spool.load("crm", 0, 10)
    finally:
        postgres_server.start()
    assert spool.append([event()], ignore) == range(1, 2)


def test_server_that_takes_no_writes_is_told_with_the_remedy(spools: Open, place: Place) -> None:
    spools().close()
    options = "?options=-c%20default_transaction_read_only%3Don"
    with pytest.raises(SpoolError, match="give the url of the primary"):
        spools(url=f"{place.url}{options}", wait=0.2)


def test_forked_child_has_a_spool_of_its_own_and_leaves_that_of_its_parent(spools: Open) -> None:
    spool = spools()
    spool.append([event()], ignore)
    name = spool.begin_erasure()
    spool.pause()
    child = os.fork()
    if not child:
        status = 1
        try:
            spool.abandon()
            own = open_spool(spool.place, shards=4)
            own.append([event("id:child")], ignore)
            status = 0 if own.erasure_sessions.is_under_way(name) else 2
            own.close()
        finally:
            os._exit(status)
    spool.resume()
    assert exit_status(child) == 0
    spool.append([event("id:parent")], ignore)
    assert [person for _, person in stored(spool)] == ["id:a", "id:child", "id:parent"]


def test_writes_of_all_kinds_at_once_end_well_and_leave_right_figures(spools: Open) -> None:
    one, other = spools(), spools()
    both = {"crm": State.WAITING, "file": State.HELD}

    def push(spool: PostgresSpool) -> None:
        for n in range(30):
            made = [
                NewEvent(f"session:{k}", n, b"{}", both, mark=b"%d-%d" % (n, k)) for k in (1, 2)
            ]
            spool.append(made, ignore)

    def deliver(spool: PostgresSpool, destination: str) -> None:
        for _ in range(30):
            entries = [item.entry for item in spool.load(destination, 0, 20, held=True)]
            spool.ack(destination, entries[::-1])

    def learn(spool: PostgresSpool) -> None:
        for n in range(30):
            spool.learn(PeopleUpdate(aliases={f"session:{n % 3}": f"id:{n}"}))

    def erase(spool: PostgresSpool) -> None:
        for n in range(10):
            name = spool.begin_erasure()
            spool.schedule_erasure([f"session:{n % 3}"], name)
            spool.erase([f"session:{n % 3}", f"id:{n}"])
            spool.end_erasure(name)

    works = [
        work
        for spool in (one, other)
        for work in (
            partial(push, spool),
            partial(deliver, spool, "crm"),
            partial(deliver, spool, "file"),
            partial(learn, spool),
            partial(erase, spool),
        )
    ]
    failed: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    ended(in_threads(*[partial(guarded, work) for work in works]))
    assert failed == []
    left = {item.entry[0] for id_ in both for item in one.load(id_, 0, 1_000, held=True)}
    wait_until(lambda: one.size() == other.size() == len(left))
    assert other.pending_erasures() == set()


def test_process_that_only_accepts_does_so_through_a_pooler(spools: Open, place: Place) -> None:
    with pooler(place.url) as url:
        spool, other = spools(url=url), spools()
        for _ in range(5):  # often enough for psycopg to prepare statements
            spool.append([event("id:a"), event("id:b")], ignore)
        assert len(stored(spool)) == len(stored(other)) == 10
        name = spool.begin_erasure()
        spool.schedule_erasure(["id:a"], name)
        assert len(spool.erase(["id:a"]).seqs) == 5
        spool.end_erasure(name)
        assert not other.erasure_sessions.is_under_way(name)
        spool.close()
