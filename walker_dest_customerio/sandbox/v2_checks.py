"""Checks of Track v2: the mistakes of each operation.

Source: the Track API reference (types, actions, required fields), the limits in `limits`. Stricter
than the real service in three ways: fields that it would ignore are errors, an event `id` must be
a ULID, and a `cio_id` must not have the `cio_` that v1 paths need. Looser in one: `anonymous_id`
may be the only identifier of event, page and screen. No reference says so, but Segment's and
RudderStack's destinations rely on it in production.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

from attrs import frozen

from walker_dest_customerio import limits
from walker_dest_customerio.limits import takes_more
from walker_dest_customerio.sandbox.attributes import CONTROL
from walker_dest_customerio.sandbox.checks import (
    is_email,
    is_integer,
    is_object,
    is_phone,
    is_text,
    is_ulid,
    overlong_names,
    overlong_values,
    unknown_keys,
)
from walker_dest_customerio.sandbox.received import JsonObject
from walker_dest_customerio.sandbox.response import FieldError, invalid, missing
from walker_dest_customerio.sandbox.v1_checks import MERGE_KINDS, PLATFORMS

FieldCheck: TypeAlias = Callable[[JsonObject], Iterator[FieldError]]

PERSON_KINDS = ("id", "email", "phone", "cio_id")
EVENT_KINDS = (*PERSON_KINDS, "anonymous_id")
DEVICE_FIELDS = frozenset({"token", "platform", "last_used", "attributes"})
COMMON_FIELDS = frozenset({"type", "action", "identifiers", "timestamp"})


@frozen
class Action:
    """An action of v2: its fields besides the common ones, and its check."""

    fields: frozenset[str]
    check: FieldCheck
    has_identifiers: bool = True


def check_operation(operation: object) -> list[FieldError]:
    """Return the mistakes of one operation: an entry of a batch, or the body of /entity."""
    if not is_object(operation):
        return [invalid("", "operation must be an object")]
    kind, name = operation.get("type"), operation.get("action")
    actions = ACTIONS.get(kind) if isinstance(kind, str) else None
    if actions is None:
        return [invalid("type", f"type must be one of {', '.join(ACTIONS)}")]
    action = actions.get(name) if isinstance(name, str) else None
    if action is None:
        return [invalid("action", f"unknown action for {kind}")]
    if takes_more(operation, limits.OPERATION):
        return [invalid("", "operation cannot be larger than 32000 bytes")]
    return [*_check_fields(operation, action), *action.check(operation)]


def _check_fields(operation: JsonObject, action: Action) -> Iterator[FieldError]:
    known = COMMON_FIELDS | action.fields
    if not action.has_identifiers:
        known -= {"identifiers"}
    for name in unknown_keys(operation, known):
        yield invalid(name, f"unknown field for {operation['action']}")
    if "timestamp" in operation and not is_integer(operation["timestamp"]):
        yield invalid("timestamp", "timestamp must be an integer (unix seconds)")


def _check_names(
    names: object, field: str = "identifiers", kinds: tuple[str, ...] = PERSON_KINDS
) -> Iterator[FieldError]:
    """Yield the mistakes of identifiers: exactly one, a string, of one of the kinds."""
    if names is None:
        yield missing(field)
    elif not is_object(names) or not names:
        yield invalid(field, "must be an object with one identifier")
    elif len(names) > 1:
        yield invalid(field, "cannot pass multiple identifiers")
    else:
        ((kind, value),) = names.items()
        problem = _name_problem(kind, value, kinds)
        if problem:
            yield invalid(f"{field}.{kind}", problem)


def _name_problem(kind: str, value: object, kinds: tuple[str, ...]) -> str | None:
    if kind not in kinds:
        return f"identifier must be one of {', '.join(kinds)}"
    if not is_text(value):
        return "identifier must be a string and not empty"
    if takes_more(value, limits.PERSON_ID):
        return "identifier cannot be longer than 150 bytes"
    if kind == "email" and not is_email(value):
        return "identifier must be an email address"
    if kind == "phone" and not is_phone(value):
        return "identifier must be a phone number in E.164 form"
    if kind == "cio_id" and value.startswith("cio_"):
        return "identifier must not have the cio_ prefix here"
    return None


def _check_person(operation: JsonObject) -> Iterator[FieldError]:
    yield from _check_names(operation.get("identifiers"))


def _check_identify(operation: JsonObject) -> Iterator[FieldError]:
    yield from _check_person(operation)
    attributes = operation.get("attributes", {})
    yield from _check_attributes(attributes)
    if is_object(attributes):
        yield from _check_special(attributes)
    if "cio_relationships" in operation:
        yield from _check_relationships(operation, ("object_type_id", "object_id"))


def _check_attributes(attributes: object) -> Iterator[FieldError]:
    if not is_object(attributes):
        yield invalid("attributes", "attributes must be an object")
        return
    if len(attributes.keys() - CONTROL) > limits.ATTRIBUTES:
        yield invalid("attributes", "cannot set more than 300 attributes")
    for name in overlong_names(attributes):
        yield invalid(f"attributes.{name}", "property name cannot be longer than 150 bytes")
    for name in overlong_values(attributes):
        yield invalid(f"attributes.{name}", "property value cannot be longer than 1000 bytes")


def _check_special(attributes: JsonObject) -> Iterator[FieldError]:
    """Yield the mistakes of attributes with a meaning of their own.

    `_timestamp` belongs to v1, but RudderStack sends it to v2 as well.
    """
    for kind in ("id", "email"):
        problem = _name_problem(kind, attributes[kind], (kind,)) if attributes.get(kind) else None
        if problem:
            yield invalid(f"attributes.{kind}", problem)
    if attributes.get("anonymous_id") and not isinstance(attributes["anonymous_id"], str):
        yield invalid("attributes.anonymous_id", "must be a string")
    elif takes_more(attributes.get("anonymous_id"), limits.PERSON_ID):
        yield invalid("attributes.anonymous_id", "identifier cannot be longer than 150 bytes")
    if not isinstance(attributes.get("_update", False), bool):
        yield invalid("attributes._update", "must be a boolean")
    if "_timestamp" in attributes and not is_integer(attributes["_timestamp"]):
        yield invalid("attributes._timestamp", "must be an integer (unix seconds)")
    if "cio_relationships" in attributes:
        yield invalid("attributes.cio_relationships", "belongs beside attributes, not in them")


def _check_event(operation: JsonObject) -> Iterator[FieldError]:
    yield from _check_names(operation.get("identifiers"), kinds=EVENT_KINDS)
    name = operation.get("name")
    if name is None:
        yield missing("name")
    elif not is_text(name):
        yield invalid("name", "event name must not be blank")
    elif takes_more(name.strip(), limits.EVENT_NAME):
        yield invalid("name", "event name cannot be longer than 100 bytes")
    if "id" in operation and not is_ulid(operation["id"]):
        yield invalid("id", "event id must be a ULID")
    if not is_object(operation.get("attributes", {})):
        yield invalid("attributes", "attributes must be an object")


def _check_add_device(operation: JsonObject) -> Iterator[FieldError]:
    yield from _check_delete_device(operation)
    device = operation.get("device")
    if not is_object(device):
        return
    if "platform" not in device:
        yield missing("device.platform")
    elif device["platform"] not in PLATFORMS:
        yield invalid("device.platform", "platform must be ios or android")
    if "last_used" in device and not is_integer(device["last_used"]):
        yield invalid("device.last_used", "last_used must be an integer (unix seconds)")
    if not is_object(device.get("attributes", {})):
        yield invalid("device.attributes", "attributes must be an object")


def _check_delete_device(operation: JsonObject) -> Iterator[FieldError]:
    yield from _check_person(operation)
    device = operation.get("device")
    if not is_object(device):
        yield missing("device") if device is None else invalid("device", "must be an object")
        return
    if "token" not in device:
        yield missing("device.token")
    elif not is_text(device["token"]):
        yield invalid("device.token", "token must be a string and not empty")
    for name in unknown_keys(device, DEVICE_FIELDS):
        yield invalid(f"device.{name}", "unknown field; custom values belong in device.attributes")


def _check_merge(operation: JsonObject) -> Iterator[FieldError]:
    for role in ("primary", "secondary"):
        yield from _check_names(operation.get(role), role, MERGE_KINDS)


def _check_person_relationships(operation: JsonObject) -> Iterator[FieldError]:
    yield from _check_person(operation)
    yield from _check_relationships(operation, ("object_type_id", "object_id"))


def _check_relationships(operation: JsonObject, names: tuple[str, ...]) -> Iterator[FieldError]:
    """Yield the mistakes of relationships: an array, with identifiers of the kinds in `names`."""
    items = operation.get("cio_relationships")
    if not isinstance(items, list):
        yield missing("cio_relationships") if items is None else _not_an_array()
        return
    for index, item in enumerate(items):
        field = f"cio_relationships.{index}"
        if not is_object(item):
            yield invalid(field, "relationship must be an object")
            continue
        if "object_id" in names:
            yield from _check_object_names(item.get("identifiers"), f"{field}.identifiers")
        else:
            yield from _check_names(item.get("identifiers"), f"{field}.identifiers", names)
        if not is_object(item.get("relationship_attributes", {})):
            yield invalid(f"{field}.relationship_attributes", "must be an object")


def _not_an_array() -> FieldError:
    return invalid("cio_relationships", "cio_relationships must be an array")


def _check_object_names(names: object, field: str = "identifiers") -> Iterator[FieldError]:
    if names is None:
        yield missing(field)
    elif not is_object(names) or set(names) not in (
        {"object_type_id", "object_id"},
        {"cio_object_id"},
    ):
        yield invalid(field, "must have object_type_id and object_id, or cio_object_id")
    elif not all(map(is_text, names.values())):
        yield invalid(field, "identifiers must be strings and not empty")
    elif any(takes_more(value, limits.OBJECT_ID) for value in names.values()):
        yield invalid(field, "identifier cannot be longer than 150 bytes")


def _check_object(operation: JsonObject) -> Iterator[FieldError]:
    yield from _check_object_names(operation.get("identifiers"))


def _check_identify_object(operation: JsonObject) -> Iterator[FieldError]:
    yield from _check_object(operation)
    yield from _check_attributes(operation.get("attributes", {}))
    if "cio_relationships" in operation:
        yield from _check_relationships(operation, PERSON_KINDS)


def _check_object_anonymous(operation: JsonObject) -> Iterator[FieldError]:
    yield from _check_object(operation)
    yield from _check_attributes(operation.get("attributes", {}))
    yield from _check_relationships(operation, ("anonymous_id",))


def _check_object_relationships(operation: JsonObject) -> Iterator[FieldError]:
    yield from _check_object(operation)
    yield from _check_relationships(operation, PERSON_KINDS)


def _action(check: FieldCheck, *fields: str, has_identifiers: bool = True) -> Action:
    return Action(frozenset(fields), check, has_identifiers)


_EVENT = _action(_check_event, "name", "id", "attributes")
ACTIONS: dict[str, dict[str, Action]] = {
    "person": {
        "identify": _action(_check_identify, "attributes", "cio_relationships"),
        "delete": _action(_check_person),
        "event": _EVENT,
        "page": _EVENT,
        "screen": _EVENT,
        "add_device": _action(_check_add_device, "device"),
        "delete_device": _action(_check_delete_device, "device"),
        "suppress": _action(_check_person),
        "unsuppress": _action(_check_person),
        "merge": _action(_check_merge, "primary", "secondary", has_identifiers=False),
        "add_relationships": _action(_check_person_relationships, "cio_relationships"),
        "delete_relationships": _action(_check_person_relationships, "cio_relationships"),
    },
    "object": {
        "identify": _action(_check_identify_object, "attributes", "cio_relationships"),
        "identify_anonymous": _action(_check_object_anonymous, "attributes", "cio_relationships"),
        "delete": _action(_check_object),
        "add_relationships": _action(_check_object_relationships, "cio_relationships"),
        "delete_relationships": _action(_check_object_relationships, "cio_relationships"),
    },
}
