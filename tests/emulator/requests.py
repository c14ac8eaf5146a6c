"""From requests to operations, as strict as the API reference (Track v1 and v2, App API)."""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
from attrs import frozen

Json = dict[str, Any]

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
OPERATION_BYTES, BATCH_BYTES, V1_DATA_BYTES = 32_000, 500_000, 100_000
EVENTS = {"event", "page", "screen"}
ACTIONS = {
    "person": EVENTS
    | {
        "identify",
        "delete",
        "add_device",
        "delete_device",
        "suppress",
        "unsuppress",
        "merge",
        "add_relationships",
        "delete_relationships",
    },
    "object": {"identify", "delete", "add_relationships", "delete_relationships"},
}
MESSAGES = ("email", "push", "sms", "whatsapp", "in_app", "inbox_message")


class Invalid(Exception):
    """A request, or an operation of one, that Customer.io refuses; `status` of the answer."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@frozen(eq=False)
class Operation:
    """One thing asked for.

    person: whom it concerns, as `id:u1`, `email:...`, `anonymous_id:...`; empty for none.
    action: v2's name of it; of a message `send_email` and the like.
    data: of an event its data, else the attributes, device or request body.
    ulid: the event's id.
    request: the number of the request it came with, `api` its kind: v1, v2 or app.
    """

    person: str
    action: str
    name: str
    data: Json
    ulid: str | None
    request: int
    api: str


@frozen
class Request:
    """A request as it was read."""

    number: int
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@frozen
class Credentials:
    """What the emulator accepts."""

    site_id: str
    api_key: str
    app_api_key: str

    def check(self, request: Request, app: bool) -> None:
        """Raise Invalid (401) for others."""
        basic = base64.b64encode(f"{self.site_id}:{self.api_key}".encode()).decode()
        wanted = f"Bearer {self.app_api_key}" if app else f"Basic {basic}"
        if request.headers.get("authorization") != wanted:
            raise Invalid("wrong credentials", 401)


Parsed = list[Operation | Invalid]


def parse(request: Request, credentials: Credentials) -> tuple[Parsed, bool]:
    """Return a request's operations, and whether it is a batch; raise Invalid for all of it.

    An operation of a batch that is invalid stands there as the reason.
    """
    path = urlsplit(request.target).path
    for pattern, method, read in _ENDPOINTS:
        if request.method == method and (match := re.fullmatch(pattern, path)):
            credentials.check(request, app=path.startswith("/v1/"))
            parts = [unquote(part, errors="strict") for part in match.groups()]
            _require(all(part.strip(".") for part in parts), f"path {path}")
            body = _body(request)
            if read is _batch:
                return _batch(body, request.number), True
            return [read(body, request.number, *parts)], False
    raise Invalid(f"no such endpoint: {request.method} {path}", 404)


def _body(request: Request) -> Json:
    if not request.body:
        return {}
    _require("json" in request.headers.get("content-type", ""), "Content-Type is not JSON", 415)
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"not JSON: {error}") from None
    _require(isinstance(body, dict), "the body is no object")
    found: Json = body
    if request.target.endswith("/batch"):
        _require(len(request.body) <= BATCH_BYTES, f"{len(request.body)} bytes of batch", 413)
    return found


def _require(holds: object, message: str, status: int = 400) -> None:
    if not holds:
        raise Invalid(message, status)


# --- Track v2 --------------------------------------------------------------------------------


def _batch(body: Json, request: int) -> Parsed:
    items = body.get("batch")
    _require(isinstance(items, list) and items, "batch: a list that is not empty")
    assert isinstance(items, list)
    return [_of_batch(item, request) for item in items]


def _of_batch(item: Any, request: int) -> Operation | Invalid:
    try:
        return _entity(item, request)
    except Invalid as error:
        return error


def _entity(item: Json, request: int) -> Operation:
    _require(isinstance(item, dict), "an operation is an object")
    kind, action = item.get("type"), item.get("action")
    _require(kind in ACTIONS, f"type {kind!r}")
    _require(action in ACTIONS[str(kind)], f"action {action!r}")
    _require(len(orjson.dumps(item)) <= OPERATION_BYTES, "operation over 32 kb")
    _time(item.get("timestamp"), "timestamp")
    attributes = item.get("attributes", {})
    _require(isinstance(attributes, dict), "attributes is no object")
    _require("data" not in item, "data: v2 calls it attributes")
    if action == "merge":
        person = _one(item.get("primary"), {"id", "email", "cio_id"})
        _one(item.get("secondary"), {"id", "email", "cio_id"})
        return _operation(person, "merge", "", item, None, request, "v2")
    if kind == "object":
        names = item.get("identifiers")
        _require(isinstance(names, dict) and _strings(names), "identifiers of an object")
        return _operation("", f"object_{action}", "", item, None, request, "v2")
    allowed = {"id", "email", "cio_id", "phone"} | ({"anonymous_id"} if action in EVENTS else set())
    person = _one(item.get("identifiers"), allowed)
    if action == "identify":
        _attributes(attributes)
    if action in EVENTS:
        return _event(person, str(action), item, attributes, request, "v2")
    if str(action).endswith("_device"):
        device = item.get("device")
        _require(isinstance(device, dict) and _text(device.get("token")), "device.token")
        assert isinstance(device, dict)
        _device(device, add=action == "add_device")
        return _operation(person, str(action), str(device["token"]), device, None, request, "v2")
    if "relationships" in str(action):
        _require(isinstance(item.get("cio_relationships"), list), "cio_relationships is no list")
    content = attributes if action == "identify" else item
    return _operation(person, str(action), "", content, None, request, "v2")


def _one(names: Any, allowed: set[str]) -> str:
    _require(isinstance(names, dict) and len(names) == 1, "exactly one identifier")
    ((key, value),) = names.items()
    _require(key in allowed, f"identifier {key}")
    _require(_text(value) and len(value.encode()) <= 150, f"{key}: a string of 1 to 150 bytes")
    return f"{key}:{value}"


# --- what both versions share ----------------------------------------------------------------


def _event(person: str, action: str, body: Json, data: Json, request: int, api: str) -> Operation:
    name, ulid = body.get("name"), body.get("id")
    _require(_text(name) and str(name).strip(), "name cannot be blank")
    _require(len(str(name).encode()) <= 100, "event name cannot be longer than 100 bytes")
    _require(ulid is None or (_text(ulid) and ULID.match(ulid)), f"id {ulid!r} is no ULID")
    _time(body.get("timestamp"), "timestamp")
    return _operation(person, action, str(name), data, ulid, request, api)


def _attributes(attributes: Json) -> None:
    _require(len(attributes) <= 300, "cannot identify more than 300 attributes in one request")
    for name, value in attributes.items():
        _require(len(name.encode()) <= 150, "attribute name cannot be longer than 150 bytes")
        size = len(value.encode()) if isinstance(value, str) else 0
        _require(size <= 1000, f"value for attribute '{name}' cannot be longer than 1000 bytes")


def _device(device: Json, add: bool) -> None:
    if add:
        _require(device.get("platform") in ("ios", "android"), "device.platform")
        _time(device.get("last_used"), "device.last_used")


def _operation(
    person: str, action: str, name: str, data: Json, ulid: str | None, request: int, api: str
) -> Operation:
    return Operation(person, action, name, data, ulid, request, api)


def _time(value: Any, what: str) -> None:
    plain = value is None or (type(value) is int and 0 < value < 100_000_000_000)
    _require(plain, f"{what} {value!r}: unix seconds")


def _text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _strings(names: Mapping[str, object]) -> bool:
    return bool(names) and all(map(_text, names.values()))


# --- Track v1 --------------------------------------------------------------------------------


def _who(identifier: str) -> str:
    _require(len(identifier.encode()) <= 150, "id longer than 150 bytes")
    if identifier.startswith("cio_"):
        return f"cio_id:{identifier[4:]}"
    return f"email:{identifier}" if "@" in identifier else f"id:{identifier}"


def _identify(body: Json, request: int, person: str) -> Operation:
    _time(body.get("_timestamp"), "_timestamp")
    _attributes(body)
    return _operation(_who(person), "identify", "", body, None, request, "v1")


def _v1_event(body: Json, request: int, person: str = "") -> Operation:
    data = body.get("data", {})
    _require(isinstance(data, dict), "event data must be a hash")
    _require(len(orjson.dumps(data)) <= V1_DATA_BYTES, "event data over 100000 bytes")
    action = body.get("type", "event")
    _require(action in EVENTS, f"type {action!r}")
    anonymous = body.get("anonymous_id")
    _require(anonymous is None or _text(anonymous), "anonymous_id")
    _require(person or anonymous or _text(data.get("recipient")), "recipient of an invite")
    whom = _who(person) if person else f"anonymous_id:{anonymous}" if anonymous else ""
    return _event(whom, action, body, data, request, "v1")


def _deed(action: str) -> Callable[[Json, int, str], Operation]:
    def read(body: Json, request: int, person: str) -> Operation:
        return _operation(_who(person), action, "", body, None, request, "v1")

    return read


def _add_device(body: Json, request: int, person: str) -> Operation:
    device = body.get("device")
    _require(isinstance(device, dict) and _text(device.get("id")), "device.id")
    assert isinstance(device, dict)
    _device(device, add=True)
    token = str(device["id"])
    return _operation(_who(person), "add_device", token, device, None, request, "v1")


def _delete_device(body: Json, request: int, person: str, token: str) -> Operation:
    return _operation(_who(person), "delete_device", token, body, None, request, "v1")


def _merge(body: Json, request: int) -> Operation:
    person = _one(body.get("primary"), {"id", "email", "cio_id"})
    _one(body.get("secondary"), {"id", "email", "cio_id"})
    return _operation(person, "merge", "", body, None, request, "v1")


# --- App API ---------------------------------------------------------------------------------


def _send(body: Json, request: int, channel: str) -> Operation:
    _require(channel in MESSAGES, f"no such endpoint: /v1/send/{channel}", 404)
    names = body.get("identifiers")
    person = _one(names, {"id", "email", "cio_id"}) if names is not None else ""
    _require(person or _text(body.get("to")), "identifiers")
    _time(body.get("send_at"), "send_at")
    template = str(body.get("transactional_message_id", ""))
    return _operation(person, f"send_{channel}", template, body, None, request, "app")


_Reader = Callable[..., Any]
_PERSON = "/api/v1/customers/([^/]+)"
_ENDPOINTS: tuple[tuple[str, str, _Reader], ...] = (
    ("/api/v2/batch", "POST", _batch),
    ("/api/v2/entity", "POST", _entity),
    (f"{_PERSON}/events", "POST", _v1_event),
    (_PERSON, "PUT", _identify),
    ("/api/v1/events", "POST", _v1_event),
    (_PERSON, "DELETE", _deed("delete")),
    (f"{_PERSON}/suppress", "POST", _deed("suppress")),
    (f"{_PERSON}/unsuppress", "POST", _deed("unsuppress")),
    (f"{_PERSON}/devices", "PUT", _add_device),
    (f"{_PERSON}/devices/([^/]+)", "DELETE", _delete_device),
    ("/api/v1/merge_customers", "POST", _merge),
    ("/v1/send/([a-z_]+)", "POST", _send),
)
