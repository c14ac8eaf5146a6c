"""From mapped events to rows; pure, without a database."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from walker_collector import MISSING, Event, Item, Rejected, Rule
from walker_dest_duckdb.cells import cell, kind_of
from walker_dest_duckdb.settings import SHARED, Kind, RuleSettings, Settings

NO_RULE: Final = RuleSettings()

Columns = Mapping[str, Kind]
"""Name of a column, in lower case -> its type."""


@frozen
class Row:
    """One event for one table: value and type of each column."""

    table: str
    cells: Mapping[str, Any]
    kinds: Columns


def rows_of(
    batch: Sequence[Item], settings: Settings, columns_of: Callable[[str], Columns]
) -> tuple[list[Row], dict[int, Exception]]:
    """Return the rows of a batch, and by index the failures of events that have none.

    `columns_of` returns the columns of a table; a column that a row adds exists for all later
    rows. An event has no row if its rule says skip.
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
    return rule_settings(rule).table or settings.table


def rule_settings(rule: Rule | None) -> RuleSettings:
    """Return the settings of a rule, or the defaults."""
    return (rule and rule.settings) or NO_RULE


def row_of(event: Event, data: Any, rule: Rule | None, table: str, there: Columns) -> Row:
    """Return the row of an event for a table with the columns `there`.

    A new column gets the type from the rule, else from its value. Raises Rejected, which names the
    column, for a value that does not fit.
    """
    cells: dict[str, Any] = {}
    kinds: dict[str, Kind] = {}
    for key, value in (*_shared(event), *_data(event, data)):
        name = key.lower()  # names in DuckDB are case-insensitive
        known = there.get(name) or SHARED.get(name)
        kind = known or rule_settings(rule).columns.get(key) or kind_of(value)
        if name in cells:
            raise Rejected(f"column {name} is filled twice; give the key another name")
        if kind is None:
            continue  # a null has no type for a new column
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
    """Yield the data by column; any data but an object go into a column `value`."""
    if data is MISSING:
        data = event.get("data")
    yield from data.items() if isinstance(data, dict) else [("value", data)]
