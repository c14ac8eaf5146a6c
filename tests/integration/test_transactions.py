"""Events in the transactions of an application: accepted with the commit, and only then."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import django
import psycopg
import pytest
import sqlalchemy
from django.conf import settings
from django.db.utils import ConnectionHandler

from tests.emulator import Emulator
from tests.emulator.arrivals import doubles, numbers
from tests.integration.process import numbered, process
from tests.integration.test_processes import write_flow
from tests.postgres_server import PostgresServer
from tests.support import wait_until
from walker_collector import Collector, EventError

pytestmark = pytest.mark.services("PostgreSQL")


@pytest.fixture
def spool(postgres_server: PostgresServer) -> dict[str, str]:
    return {"url": postgres_server.url("postgres"), "schema": postgres_server.new_schema()}


@pytest.fixture
def arrivals(tmp_path: Path) -> Path:
    """The file that events are delivered to."""
    return tmp_path / "arrivals.ndjson"


@pytest.fixture
def collector(spool: dict[str, str], arrivals: Path) -> Iterator[Collector]:
    value = {"map": {"n": "data.n", "name": "name", "who": "user.id"}}
    config = {"settings": {"path": str(arrivals)}, "data": value}
    flow = {
        "collector": {"spool": spool},
        "destinations": {
            "log": {"package": "file", "config": config},
            "ads": {"package": "file", "config": {**config, "consent": {"marketing": True}}},
        },
    }
    with Collector.from_config(flow) as made:
        yield made


def arrived(arrivals: Path) -> list[Any]:
    text = arrivals.read_text() if arrivals.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


Application = tuple[Any, Callable[[], object], Callable[[], object]]
"""A connection in a transaction, with its commit and its rollback."""


@contextmanager
def by_psycopg(url: str) -> Iterator[Application]:
    with psycopg.connect(url) as connection:
        yield connection, connection.commit, connection.rollback


@contextmanager
def by_sqlalchemy(url: str) -> Iterator[Application]:
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.connect() as connection:
            yield connection, connection.commit, connection.rollback
    finally:
        engine.dispose()


@contextmanager
def by_django(url: str) -> Iterator[Application]:
    if not settings.configured:
        settings.configure()
    django.setup()
    parts = psycopg.conninfo.conninfo_to_dict(url)
    options = {"NAME": parts["dbname"], "USER": parts["user"], "PASSWORD": parts["password"]}
    options |= {"HOST": parts["host"], "PORT": parts["port"]}
    handler = ConnectionHandler({"default": {"ENGINE": "django.db.backends.postgresql", **options}})
    with closing(handler["default"]) as connection:
        connection.set_autocommit(False)
        yield connection, connection.commit, connection.rollback


Way = Callable[
    [str], AbstractContextManager[tuple[Any, Callable[[], object], Callable[[], object]]]
]


@pytest.mark.parametrize("way", [by_psycopg, by_sqlalchemy, by_django])
def test_event_is_accepted_with_the_commit_and_not_after_a_rollback(
    collector: Collector,
    spool: dict[str, str],
    arrivals: Path,
    way: Callable[[str], AbstractContextManager[Application]],
) -> None:
    with way(spool["url"]) as (connection, commit, rollback):
        gone = collector.push("order complete", data={"n": 1}, connection=connection)
        rollback()
        posted = collector.push("order complete", data={"n": 2}, connection=connection)
        assert posted.id
        assert posted.id != gone.id
        assert posted.destinations == {}
        assert collector.flush(5)
        assert arrived(arrivals) == []
        commit()
        wait_until(lambda: arrived(arrivals) == [{"n": 2, "name": "order complete"}])


def test_event_that_could_not_be_accepted_leaves_the_transaction_as_it_is(
    collector: Collector, spool: dict[str, str], arrivals: Path
) -> None:
    with psycopg.connect(spool["url"]) as shop:
        with pytest.raises(EventError, match='not "entity action"'):
            collector.push("order", connection=shop)
        with pytest.raises(EventError, match="changes this process alone"):
            collector.push("walker user", data={"id": "u1"}, connection=shop)
        collector.push("order complete", data={"n": 1}, connection=shop)
    wait_until(lambda: [event["n"] for event in arrived(arrivals)] == [1])


def test_statement_of_consent_counts_from_the_commit_on(
    collector: Collector, spool: dict[str, str], arrivals: Path
) -> None:
    person = {"id": "ines"}
    collector.push("order complete", data={"n": 1}, user=person)
    with psycopg.connect(spool["url"]) as shop:
        collector.push("walker consent", data={"marketing": True}, user=person, connection=shop)
        shop.rollback()
        assert collector.flush(5)
        assert len(arrived(arrivals)) == 1
        collector.push("order complete", data={"n": 2}, user=person, connection=shop)
        collector.push("walker consent", data={"marketing": True}, user=person, connection=shop)
    wait_until(lambda: sorted(event["n"] for event in arrived(arrivals)) == [1, 1, 2, 2])


def has_more(emulator: Emulator, count: int) -> bool:
    return len(numbers(emulator.accepted)) > count


def test_rows_that_a_killed_process_has_taken_are_accepted_once(
    tmp_path: Path, spool: dict[str, str]
) -> None:
    with Emulator(tmp_path) as emulator:
        flow = write_flow(tmp_path, emulator.settings(), spool=spool)
        accepting = json.loads(flow.read_text())
        accepting["collector"]["deliver"] = False
        for at in range(4):
            with (
                Collector.from_config(accepting) as collector,
                psycopg.connect(spool["url"]) as shop,
            ):
                for n in range(200):
                    event = numbered(200 * at + n, {"id": f"u{n % 20}"})
                    collector.push(event, connection=shop)
            with process(flow) as taking:
                wait_until(partial(has_more, emulator, 200 * at))
                taking.kill()
        with process(flow) as last:
            wait_until(lambda: numbers(emulator.accepted) == {*range(800)})
            last.close()
    assert doubles(emulator.accepted) == []
    with psycopg.connect(spool["url"]) as db:
        left = db.execute(f"SELECT count(*) FROM {spool['schema']}.outbox".encode()).fetchall()
        stored = db.execute(f"SELECT count(*) FROM {spool['schema']}.events".encode()).fetchall()
    assert (left, stored) == ([(0,)], [(0,)])
