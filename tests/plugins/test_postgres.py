"""The PostgreSQL destination: every event once, against a real server."""

from collections.abc import Iterator
from typing import Any, ClassVar

import psycopg
import pytest
from walker_dest_postgres.destination import PostgresDestination
from walker_dest_postgres.errors import connection_error, statement_error
from walker_dest_postgres.rows import row_of

from tests.plugins.conftest import APPLICATION, Database
from walker_collector import MISSING, ConfigError, DestinationDown, Rejected, RetryLater
from walker_collector.testing import Backend, DestinationContract, Events, Harness


class TestContract(DestinationContract):
    plugin = PostgresDestination
    bad_settings: ClassVar = {"url": "nonsense=secret-word", "table": "a.b.c", "timeout": 0}

    @pytest.fixture
    def backend(self, postgres: Database) -> Iterator[Backend]:
        running = [True]

        def received() -> list[str]:
            if postgres.query("SELECT to_regclass('events')") == [(None,)]:
                return []
            return [
                str(id) for (id,) in postgres.query("SELECT event_id FROM events ORDER BY ctid")
            ]

        def content(id: str) -> Any:
            columns = "event_id, event_name, user_id, session_id, data"
            rows = postgres.query(f"SELECT {columns} FROM events")
            return next(row[1:] for row in rows if row[0] == id)

        def stop() -> None:
            postgres.server.stop()
            running[0] = False

        def revoke() -> None:
            postgres.query(f"ALTER ROLE {APPLICATION} PASSWORD 'changed'")
            postgres.query("ALTER SCHEMA public OWNER TO keeper")
            postgres.query("REVOKE ALL ON SCHEMA public FROM PUBLIC")

        def recover() -> None:
            if not running[0]:
                postgres.server.start()
            running[0] = True
            postgres.query(f"ALTER ROLE {APPLICATION} PASSWORD 'shop-password'")
            postgres.query("GRANT ALL ON SCHEMA public TO PUBLIC")

        yield Backend(
            settings={"url": postgres.url},
            received=received,
            content=content,
            reject={"data": {"total": "\0"}},
            retry=stop,
            down=revoke,
            unreachable=stop,
            recover=recover,
        )
        recover()


def shop(postgres: Database, mapping: dict[str, Any] | None = None, **settings: Any) -> Harness:
    settings = {"url": postgres.url, **settings}
    return Harness(PostgresDestination, settings, config={"mapping": mapping})


def orders_to(table: str) -> dict[str, Any]:
    return {"order": {"complete": {"data": "data", "settings": {"table": table}}}}


def test_event_is_a_row_with_its_data_as_json(postgres: Database, walker_event: Events) -> None:
    user = {"id": 7, "session": "s1"}
    with shop(postgres) as destination:
        destination.deliver(walker_event(data={"total": 55.5, "tags": ["a"]}, user=user))
    columns = "event_id, event_name, extract(epoch FROM event_time)::int, user_id, session_id, data"
    assert postgres.query(f"SELECT {columns} FROM events") == [
        ("e1", "order complete", 1_700_000_001, "7", "s1", {"total": 55.5, "tags": ["a"]})
    ]


def test_event_that_comes_again_takes_its_row(postgres: Database, walker_event: Events) -> None:
    with shop(postgres) as destination:
        destination.deliver(walker_event(id="e1", data={"total": 1}), walker_event(id="e2"))
        destination.deliver(
            walker_event(id="e1", data={"total": 2}), walker_event(id="e1", data={"total": 3})
        )
    rows = postgres.query("SELECT event_id, data FROM events ORDER BY event_id")
    assert rows == [("e1", {"total": 3}), ("e2", {})]


def test_rules_send_events_to_tables_of_their_own(postgres: Database, walker_event: Events) -> None:
    postgres.query(f"CREATE SCHEMA sales AUTHORIZATION {APPLICATION}")
    with shop(postgres, orders_to("sales.orders")) as destination:
        destination.deliver(walker_event(), walker_event("page view"))
    assert postgres.query("SELECT event_name FROM sales.orders") == [("order complete",)]
    assert postgres.query("SELECT event_name FROM events") == [("page view",)]


def test_mapping_decides_what_is_kept(postgres: Database, walker_event: Events) -> None:
    mapping = {"order": {"complete": {"data": "data.total"}}}
    with shop(postgres, mapping) as destination:
        destination.deliver(walker_event(data={"total": 5, "card": "4111"}))
    assert postgres.query("SELECT data FROM events") == [(5,)]


def test_of_a_large_batch_only_what_cannot_be_kept_is_refused(
    postgres: Database, walker_event: Events
) -> None:
    events = [walker_event(data={"n": "\0" if n in (3, 70) else n}) for n in range(100)]
    with shop(postgres) as destination:
        failures = destination.push_batch(events)
    assert sorted(failures) == [3, 70]
    assert {type(failure) for failure in failures.values()} == {Rejected}
    assert postgres.query("SELECT count(*) FROM events") == [(98,)]


def test_server_that_was_restarted_meanwhile_is_no_failure(
    postgres: Database, walker_event: Events
) -> None:
    with shop(postgres) as destination:
        destination.deliver(walker_event())
        postgres.server.stop()
        postgres.server.start()
        destination.deliver(walker_event())
    assert postgres.query("SELECT count(*) FROM events") == [(2,)]


def test_server_that_is_not_up_keeps_the_events(postgres: Database) -> None:
    postgres.server.stop()
    try:
        with pytest.raises(DestinationDown, match="Connection refused"):
            shop(postgres).init()
    finally:
        postgres.server.start()


def test_wrong_password_is_told_without_the_password(postgres: Database) -> None:
    url = postgres.url.replace("shop-password", "wrong-word")
    with pytest.raises(DestinationDown, match="password authentication failed") as refused:
        shop(postgres, url=url).init()
    assert "wrong-word" not in str(refused.value)


def test_url_that_cannot_be_read_is_refused_without_showing_it(postgres: Database) -> None:
    with pytest.raises(ConfigError) as refused:
        shop(postgres, url="postgresql://shop:secret-word@[broken")
    assert "secret-word" not in str(refused.value)


def test_statement_that_hangs_is_given_up(postgres: Database, walker_event: Events) -> None:
    with shop(postgres, timeout=100) as destination:
        with psycopg.connect(postgres.url) as other:
            other.execute("LOCK TABLE events")
            with pytest.raises(RetryLater, match="QueryCanceled"):
                destination.deliver(walker_event())
        destination.deliver(walker_event())


def test_table_of_ones_own_is_used_as_it_is(postgres: Database, walker_event: Events) -> None:
    with (
        pytest.raises(DestinationDown, match="UndefinedTable"),
        shop(postgres, create=False) as destination,
    ):
        destination.deliver(walker_event())


def test_names_are_never_taken_for_sql(postgres: Database, walker_event: Events) -> None:
    table = 'x"; DROP TABLE events; --'
    with shop(postgres, orders_to(table)) as destination:
        destination.deliver(walker_event(), walker_event("page view"))
    assert postgres.query("SELECT count(*) FROM events") == [(1,)]


def test_time_beyond_the_calendar_is_refused(walker_event: Events) -> None:
    with pytest.raises(Rejected, match="beyond the year 9999"):
        row_of({**walker_event(), "timestamp": 10**18}, MISSING)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Connection refused", RetryLater),
        ("FATAL:  the database system is starting up", RetryLater),
        ("FATAL:  sorry, too many clients already", RetryLater),
        ('FATAL:  database "shop" does not exist', DestinationDown),
        ("", RetryLater),
    ],
)
def test_failed_connection_passes_unless_the_server_refuses(words: str, kind: type) -> None:
    assert type(connection_error(psycopg.OperationalError(words))) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.errors.NotNullViolation, Rejected),
        (psycopg.errors.NumericValueOutOfRange, Rejected),
        (psycopg.errors.InsufficientPrivilege, DestinationDown),
        (psycopg.errors.UndefinedColumn, DestinationDown),
        (psycopg.errors.DeadlockDetected, RetryLater),
        (psycopg.errors.DiskFull, RetryLater),
        (psycopg.errors.ReadOnlySqlTransaction, RetryLater),
        (psycopg.OperationalError, RetryLater),
    ],
)
def test_failed_statement_is_told_by_its_code(error: type[psycopg.Error], kind: type) -> None:
    made = statement_error(error("a message with a private value"))
    assert type(made) is kind
    assert "private" not in str(made)
