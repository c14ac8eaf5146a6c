"""Track v2: one operation or a batch of them, each accepted or rejected on its own."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from walker_dest_customerio import limits
from walker_dest_customerio.sandbox.answers import (
    ACCEPTED,
    Answer,
    Problem,
    as_json,
    invalid,
    missing,
    problem_list,
)
from walker_dest_customerio.sandbox.calls import Call
from walker_dest_customerio.sandbox.operations import (
    AddDevice,
    Delete,
    DeleteDevice,
    DeleteObject,
    Event,
    Identifier,
    Identify,
    IdentifyObject,
    JsonObject,
    Operation,
    Relate,
    RelateAnonymous,
    Suppress,
    Unsuppress,
    identifier,
)
from walker_dest_customerio.sandbox.v1_endpoints import merge_of, object_key
from walker_dest_customerio.sandbox.v2_checks import check_operation

Reader: TypeAlias = Callable[[JsonObject], Iterable[Operation]]

NOT_JSON = [invalid("", "request body must be a JSON object")]


def entity(call: Call) -> Answer:
    """POST /entity: 400 with every problem, 413 above 32,000 bytes."""
    if len(call.body) > limits.OPERATION:
        return problem_list(413, [invalid("", "operation cannot be larger than 32000 bytes")])
    content = call.content()
    problems = NOT_JSON if content is None else check_operation(content)
    if content is None or problems:
        return problem_list(400, problems)
    _apply(call, content)
    return ACCEPTED


def batch(call: Call) -> Answer:
    """POST /batch: 207 names what was rejected, the rest is applied in order.

    413 above 500,000 bytes; a single operation above 32,000 bytes is one rejected item.
    A well-formed batch with nothing valid in it is still a 207: when the real service calls an
    "entire request" invalid is not documented.
    """
    if len(call.body) > limits.BATCH:
        return problem_list(413, [invalid("batch", "request cannot be larger than 500000 bytes")])
    content = call.content()
    if content is None:
        return problem_list(400, NOT_JSON)
    items = content.get("batch")
    if not isinstance(items, list) or not items:
        wrong = invalid("batch", "batch must be an array and not empty")
        return problem_list(400, [missing("batch") if items is None else wrong])
    return _batch_answer(len(items), dict(_apply_valid(call, items)))


def _apply_valid(call: Call, items: list[Any]) -> Iterator[tuple[int, list[Problem]]]:
    """Apply each valid item; give index and problems of the others."""
    for index, item in enumerate(items):
        problems = check_operation(item)
        if problems:
            yield index, problems
        else:
            _apply(call, item)


def _batch_answer(count: int, rejected: dict[int, list[Problem]]) -> Answer:
    errors = [
        {"batch_index": index, **problem._asdict()}
        for index, problems in rejected.items()
        for problem in problems
    ]
    body = as_json({"errors": errors}) if errors else ACCEPTED.body
    return Answer(207 if errors else 200, body, count, len(rejected))


def _apply(call: Call, content: JsonObject) -> None:
    for operation in READERS[content["type"], content["action"]](content):
        call.workspace.apply(operation, call.now)


def _who(content: JsonObject) -> Identifier:
    """The one identifier of an operation or of one side of a relationship."""
    return identifier(*next(iter(content["identifiers"].items())))


def _identify(content: JsonObject) -> Iterator[Operation]:
    attributes = content.get("attributes", {})
    yield Identify(
        _who(content),
        attributes,
        timestamp=content.get("timestamp", attributes.get("_timestamp")),
        never_create=attributes.get("_update", False),
    )
    yield from _add_ties(content)


def _event(content: JsonObject) -> Iterator[Operation]:
    who = _who(content)
    anonymous = who.kind == "anonymous_id"
    yield Event(
        None if anonymous else who,
        kind=content["action"],
        name=content["name"],
        data=content.get("attributes", {}),
        id=content.get("id"),
        timestamp=content.get("timestamp"),
        anonymous_id=who.value if anonymous else None,
    )


def _add_device(content: JsonObject) -> Iterator[Operation]:
    device = dict(content["device"])
    yield AddDevice(_who(content), device.pop("token"), device)


def _delete_device(content: JsonObject) -> Iterator[Operation]:
    yield DeleteDevice(_who(content), content["device"]["token"])


def _ties(content: JsonObject, cut: bool) -> Iterator[Operation]:
    for item in content.get("cio_relationships", []):
        target = object_key(item["identifiers"])
        yield Relate(_who(content), target, item.get("relationship_attributes", {}), cut)


def _add_ties(content: JsonObject) -> Iterator[Operation]:
    return _ties(content, cut=False)


def _cut_ties(content: JsonObject) -> Iterator[Operation]:
    return _ties(content, cut=True)


def _identify_object(content: JsonObject) -> Iterator[Operation]:
    yield IdentifyObject(object_key(content["identifiers"]), content.get("attributes", {}))
    yield from _add_object_ties(content)


def _object_anonymous(content: JsonObject) -> Iterator[Operation]:
    target = object_key(content["identifiers"])
    yield IdentifyObject(target, content.get("attributes", {}))
    for item in content["cio_relationships"]:
        anonymous_id = item["identifiers"]["anonymous_id"]
        yield RelateAnonymous(anonymous_id, target, item.get("relationship_attributes", {}))


def _delete_object(content: JsonObject) -> Iterator[Operation]:
    yield DeleteObject(object_key(content["identifiers"]))


def _object_ties(content: JsonObject, cut: bool) -> Iterator[Operation]:
    target = object_key(content["identifiers"])
    for item in content.get("cio_relationships", []):
        yield Relate(_who(item), target, item.get("relationship_attributes", {}), cut)


def _add_object_ties(content: JsonObject) -> Iterator[Operation]:
    return _object_ties(content, cut=False)


def _cut_object_ties(content: JsonObject) -> Iterator[Operation]:
    return _object_ties(content, cut=True)


READERS: dict[tuple[str, str], Reader] = {
    ("person", "identify"): _identify,
    ("person", "delete"): lambda content: [Delete(_who(content))],
    ("person", "event"): _event,
    ("person", "page"): _event,
    ("person", "screen"): _event,
    ("person", "add_device"): _add_device,
    ("person", "delete_device"): _delete_device,
    ("person", "suppress"): lambda content: [Suppress(_who(content))],
    ("person", "unsuppress"): lambda content: [Unsuppress(_who(content))],
    ("person", "merge"): lambda content: [merge_of(content)],
    ("person", "add_relationships"): _add_ties,
    ("person", "delete_relationships"): _cut_ties,
    ("object", "identify"): _identify_object,
    ("object", "identify_anonymous"): _object_anonymous,
    ("object", "delete"): _delete_object,
    ("object", "add_relationships"): _add_object_ties,
    ("object", "delete_relationships"): _cut_object_ties,
}
