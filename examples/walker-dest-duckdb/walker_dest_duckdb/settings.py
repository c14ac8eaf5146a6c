"""What the DuckDB destination can be told: its settings, and those of a mapping rule."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from attrs import Factory, field, frozen

from walker_collector.clients import filled

Kind = Literal["text", "number", "integer", "boolean", "time", "json"]
"""What a column holds; `time` takes milliseconds since 1970 and ISO 8601."""

SHARED: Final[Mapping[str, Kind]] = {
    "event_id": "text",
    "event_name": "text",
    "event_time": "time",
    "user_id": "text",
    "session_id": "text",
}
"""The columns that every table has; the first is its key."""


@frozen(kw_only=True)
class Settings:
    """Where events are kept.

    path: the database's file; its folder must exist.
    table: the table of events whose rule names none.
    """

    path: str = field(validator=filled)
    table: str = field(default="events", validator=filled)


@frozen(kw_only=True)
class RuleSettings:
    """Where a rule's events go, and what their columns hold.

    table: instead of the destination's.
    columns: what each key of the mapped data holds. Those listed are there from the start; any
        other key becomes a column with its first value, of that value's kind.
    """

    table: str | None = field(default=None, validator=filled)
    columns: dict[str, Kind] = Factory(dict)


def each_rule(rules: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, RuleSettings]]:
    """Yield the place of each rule that has settings, and these."""
    for entity, actions in rules.items():
        for action, made in actions.items():
            for index, rule in enumerate(made if isinstance(made, list) else [made]):
                place = (
                    f"{entity}.{action}[{index}]"
                    if isinstance(made, list)
                    else f"{entity}.{action}"
                )
                if rule.settings is not None:
                    yield place, rule.settings


def check(settings: Settings, rules: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield what a flow declares of columns that cannot be."""
    for place, told in each_rule(rules):
        for name in told.columns:
            if name.lower() in SHARED:
                message = "every table has this column, of the event itself; use another key"
                yield f"mapping.{place}.settings.columns.{name}", message
