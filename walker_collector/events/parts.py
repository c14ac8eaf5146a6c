"""The parts of an event, as types for editors and type checkers."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID


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
