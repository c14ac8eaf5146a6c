"""Endpoints of Track v2: one operation, or a batch in which each is accepted or rejected."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from walker_dest_customerio import limits
from walker_dest_customerio.sandbox.api_call import ApiCall
from walker_dest_customerio.sandbox.received import (
    Identifier,
    JsonObject,
    ReceivedAddDevice,
    ReceivedDelete,
    ReceivedDeleteDevice,
    ReceivedDeleteObject,
    ReceivedEvent,
    ReceivedIdentify,
    ReceivedIdentifyObject,
    ReceivedOperation,
    ReceivedRelate,
    ReceivedRelateAnonymous,
    ReceivedSuppress,
    ReceivedUnsuppress,
    identifier,
)
from walker_dest_customerio.sandbox.response import (
    ACCEPTED,
    FieldError,
    Response,
    as_json,
    field_errors,
    invalid,
    missing,
)
from walker_dest_customerio.sandbox.v1_endpoints import merge_of, object_key
from walker_dest_customerio.sandbox.v2_checks import check_operation

Reader: TypeAlias = Callable[[JsonObject], Iterable[ReceivedOperation]]

NOT_JSON = [invalid("", "request body must be a JSON object")]


def entity(call: ApiCall) -> Response:
    """POST /entity: 400 with every mistake, 413 above 32,000 bytes."""
    if len(call.body) > limits.OPERATION:
        return field_errors(413, [invalid("", "operation cannot be larger than 32000 bytes")])
    content = call.content()
    problems = NOT_JSON if content is None else check_operation(content)
    if content is None or problems:
        return field_errors(400, problems)
    _apply(call, content)
    return ACCEPTED


def batch(call: ApiCall) -> Response:
    """POST /batch: 207 lists the rejected operations; the others are applied in order.

    413 above 500,000 bytes; a single operation above 32,000 bytes is one rejected item.
    A batch without any valid operation is a 207 as well: it is not documented when the real
    service calls an "entire request" invalid.
    """
    if len(call.body) > limits.BATCH:
        return field_errors(413, [invalid("batch", "request cannot be larger than 500000 bytes")])
    content = call.content()
    if content is None:
        return field_errors(400, NOT_JSON)
    items = content.get("batch")
    if not isinstance(items, list) or not items:
        wrong = invalid("batch", "batch must be an array and not empty")
        return field_errors(400, [missing("batch") if items is None else wrong])
    return _batch_answer(len(items), dict(_apply_valid(call, items)))


def _apply_valid(call: ApiCall, items: list[Any]) -> Iterator[tuple[int, list[FieldError]]]:
    """Apply each valid item; yield index and mistakes of the others."""
    for index, item in enumerate(items):
        problems = check_operation(item)
        if problems:
            yield index, problems
        else:
            _apply(call, item)


def _batch_answer(count: int, rejected: dict[int, list[FieldError]]) -> Response:
    errors = [
        {"batch_index": index, **problem._asdict()}
        for index, problems in rejected.items()
        for problem in problems
    ]
    body = as_json({"errors": errors}) if errors else ACCEPTED.body
    return Response(207 if errors else 200, body, count, len(rejected))


def _apply(call: ApiCall, content: JsonObject) -> None:
    for operation in READERS[content["type"], content["action"]](content):
        call.workspace.apply(operation, call.now)


def _who(content: JsonObject) -> Identifier:
    """Return the only identifier of an operation, or of one side of a relationship."""
    return identifier(*next(iter(content["identifiers"].items())))


def _identify(content: JsonObject) -> Iterator[ReceivedOperation]:
    attributes = content.get("attributes", {})
    yield ReceivedIdentify(
        _who(content),
        attributes,
        timestamp=content.get("timestamp", attributes.get("_timestamp")),
        never_create=attributes.get("_update", False),
    )
    yield from _add_relationships(content)


def _event(content: JsonObject) -> Iterator[ReceivedOperation]:
    who = _who(content)
    anonymous = who.kind == "anonymous_id"
    yield ReceivedEvent(
        None if anonymous else who,
        kind=content["action"],
        name=content["name"],
        data=content.get("attributes", {}),
        id=content.get("id"),
        timestamp=content.get("timestamp"),
        anonymous_id=who.value if anonymous else None,
    )


def _add_device(content: JsonObject) -> Iterator[ReceivedOperation]:
    device = dict(content["device"])
    yield ReceivedAddDevice(_who(content), device.pop("token"), device)


def _delete_device(content: JsonObject) -> Iterator[ReceivedOperation]:
    yield ReceivedDeleteDevice(_who(content), content["device"]["token"])


def _relationships(content: JsonObject, remove: bool) -> Iterator[ReceivedOperation]:
    for item in content.get("cio_relationships", []):
        target = object_key(item["identifiers"])
        yield ReceivedRelate(_who(content), target, item.get("relationship_attributes", {}), remove)


def _add_relationships(content: JsonObject) -> Iterator[ReceivedOperation]:
    return _relationships(content, remove=False)


def _remove_relationships(content: JsonObject) -> Iterator[ReceivedOperation]:
    return _relationships(content, remove=True)


def _identify_object(content: JsonObject) -> Iterator[ReceivedOperation]:
    yield ReceivedIdentifyObject(object_key(content["identifiers"]), content.get("attributes", {}))
    yield from _add_object_relationships(content)


def _object_anonymous(content: JsonObject) -> Iterator[ReceivedOperation]:
    target = object_key(content["identifiers"])
    yield ReceivedIdentifyObject(target, content.get("attributes", {}))
    for item in content["cio_relationships"]:
        anonymous_id = item["identifiers"]["anonymous_id"]
        yield ReceivedRelateAnonymous(anonymous_id, target, item.get("relationship_attributes", {}))


def _delete_object(content: JsonObject) -> Iterator[ReceivedOperation]:
    yield ReceivedDeleteObject(object_key(content["identifiers"]))


def _object_relationships(content: JsonObject, remove: bool) -> Iterator[ReceivedOperation]:
    target = object_key(content["identifiers"])
    for item in content.get("cio_relationships", []):
        yield ReceivedRelate(_who(item), target, item.get("relationship_attributes", {}), remove)


def _add_object_relationships(content: JsonObject) -> Iterator[ReceivedOperation]:
    return _object_relationships(content, remove=False)


def _remove_object_relationships(content: JsonObject) -> Iterator[ReceivedOperation]:
    return _object_relationships(content, remove=True)


READERS: dict[tuple[str, str], Reader] = {
    ("person", "identify"): _identify,
    ("person", "delete"): lambda content: [ReceivedDelete(_who(content))],
    ("person", "event"): _event,
    ("person", "page"): _event,
    ("person", "screen"): _event,
    ("person", "add_device"): _add_device,
    ("person", "delete_device"): _delete_device,
    ("person", "suppress"): lambda content: [ReceivedSuppress(_who(content))],
    ("person", "unsuppress"): lambda content: [ReceivedUnsuppress(_who(content))],
    ("person", "merge"): lambda content: [merge_of(content)],
    ("person", "add_relationships"): _add_relationships,
    ("person", "delete_relationships"): _remove_relationships,
    ("object", "identify"): _identify_object,
    ("object", "identify_anonymous"): _object_anonymous,
    ("object", "delete"): _delete_object,
    ("object", "add_relationships"): _add_object_relationships,
    ("object", "delete_relationships"): _remove_object_relationships,
}
