"""Endpoints of Track v1: each reads its request, checks it and applies it."""

from collections.abc import Iterable
from typing import Any

from walker_dest_customerio.sandbox import v1_checks
from walker_dest_customerio.sandbox.api_call import ApiCall
from walker_dest_customerio.sandbox.checks import is_email
from walker_dest_customerio.sandbox.received import (
    Identifier,
    JsonObject,
    ObjectKey,
    ReceivedAddDevice,
    ReceivedDelete,
    ReceivedDeleteDevice,
    ReceivedEvent,
    ReceivedIdentify,
    ReceivedMerge,
    ReceivedOperation,
    ReceivedRelate,
    ReceivedSuppress,
    ReceivedUnsuppress,
    identifier,
)
from walker_dest_customerio.sandbox.response import (
    ACCEPTED,
    Response,
    as_json,
    error_list,
    one_error,
)

MALFORMED = one_error(400, "request body must be a JSON object")


def identifier_in_path(value: str) -> Identifier:
    """Return the identifier in a path, by its shape: cio_<id>, an email, else an id."""
    if value.startswith("cio_"):
        return Identifier("cio_id", value.removeprefix("cio_"))
    return identifier("email" if is_email(value) else "id", value)


def identify(call: ApiCall) -> Response:
    """PUT /customers/{identifier}"""
    who, attributes = identifier_in_path(call.params["identifier"]), call.content()
    if attributes is None:
        return MALFORMED
    problems = list(v1_checks.check_identify(who, attributes))
    return error_list(problems) if problems else _apply(call, _identify(who, attributes))


def _identify(who: Identifier, attributes: JsonObject) -> Iterable[ReceivedOperation]:
    yield ReceivedIdentify(
        who,
        attributes,
        timestamp=attributes.get("_timestamp"),
        never_create=attributes.get("_update", False),
    )
    relate = attributes.get("cio_relationships", {})
    for item in relate.get("relationships", []):
        target = object_key(item["identifiers"])
        remove = relate["action"] == "delete_relationships"
        yield ReceivedRelate(who, target, item.get("relationship_attributes", {}), remove)


def object_key(names: JsonObject) -> ObjectKey:
    """Return the key of an object; a cio_object_id counts as an id without a type."""
    if "cio_object_id" in names:
        return ObjectKey("", names["cio_object_id"])
    return ObjectKey(names["object_type_id"], names["object_id"])


def track(call: ApiCall) -> Response:
    """POST /customers/{identifier}/events"""
    who, event = identifier_in_path(call.params["identifier"]), call.content()
    if event is None:
        return MALFORMED
    problems = [*v1_checks.check_path(who), *v1_checks.check_event(event)]
    return error_list(problems) if problems else _apply(call, [_event(who, event)])


def track_anonymous(call: ApiCall) -> Response:
    """POST /events"""
    event = call.content()
    if event is None:
        return MALFORMED
    problems = list(v1_checks.check_anonymous_event(event))
    return error_list(problems) if problems else _apply(call, [_event(None, event)])


def _event(who: Identifier | None, event: JsonObject) -> ReceivedEvent:
    return ReceivedEvent(
        who,
        kind=event.get("type", "event"),
        name=event["name"],
        data=event.get("data", {}),
        id=event.get("id"),
        timestamp=event.get("timestamp"),
        anonymous_id=event.get("anonymous_id"),
    )


def delete(call: ApiCall) -> Response:
    """DELETE /customers/{identifier}"""
    return _apply_to_person(call, ReceivedDelete)


def suppress(call: ApiCall) -> Response:
    """POST /customers/{identifier}/suppress"""
    return _apply_to_person(call, ReceivedSuppress)


def unsuppress(call: ApiCall) -> Response:
    """POST /customers/{identifier}/unsuppress"""
    return _apply_to_person(call, ReceivedUnsuppress)


def add_device(call: ApiCall) -> Response:
    """PUT /customers/{identifier}/devices"""
    who, content = identifier_in_path(call.params["identifier"]), call.content()
    if content is None:
        return MALFORMED
    problems = [*v1_checks.check_path(who), *v1_checks.check_device(content)]
    if problems:
        return error_list(problems)
    device = dict(content["device"])
    return _apply(call, [ReceivedAddDevice(who, device.pop("id"), device)])


def delete_device(call: ApiCall) -> Response:
    """DELETE /customers/{identifier}/devices/{device_id}"""
    who = identifier_in_path(call.params["identifier"])
    return _apply(call, [ReceivedDeleteDevice(who, call.params["device_id"])])


def merge(call: ApiCall) -> Response:
    """POST /merge_customers: the only 400 of v1 with a single `error`"""
    content = call.content()
    if content is None:
        return MALFORMED
    problem = next(iter(v1_checks.check_merge(content)), None)
    return one_error(400, problem) if problem else _apply(call, [merge_of(content)])


def merge_of(content: JsonObject) -> ReceivedMerge:
    """Read a merge; the body is the same in v1 and v2."""
    pair = (content["primary"], content["secondary"])
    return ReceivedMerge(*(identifier(*next(iter(names.items()))) for names in pair))


def region(call: ApiCall) -> Response:
    """GET /accounts/region: the host of these credentials"""
    content = {"url": call.host, "data_center": call.region, "environment_id": 1}
    return Response(200, as_json(content), operations=0)


def _apply_to_person(call: ApiCall, operation: Any) -> Response:
    who = identifier_in_path(call.params["identifier"])
    problems = list(v1_checks.check_path(who))
    return error_list(problems) if problems else _apply(call, [operation(who)])


def _apply(call: ApiCall, operations: Iterable[ReceivedOperation]) -> Response:
    for operation in operations:
        call.workspace.apply(operation, call.now)
    return ACCEPTED
