"""Operations on objects that a mapping rule adds to its event: pure, no I/O."""

from collections.abc import Iterator
from typing import Any, Final

from walker_collector import MISSING, Value
from walker_dest_customerio import limits
from walker_dest_customerio.dates import with_seconds
from walker_dest_customerio.identify_attributes import overlong
from walker_dest_customerio.identity import identity
from walker_dest_customerio.operations import (
    DeleteObject,
    IdentifyObject,
    Json,
    ObjectOperation,
    Relate,
    Unrelate,
)
from walker_dest_customerio.operations.form import an_id
from walker_dest_customerio.rule_actions import MappedEvent

_RELATIONSHIPS: Final = (("relate", Relate), ("unrelate", Unrelate))


def object_operations(
    mapped: MappedEvent, person: str | None, warnings: list[str]
) -> Iterator[ObjectOperation]:
    """Yield the operations of a rule's `object`, `relate` and `unrelate`.

    Each of these makes an object or a list of them; one without `typeId` or `id` has no effect.
    Relationships need a person.
    """
    for number, type_id, object_id, made in _named(mapped, "object", warnings):
        if made.get("delete") is True:
            yield DeleteObject(number, type_id, object_id)
        else:
            attributes = _attributes(mapped, "object", made, warnings)
            yield IdentifyObject(number, type_id, object_id, attributes)
    if person is None:
        return
    for setting, kind in _RELATIONSHIPS:
        for number, type_id, object_id, made in _named(mapped, setting, warnings):
            attributes = _attributes(mapped, setting, made, warnings)
            yield kind(number, type_id, object_id, person, attributes or None)


def _named(
    mapped: MappedEvent, setting: str, warnings: list[str]
) -> Iterator[tuple[int, str, str, Json]]:
    """Yield each object that a setting makes: its place in the list, its type, its id, itself."""
    value: Value | None = getattr(mapped.rule, setting)
    made = MISSING if value is None else value(mapped.event, mapped.context)
    for number, item in enumerate(made if isinstance(made, list) else [made], start=1):
        if isinstance(item, dict):
            type_id, object_id = identity(item.get("typeId")), identity(item.get("id"))
            if type_id is not None and object_id is not None:
                yield number, type_id, object_id, item
            else:
                warnings += _wrong_names(setting, item)


def _wrong_names(setting: str, made: Json) -> Iterator[str]:
    """Yield a warning for each identifier that is neither text nor number; none may be meant."""
    for key in ("typeId", "id"):
        if made.get(key) is not None and (must := an_id(made[key])) is not None:
            yield f"{setting}: {key} must be {must}; nothing is sent of it"


def _attributes(mapped: MappedEvent, setting: str, made: Json, warnings: list[str]) -> Json:
    """Return attributes as Customer.io accepts them; those that are too long are left out."""
    attributes: Any = made.get("attributes")
    if not isinstance(attributes, dict):
        if attributes is not None:
            warnings.append(f"{setting}: attributes must be an object; they are left out")
        return {}
    if mapped.settings.timestamps == "unix":
        attributes = with_seconds(attributes)
    left_out = dict(overlong(attributes, _limit_of))
    warnings += [f"{setting}: {warning}" for warning in left_out.values()]
    return {name: value for name, value in attributes.items() if name not in left_out}


def _limit_of(name: str) -> int:
    return limits.ATTRIBUTE_VALUE
