"""Settings of the DuckDB destination, and of its mapping rules."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from attrs import Factory, field, frozen

from walker_collector.clients import filled

Kind = Literal["text", "number", "integer", "boolean", "time", "json"]
"""Type of a column; `time` accepts milliseconds since 1970 and ISO 8601."""

SHARED: Final[Mapping[str, Kind]] = {
    "event_id": "text",
    "event_name": "text",
    "event_time": "time",
    "user_id": "text",
    "session_id": "text",
}
"""The columns of every table; the first is its key."""


@frozen(kw_only=True)
class Settings:
    """Settings of the destination.

    path: file of the database; its folder must exist.
    table: table of events if their rule has none.
    """

    path: str = field(validator=filled)
    table: str = field(default="events", validator=filled)


@frozen(kw_only=True)
class RuleSettings:
    """Settings of a mapping rule.

    table: table of the rule's events, instead of the destination's.
    columns: column type of keys of the mapped data. These columns are created at the start; any
        other key becomes a column with its first value, of that value's type.
    """

    table: str | None = field(default=None, validator=filled)
    columns: dict[str, Kind] = Factory(dict)


def each_rule(rules: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, RuleSettings]]:
    """Yield the path of each rule that has settings, and the settings."""
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


def check_settings(
    settings: Settings, rules: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Yield path and message of each declared column that every table has already."""
    for place, own in each_rule(rules):
        for name in own.columns:
            if name.lower() in SHARED:
                message = "every table has this column, of the event itself; use another key"
                yield f"mapping.{place}.settings.columns.{name}", message
