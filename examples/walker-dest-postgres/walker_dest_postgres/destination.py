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
from walker_dest_postgres.database import Database
from walker_dest_postgres.rows import Placed, placed, row_of, table_of
from walker_dest_postgres.settings import RuleSettings, Settings


class PostgresDestination:
    """Keeps each event as a row under its id, each batch in one statement per table."""

    settings: ClassVar = Settings
    rule_settings: ClassVar = RuleSettings
    batch_size: ClassVar = 1000
    concurrency: ClassVar = 2

    def __init__(self) -> None:
        self._database: Database | None = None

    @hookimpl
    def init(self, context: Context) -> None:
        """Connect, and make the tables that the flow names."""
        self._database = Database(context.settings)
        if not context.settings.create:
            return
        try:
            for table in sorted(named_tables(context)):
                self._database.create(table)
        except (Rejected, RetryLater) as error:
            # The server is not up yet, or another process has just made the table.
            raise DestinationDown(error.reason) from None

    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> Mapping[int, Exception]:
        """Upsert the rows of a batch; return by index what PostgreSQL does not take."""
        failures: dict[int, Exception] = {}
        groups: defaultdict[str, list[Placed]] = defaultdict(list)
        for index, item in enumerate(batch):
            try:
                row = placed(index, item, context.settings)
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

    def _upsert(self, group: Sequence[Placed], failures: dict[int, Exception]) -> None:
        """Upsert rows of one table; where one is refused, halve until it stands alone."""
        assert self._database is not None  # init came before
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
