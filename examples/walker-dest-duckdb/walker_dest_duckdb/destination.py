"""The hooks of the DuckDB destination."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from walker_collector import Context, Event, Item, PushContext, Rule, hookimpl
from walker_dest_duckdb.database import DuckdbDatabase
from walker_dest_duckdb.rows import Columns, Row, row_of, rows_of, table_of
from walker_dest_duckdb.settings import RuleSettings, Settings, check_settings, each_rule


class DuckdbDestination:
    """Stores each event as a row, each batch in one transaction."""

    settings: ClassVar = Settings
    rule_settings: ClassVar = RuleSettings
    batch_size: ClassVar = 1000
    check_settings = staticmethod(check_settings)

    def __init__(self) -> None:
        self._database: DuckdbDatabase | None = None

    @hookimpl
    def init(self, context: Context) -> None:
        """Open the database, and create the tables and columns that the flow names."""
        database = DuckdbDatabase(context.settings.path)
        with database.transaction() as tables:
            for table, kinds in declared(context):
                tables.prepare(table, kinds)
        self._database = database

    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> Mapping[int, Exception]:
        """Insert the rows of a batch; return by index the failures of unsuitable events."""
        assert self._database is not None  # the collector calls init first
        with self._database.transaction() as tables:
            rows, failures = rows_of(batch, context.settings, tables.columns)
            for table, group in _by_table(rows).items():
                tables.insert(table, group)
        return failures

    @hookimpl
    def shutdown(self, context: Context) -> None:
        """Write pending changes to the file, and close it."""
        if self._database is not None:
            self._database.close()

    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        """Return the row that would be inserted."""
        if rule is not None and rule.skip:
            return []
        table = table_of(rule, context.settings)
        return [["insert", table, dict(row_of(event, data, rule, table, {}).cells)]]


def declared(context: Context) -> Iterator[tuple[str, Columns]]:
    """Yield the tables that the flow names, each with the columns its rules declare."""
    settings: Settings = context.settings
    yield settings.table, {}
    for _, own in each_rule(context.config.mapping or {}):
        columns = {key.lower(): kind for key, kind in own.columns.items()}
        yield own.table or settings.table, columns


def _by_table(rows: Sequence[Row]) -> Mapping[str, list[Row]]:
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.table].append(row)
    return groups
