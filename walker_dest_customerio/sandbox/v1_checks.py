"""Checks of Track v1: mistakes that it answers with 400, in its published words if any.

Source of the published messages: https://docs.customer.io/journeys/invalid-api-requests. The rest
(types of `timestamp`, `id`, `platform`) follows the Track API reference; its wording is ours.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from walker_dest_customerio import limits
from walker_dest_customerio.limits import takes_more
from walker_dest_customerio.sandbox.attributes import CONTROL
from walker_dest_customerio.sandbox.checks import (
    is_email,
    is_integer,
    is_object,
    is_text,
    is_ulid,
    overlong_names,
    overlong_values,
    unknown_keys,
)
from walker_dest_customerio.sandbox.received import Identifier, JsonObject

EVENT_FIELDS = frozenset({"name", "id", "type", "timestamp", "data", "anonymous_id"})
EVENT_TYPES = ("event", "page", "screen")
DEVICE_FIELDS = frozenset({"id", "platform", "last_used", "attributes"})
PLATFORMS = ("ios", "android")
MERGE_KINDS = ("id", "email", "cio_id")


def check_path(who: Identifier) -> Iterator[str]:
    """Yield the mistakes of the identifier in the path."""
    if not who.value.strip():
        yield "id attribute cannot be an empty string"
    if takes_more(who.value, limits.PERSON_ID):
        yield "id attribute cannot be longer than 150 bytes"


def check_identify(who: Identifier, attributes: JsonObject) -> Iterator[str]:
    """Yield the mistakes of an identify; a single one fails the whole call."""
    yield from check_path(who)
    yield from _check_identity(who, attributes)
    if len(attributes.keys() - CONTROL) > limits.ATTRIBUTES:
        yield "cannot identify more than 300 attributes in one request"
    if overlong_names(attributes):
        yield "attribute name cannot be longer than 150 bytes"
    for name in overlong_values(attributes):
        yield f"value for attribute '{name}' cannot be longer than 1000 bytes"
    yield from _check_controls(attributes)


def _check_identity(who: Identifier, attributes: JsonObject) -> Iterator[str]:
    value = attributes.get("id")
    if "id" in attributes and not isinstance(value, str):
        yield "id attribute must be a string value"
    elif value == "":
        yield "id attribute cannot be an empty string"
    elif value is not None and who.kind == "id" and value != who.value:
        yield "id attribute and identifier are not the same value"
    elif takes_more(value, limits.PERSON_ID):
        yield "id attribute cannot be longer than 150 bytes"
    if attributes.get("email") and not is_email(attributes["email"]):
        yield "email attribute must be an email address"
    if attributes.get("anonymous_id") and not isinstance(attributes["anonymous_id"], str):
        yield "anonymous_id attribute must be a string value"
    for name in ("email", "anonymous_id"):
        if takes_more(attributes.get(name), limits.PERSON_ID):
            yield f"{name} attribute cannot be longer than 150 bytes"


def _check_controls(attributes: JsonObject) -> Iterator[str]:
    if "_timestamp" in attributes and not is_integer(attributes["_timestamp"]):
        yield "_timestamp must be an integer (unix seconds)"
    if not isinstance(attributes.get("_update", False), bool):
        yield "_update must be a boolean"
    if "cio_relationships" in attributes:
        yield from _check_relationships(attributes["cio_relationships"])


def _check_relationships(content: object) -> Iterator[str]:
    """Yield the mistakes of relationships: in v1 an object with an action, in v2 an array."""
    if not is_object(content):
        yield "cio_relationships must be a hash with action and relationships"
        return
    if content.get("action") not in ("add_relationships", "delete_relationships"):
        yield "cio_relationships action must be add_relationships or delete_relationships"
    items = content.get("relationships")
    if not isinstance(items, list) or not all(map(_is_relationship, items)):
        yield "cio_relationships relationships must name object_type_id and object_id"


def _is_relationship(item: object) -> bool:
    names = item.get("identifiers") if is_object(item) else None
    return is_object(names) and (
        set(names) in ({"object_type_id", "object_id"}, {"cio_object_id"})
        and all(map(is_text, names.values()))
        and not any(takes_more(name, limits.OBJECT_ID) for name in names.values())
        and is_object(item)
        and is_object(item.get("relationship_attributes", {}))
    )


def check_event(event: JsonObject) -> Iterator[str]:
    """Yield the mistakes of a person's event."""
    name, data = event.get("name"), event.get("data", {})
    if not is_text(name):
        yield "event name must not be blank"
    elif takes_more(name.strip(), limits.EVENT_NAME):
        yield "event name cannot be longer than 100 bytes"
    if event.get("type", "event") not in EVENT_TYPES:
        yield "event type must be event, page or screen"
    if not is_object(data):
        yield 'event data must be a hash (e.g., send "data":{} instead of "data":"")'
    elif takes_more(data, limits.EVENT_DATA):
        yield "event data cannot be longer than 100000 bytes"
    if "timestamp" in event and not is_integer(event["timestamp"]):
        yield "event timestamp must be an integer (unix seconds)"
    if "id" in event and not is_ulid(event["id"]):
        yield "event id must be a ULID"
    yield from (f"unknown event field '{name}'" for name in unknown_keys(event, EVENT_FIELDS))


def check_anonymous_event(event: JsonObject) -> Iterator[str]:
    """Yield the mistakes of an event without a person; an invite must have a recipient."""
    yield from check_event(event)
    if "anonymous_id" in event:
        if not is_text(event["anonymous_id"]):
            yield "anonymous_id must be a string value"
        elif takes_more(event["anonymous_id"], limits.PERSON_ID):
            yield "anonymous_id cannot be longer than 150 bytes"
    elif not is_object(event.get("data")) or not is_text(event["data"].get("recipient")):
        yield "event data must have a recipient when there is no anonymous_id"


def check_device(content: JsonObject) -> Iterator[str]:
    """Yield the mistakes of `{"device": {...}}`; custom values belong in its `attributes`."""
    device = content.get("device")
    if not is_object(device):
        yield "device must be a hash"
        return
    if not is_text(device.get("id")):
        yield "device id must not be blank"
    if device.get("platform") not in PLATFORMS:
        yield "device platform must be ios or android"
    if "last_used" in device and not is_integer(device["last_used"]):
        yield "device last_used must be an integer (unix seconds)"
    if not is_object(device.get("attributes", {})):
        yield "device attributes must be a hash"
    yield from (f"unknown device field '{name}'" for name in unknown_keys(device, DEVICE_FIELDS))


def check_merge(content: JsonObject) -> Iterator[str]:
    """Yield the mistakes of a merge: each side needs exactly one identifier."""
    for role in ("primary", "secondary"):
        yield from _check_merged(role, content.get(role))


def _check_merged(role: str, names: Any) -> Iterable[str]:
    if not is_object(names) or len(names) != 1:
        return [f"{role} must have exactly one identifier"]
    kind, value = next(iter(names.items()))
    if kind not in MERGE_KINDS:
        return [f"{role} must be identified by id, email or cio_id"]
    if not is_text(value):
        return [f"{role} {kind} must be a string value"]
    too_long = takes_more(value, limits.PERSON_ID)
    return [f"{role} {kind} cannot be longer than 150 bytes"] if too_long else []
