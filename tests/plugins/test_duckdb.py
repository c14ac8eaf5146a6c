"""The DuckDB destination: rows in a real database, tables that follow the mapping."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st
from walker_dest_duckdb.cells import cell, kind_of
from walker_dest_duckdb.destination import DuckdbDestination

from tests.support import program
from walker_collector import ConfigError, DestinationDown, Rejected
from walker_collector.testing import Backend, DestinationContract, Events, Harness


def query(path: Path, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path)) as connection:
        return connection.execute(sql, parameters).fetchall()


def rule(*, table: str | None = None, data: Any = "data", **columns: str) -> dict[str, Any]:
    """Return a mapping that gives orders to a table."""
    settings = {"columns": columns, **({"table": table} if table else {})}
    return {"order": {"complete": {"data": data, "settings": settings}}}


@frozen(eq=False)
class Other:
    """Another connection to the same file, within this process: it sees, and disturbs."""

    connection: duckdb.DuckDBPyConnection

    def tables(self) -> list[Any]:
        return self.connection.execute("FROM duckdb_tables()").fetchall()

    def received(self) -> list[str]:
        if not self.tables():
            return []
        found = self.connection.execute("SELECT event_id FROM events ORDER BY rowid")
        return [id for (id,) in found.fetchall()]

    def content(self, id: str) -> Any:
        sql = "SELECT * EXCLUDE (event_id, event_time) FROM events WHERE event_id = ?"
        return self.connection.execute(sql, [id]).fetchone()

    def lock(self) -> None:
        self.connection.begin().execute("ALTER TABLE events ADD COLUMN not_yet DOUBLE")

    def hide(self) -> None:
        if self.tables():
            self.connection.execute("ALTER TABLE events RENAME TO hidden")
        self.connection.execute("CREATE VIEW events AS SELECT 'no' AS event_id")

    def recover(self) -> None:
        try:
            self.connection.rollback()
        except duckdb.TransactionException:
            self.connection.execute("DROP VIEW events")
            if self.tables():
                self.connection.execute("ALTER TABLE hidden RENAME TO events")


class TestContract(DestinationContract):
    plugin = DuckdbDestination
    bad_settings: ClassVar = {"path": "", "table": ""}

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[Backend]:
        path = tmp_path / "shop.duckdb"
        with duckdb.connect(str(path)) as connection:
            other = Other(connection)
            yield Backend(
                settings={"path": str(path)},
                config={"mapping": rule(total="number")},
                received=other.received,
                content=other.content,
                reject={"data": {"total": "a lot"}},
                retry=other.lock,
                down=other.hide,
                recover=other.recover,
            )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.duckdb"


def shop(path: Path, mapping: dict[str, Any] | None = None) -> Harness:
    return Harness(DuckdbDestination, {"path": str(path)}, config={"mapping": mapping})


def test_event_is_a_row_with_its_data_in_columns(path: Path, walker_event: Events) -> None:
    user = {"id": 7, "session": "s1"}
    with shop(path) as destination:
        destination.deliver(walker_event(data={"total": 55.5, "paid": True}, user=user))
    columns = "event_id, event_name, epoch_ms(event_time), user_id, session_id, total, paid"
    assert query(path, f"SELECT {columns} FROM events") == [
        ("e1", "order complete", 1_700_000_001_000, "7", "s1", 55.5, True)
    ]


def test_rule_names_the_table_and_its_columns_before_any_event(path: Path) -> None:
    with shop(path, rule(table="orders", total="number", placed="time", tags="json")):
        pass
    told = "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'orders'"
    assert dict(query(path, told)) == {
        "event_id": "VARCHAR",
        "event_name": "VARCHAR",
        "event_time": "TIMESTAMP WITH TIME ZONE",
        "user_id": "VARCHAR",
        "session_id": "VARCHAR",
        "total": "DOUBLE",
        "placed": "TIMESTAMP WITH TIME ZONE",
        "tags": "JSON",
    }


def test_mapping_decides_what_is_kept(path: Path, walker_event: Events) -> None:
    data = {"map": {"order": "data.id", "sum": "data.total"}}
    with shop(path, rule(table="orders", data=data)) as destination:
        destination.deliver(walker_event(data={"id": "o1", "total": 5, "card": "4111"}))
        destination.deliver(walker_event("page view", data={"url": "/"}))
    assert query(path, 'SELECT "order", "sum" FROM orders') == [("o1", 5.0)]
    assert query(path, "SELECT event_name, url FROM events") == [("page view", "/")]


def test_data_that_is_no_object_has_a_column_of_its_own(path: Path, walker_event: Events) -> None:
    with shop(path, rule(data="data.total")) as destination:
        destination.deliver(walker_event(data={"total": 5}))
    assert query(path, "SELECT value FROM events") == [(5.0,)]


def test_tables_grow_by_new_columns(path: Path, walker_event: Events) -> None:
    with shop(path) as destination:
        destination.deliver(walker_event(data={"a": 1}), walker_event(data={"b": [1]}))
        destination.deliver(walker_event(data={"c": None, "d": "x"}))
    assert query(path, "SELECT a, b, d FROM events ORDER BY event_id") == [
        (1.0, None, None),
        (None, "[1]", None),
        (None, None, "x"),
    ]


def test_event_that_comes_twice_is_kept_once(path: Path, walker_event: Events) -> None:
    event = walker_event(data={"total": 1})
    with shop(path) as destination:
        destination.deliver(event, event)
        destination.deliver(event)
    assert query(path, "SELECT count(*) FROM events") == [(1,)]


def test_value_that_does_not_fit_its_column_is_refused_by_name(
    path: Path, walker_event: Events
) -> None:
    with shop(path) as destination:
        events = [walker_event(data={"total": total}) for total in (1, "private", 2)]
        failures = destination.push_batch(events)
    assert {index: str(failure) for index, failure in failures.items()} == {
        1: "column total has type number; this text does not fit"
    }
    assert query(path, "SELECT total FROM events") == [(1.0,), (2.0,)]


def test_keys_that_differ_by_case_only_are_refused(path: Path, walker_event: Events) -> None:
    with shop(path) as destination:
        failures = destination.push_batch([walker_event(data={"total": 1, "Total": 2})])
    assert str(failures[0]) == "column total is filled twice; give the key another name"


def test_flow_that_declares_a_column_of_every_table_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        shop(path, rule(event_id="text"))
    assert [problem.path for problem in refused.value.problems] == [
        "destinations.destination.config.mapping.order.complete.settings.columns.event_id"
    ]


def test_names_are_never_taken_for_sql(path: Path, walker_event: Events) -> None:
    odd = 'x"; DROP TABLE events; --'
    with shop(path, rule(table='it\'s "odd"')) as destination:
        destination.deliver(walker_event(data={odd: "y'; DROP TABLE events; --", "it's": 1}))
    assert query(path, 'FROM "it\'s ""odd"""')[0][-2:] == ("y'; DROP TABLE events; --", 1.0)


def test_file_that_another_process_writes_stops_the_destination(path: Path) -> None:
    code = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, path]
    with program(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(DestinationDown, match=r"cannot be opened.*lock"):
            shop(path).init()
        other.communicate(timeout=60)
    with shop(path):
        pass


def test_folder_that_is_not_there_stops_the_destination(tmp_path: Path) -> None:
    with pytest.raises(DestinationDown, match="cannot be opened"):
        shop(tmp_path / "no" / "shop.duckdb").init()


def test_column_of_a_type_of_ones_own_stops_the_destination(
    path: Path, walker_event: Events
) -> None:
    with shop(path):
        pass
    query(path, "ALTER TABLE events ADD COLUMN price DECIMAL(10, 2)")
    with pytest.raises(DestinationDown, match=r"column price is DECIMAL\(10,2\); make it one of"):
        shop(path).init()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(value=JSON)
def test_every_value_fits_the_column_made_for_it(value: Any) -> None:
    kind = kind_of(value)
    if kind is None:
        assert value is None
    elif value not in (float("inf"), float("-inf")):
        assert cell(value, kind, "c") == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", {}),
        ("text", True),
        ("number", "5"),
        ("number", True),
        ("number", float("inf")),
        ("integer", 1.5),
        ("integer", 2**63),
        ("boolean", 1),
        ("time", "yesterday"),
        ("time", 1e300),
        ("time", []),
    ],
)
def test_what_does_not_fit_is_refused(kind: Any, value: Any) -> None:
    with pytest.raises(Rejected, match=f"column c has type {kind}"):
        cell(value, kind, "c")


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        ("text", 5, "5"),
        ("integer", 5.0, 5),
        ("time", 1_700_000_000_500, "2023-11-14T22:13:20.500000+00:00"),
        ("time", "2023-11-14", "2023-11-14T00:00:00+00:00"),
        ("time", "2023-11-14T22:13:20+01:00", "2023-11-14T22:13:20+01:00"),
        ("number", None, None),
    ],
)
def test_what_fits_is_written_as_the_column_takes_it(kind: Any, value: Any, kept: Any) -> None:
    assert cell(value, kind, "c") == kept
