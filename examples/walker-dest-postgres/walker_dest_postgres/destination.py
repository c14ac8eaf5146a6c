"""The hooks of the PostgreSQL destination."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from walker_collector import (
    Context,
    DestinationDown,
    Event,
    Item,
    PushContext,
    Rejected,
    RetryLater,
    Rule,
    hookimpl,
)
from walker_dest_postgres.database import PostgresDatabase
from walker_dest_postgres.rows import TableRow, row_of, table_of, table_row
from walker_dest_postgres.settings import RuleSettings, Settings


class PostgresDestination:
    """Stores each event as a row under its id, each batch in one statement per table."""

    settings: ClassVar = Settings
    rule_settings: ClassVar = RuleSettings
    batch_size: ClassVar = 1000
    concurrency: ClassVar = 2

    def __init__(self) -> None:
        self._database: PostgresDatabase | None = None

    @hookimpl
    def init(self, context: Context) -> None:
        """Connect, and create the tables that the flow names."""
        self._database = PostgresDatabase(context.settings)
        if not context.settings.create:
            return
        try:
            for table in sorted(named_tables(context)):
                self._database.create(table)
        except (Rejected, RetryLater) as error:
            # The server is still starting, or another process is creating the same table.
            raise DestinationDown(error.reason) from None

    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> Mapping[int, Exception]:
        """Upsert the rows of a batch; return by index the failures of refused events."""
        failures: dict[int, Exception] = {}
        groups: defaultdict[str, list[TableRow]] = defaultdict(list)
        for index, item in enumerate(batch):
            try:
                row = table_row(index, item, context.settings)
            except Rejected as error:
                failures[index] = error
                continue
            if row is not None:
                groups[row.table].append(row)
        for group in groups.values():
            self._upsert(group, failures)
        return failures

    @hookimpl
    def shutdown(self, context: Context) -> None:
        """Close the connections."""
        if self._database is not None:
            self._database.close()

    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        """Return the row that would be upserted."""
        if rule is not None and rule.skip:
            return []
        row = row_of(event, data)
        return [["upsert", table_of(rule, context.settings), row.event_id, row.data]]

    def _upsert(self, group: Sequence[TableRow], failures: dict[int, Exception]) -> None:
        """Upsert rows of one table; on a refusal, bisect until the refused row is alone."""
        assert self._database is not None  # the collector calls init first
        try:
            self._database.upsert(group[0].table, [item.row for item in group])
        except Rejected as error:
            if len(group) == 1:
                failures[group[0].index] = error
                return
            middle = len(group) // 2
            self._upsert(group[:middle], failures)
            self._upsert(group[middle:], failures)


def named_tables(context: Context) -> set[str]:
    """Return the tables that the flow names."""
    settings: Settings = context.settings
    tables = {settings.table}
    for actions in (context.config.mapping or {}).values():
        for rules in actions.values():
            for rule in rules if isinstance(rules, list) else [rules]:
                tables.add((rule.settings and rule.settings.table) or settings.table)
    return tables
