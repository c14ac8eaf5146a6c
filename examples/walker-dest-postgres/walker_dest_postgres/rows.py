"""From mapped events to rows; pure, without a database."""

from datetime import UTC, datetime
from typing import Any

import orjson
from attrs import frozen

from walker_collector import MISSING, Event, Item, Rejected, Rule
from walker_dest_postgres.settings import RuleSettings, Settings


@frozen
class Row:
    """One event: the values of the columns, in the order of `COLUMNS`."""

    event_id: str
    event_name: str
    event_time: datetime
    user_id: str | None
    session_id: str | None
    data: str


def table_of(rule: Rule | None, settings: Settings) -> str:
    """Return the name of the table for the events of a rule."""
    own: RuleSettings | None = rule.settings if rule else None
    return (own and own.table) or settings.table


def row_of(event: Event, data: Any) -> Row:
    """Return the row of a mapped event; raises Rejected for a time beyond the calendar."""
    user = event.get("user") or {}
    try:
        moment = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    except (ValueError, OverflowError):
        raise Rejected("the event's timestamp is beyond the year 9999") from None
    return Row(
        event_id=str(event["id"]),
        event_name=event["name"],
        event_time=moment,
        user_id=_text(user.get("id")),
        session_id=_text(user.get("session")),
        data=orjson.dumps(event.get("data") if data is MISSING else data).decode(),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


@frozen
class TableRow:
    """A row for a table, with its index in the batch."""

    index: int
    table: str
    row: Row


def table_row(index: int, item: Item, settings: Settings) -> TableRow | None:
    """Return the row of an item, or None if its rule says skip. Raises Rejected."""
    if item.rule is not None and item.rule.skip:
        return None
    return TableRow(index, table_of(item.rule, settings), row_of(item.event, item.data))
