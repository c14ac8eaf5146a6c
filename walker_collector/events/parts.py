"""The parts of an event: their keys and types, and hints at unknown ones."""

import difflib
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final, TypedDict
from uuid import UUID

from walker_collector.errors import EventError

PARTS: Final[Mapping[str, type]] = {
    "data": dict,
    "context": dict,
    "globals": dict,
    "custom": dict,
    "user": dict,
    "nested": list,
    "consent": dict,
}
_SCALARS: Final = ("id", "trigger", "entity", "action", "timestamp", "timing", "source")
KEYS: Final = ("name", *PARTS, *_SCALARS)
KNOWN_KEYS: Final = frozenset(KEYS)
_SYNONYMS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("properties", "props", "traits", "attributes", "payload", "params"), "data"),
    **dict.fromkeys(("time", "ts", "date_time", "occurred_at", "created_at"), "timestamp"),
    **dict.fromkeys(("user_id", "userId"), 'user={"id": ...}'),
    **dict.fromkeys(("anonymous_id", "anonymousId", "device_id"), 'user={"device": ...}'),
    "session_id": 'user={"session": ...}',
}
"""Words of other collectors for parts of an event."""


class EventUser(TypedDict, total=False):
    """The identifiers of a person, the first being the strongest; a user has any others as well."""

    id: str | int
    device: str | int
    session: str | int


class NestedEntity(TypedDict, total=False):
    """The parts of an entity inside an event's own."""

    entity: str
    data: Mapping[str, Any]
    nested: Sequence[Mapping[str, Any]]
    context: Mapping[str, Any]


class EventParts(TypedDict, total=False):
    """The parts that an event may have beside its name; None is the same as left out.

    data: properties of the entity.
    user: the person: `id`, `device`, `session`, and other properties.
    consent: consent for this event alone, in place of the person's.
    nested: entities inside this one.
    context: the place, as labels with an order.
    globals: properties shared by many events.
    custom: anything else.
    id: the event's own id; else one is made.
    timestamp: ms since 1970, a datetime or ISO 8601 text; else now.
    trigger: the cause of the event.
    entity, action: in place of the first two words of the name.
    timing: seconds since the page or process started.
    source: the origin of the event.
    """

    data: Mapping[str, Any] | None
    user: EventUser | Mapping[str, Any] | None
    consent: Mapping[str, bool] | None
    nested: Sequence[NestedEntity | Mapping[str, Any]] | None
    context: Mapping[str, Any] | None
    globals: Mapping[str, Any] | None
    custom: Mapping[str, Any] | None
    id: str | int | UUID | None
    timestamp: int | float | date | str | None
    trigger: str | None
    entity: str | None
    action: str | None
    timing: int | float | Decimal | None
    source: Mapping[str, Any] | None


def check_parts(parts: Mapping[str, Any]) -> None:
    """Raise EventError for an unknown keyword part, with the one that was probably meant."""
    for key in parts:
        if key not in KNOWN_KEYS:
            raise EventError(f"{key}: unknown part of an event{hint_at_part(key)}")


def hint_at_part(key: str) -> str:
    """Return text to follow an unknown part: the one that was probably meant."""
    near = [_SYNONYMS[key]] if key in _SYNONYMS else difflib.get_close_matches(key, KEYS, 1)
    return f"; did you mean {near[0]}?" if near else f"; an event has {', '.join(KEYS)}"
