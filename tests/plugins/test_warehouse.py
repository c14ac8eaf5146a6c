"""The shop's second flow: Customer.io, DuckDB and PostgreSQL together."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from walker_dest_duckdb.destination import DuckdbDestination
from walker_dest_postgres.destination import PostgresDestination

from tests.plugins.conftest import Database
from tests.plugins.support import EXAMPLES, warehouse_environment
from walker_collector import Collector, PushResult, Registry
from walker_collector.flow import load_flow
from walker_dest_customerio.sandbox import Sandbox

SHOP = EXAMPLES / "shop"
LINES = [json.loads(line) for line in (SHOP / "events.ndjson").read_text("utf-8").splitlines()]
EVENTS = [line for line in LINES if not line["name"].startswith("walker ")]
ORDERS = [event for event in EVENTS if event["name"] == "order complete"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def delivered(
    sandbox: Sandbox, postgres: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder with the database file, after the shop's events were delivered everywhere."""
    sandbox.reset()
    for name, value in warehouse_environment(sandbox, postgres.url, tmp_path).items():
        monkeypatch.setenv(name, value)
    registry = Registry().discover()
    registry.register("duckdb", DuckdbDestination)
    registry.register("postgres", PostgresDestination)
    flow = load_flow(SHOP / "warehouse.json", registry=registry)
    with Collector(flow, registry) as collector:
        results = collector.push_many(LINES)
        assert all(isinstance(result, PushResult) for result in results)
        assert collector.flush(timeout=30)
        assert collector.dead() == []
        assert collector.status().accepted == len(EVENTS)
    return tmp_path


def test_every_event_is_in_both_databases(delivered: Path, postgres: Database) -> None:
    kept = {("events", len(EVENTS) - len(ORDERS)), ("orders", len(ORDERS))}
    counting = (
        "SELECT 'events', count(*) FROM events UNION ALL SELECT 'orders', count(*) FROM orders"
    )
    assert set(query(delivered, counting)) == kept
    assert set(postgres.query(counting)) == kept


def test_orders_have_the_same_ids_and_totals_everywhere(
    delivered: Path, postgres: Database, sandbox: Sandbox
) -> None:
    in_file = query(delivered, "SELECT event_id, number, total FROM orders ORDER BY 1")
    in_server = postgres.query(
        "SELECT event_id, data ->> 'number', (data -> 'total')::float FROM orders ORDER BY 1"
    )
    assert in_file == in_server
    tracked = {(event["data"]["order"], event["data"]["total"]) for event in sandbox.events}
    assert tracked < {(number, total) for _, number, total in in_file}


def test_query_of_the_readme_shows_the_funnel_that_it_says(delivered: Path) -> None:
    readme = (EXAMPLES / "walker-dest-duckdb" / "README.md").read_text("utf-8")
    sql = re.findall(r"```sql\n(.*?)```", readme, re.DOTALL)[-1]
    shown = [int(cell) for cell in readme.strip().splitlines()[-1].strip("| ").split(" | ")]
    assert query(delivered, sql) == [tuple(shown)] == [funnel()]


def funnel() -> tuple[int, ...]:
    """How many sessions got to each step, counted from the events themselves."""
    names: dict[str, set[str]] = {}
    for event in EVENTS:
        names.setdefault(event["user"]["session"], set()).add(event["name"])
    steps = ["page view", "product view", "cart add", "order complete"]
    return tuple(
        sum(set(steps[:count]) <= seen for seen in names.values()) for count in range(1, 5)
    )


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        return connection.execute(sql).fetchall()
