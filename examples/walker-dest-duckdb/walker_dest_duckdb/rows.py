"""From mapped events to rows: pure, no database."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from walker_collector import MISSING, Event, Item, Rejected, Rule
from walker_dest_duckdb.cells import cell, kind_of
from walker_dest_duckdb.settings import SHARED, Kind, RuleSettings, Settings

NO_RULE: Final = RuleSettings()

Columns = Mapping[str, Kind]
"""Column, in lower case -> what it holds."""


@frozen
class Row:
    """One event for one table: column -> value, and what each of these columns holds."""

    table: str
    cells: Mapping[str, Any]
    kinds: Columns


def rows_of(
    batch: Sequence[Item], settings: Settings, columns_of: Callable[[str], Columns]
) -> tuple[list[Row], dict[int, Exception]]:
    """Return the rows of a batch, and by index why an event makes none.

    `columns_of` tells what a table has; what a row adds is there for those after it. An event
    whose rule says skip makes no row.
    """
    rows: list[Row] = []
    failures: dict[int, Exception] = {}
    tables: dict[str, dict[str, Kind]] = {}
    for index, item in enumerate(batch):
        if item.rule is not None and item.rule.skip:
            continue
        table = table_of(item.rule, settings)
        if table not in tables:
            tables[table] = dict(columns_of(table))
        try:
            row = row_of(item.event, item.data, item.rule, table, tables[table])
        except Rejected as error:
            failures[index] = error
        else:
            rows.append(row)
            tables[table].update(row.kinds)
    return rows, failures


def table_of(rule: Rule | None, settings: Settings) -> str:
    """Return the name of the table for the events of a rule."""
    return told(rule).table or settings.table


def told(rule: Rule | None) -> RuleSettings:
    """Return what the rule asks for."""
    return (rule and rule.settings) or NO_RULE


def row_of(event: Event, data: Any, rule: Rule | None, table: str, there: Columns) -> Row:
    """Return an event's row for a table with these columns.

    A column is of the kind it has, else of the kind its rule says, else of its value's. Raises
    Rejected, naming the column, for a value that it does not hold.
    """
    cells: dict[str, Any] = {}
    kinds: dict[str, Kind] = {}
    for key, value in (*_shared(event), *_data(event, data)):
        name = key.lower()  # DuckDB's names differ by more than case
        kind = there.get(name) or SHARED.get(name) or told(rule).columns.get(key) or kind_of(value)
        if name in cells:
            raise Rejected(f"column {name} is filled twice; give the key another name")
        if kind is None:
            continue  # null says nothing of a column that is not there
        cells[name], kinds[name] = cell(value, kind, name), kind
    return Row(table, cells, kinds)


def _shared(event: Event) -> Iterator[tuple[str, Any]]:
    user = event.get("user") or {}
    yield "event_id", event["id"]
    yield "event_name", event["name"]
    yield "event_time", event["timestamp"]
    yield "user_id", user.get("id")
    yield "session_id", user.get("session")


def _data(event: Event, data: Any) -> Iterator[tuple[str, Any]]:
    """Yield the data by column; what is no object stands in one called `value`."""
    if data is MISSING:
        data = event.get("data")
    yield from data.items() if isinstance(data, dict) else [("value", data)]
