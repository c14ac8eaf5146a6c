"""App API: transactional messages of every channel.

Source: the App API reference on transactional messages, and its page of common errors
(https://docs.customer.io/journeys/send/transactional/api-common-api-errors/); the wording of errors
not quoted there is ours. `identifiers` is required of all but email: the reference does not mark it
there, though the README of the official SDK calls it required. Transactional messages, sender
domains, attachment types and languages are not modelled: each one that is named exists.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import orjson

from walker_dest_customerio import limits
from walker_dest_customerio.sandbox.api_call import ApiCall
from walker_dest_customerio.sandbox.checks import is_integer, is_object, is_text, unknown_keys
from walker_dest_customerio.sandbox.received import JsonObject, ReceivedSend, identifier
from walker_dest_customerio.sandbox.response import Response, as_json, one_error
from walker_dest_customerio.sandbox.v1_checks import MERGE_KINDS, PLATFORMS

SHARED_SWITCHES = frozenset(
    {"disable_message_retention", "send_to_unsubscribed", "queue_draft", "auto_create"}
)
EMAIL_SWITCHES = frozenset({"fake_bcc", "tracked", "disable_css_preprocessing"})
SHARED_FIELDS = SHARED_SWITCHES | {
    "transactional_message_id",
    "identifiers",
    "message_data",
    "send_at",
    "language",
}
EMAIL_TEXTS = (
    *("to", "cc", "bcc", "from", "reply_to", "subject", "preheader"),
    *("body", "body_plain", "body_amp"),
)
EMAIL_FIELDS = SHARED_FIELDS | EMAIL_SWITCHES | {*EMAIL_TEXTS, "attachments", "headers"}
PUSH_TEXTS = ("to", "title", "message", "image_url", "link")
PUSH_FIELDS = SHARED_FIELDS | {
    *PUSH_TEXTS,
    "sound",
    "custom_data",
    "custom_payload",
    "custom_device",
}


def messages(call: ApiCall) -> Response:
    """GET /v1/transactional: the list of messages, which are not modelled"""
    return Response(200, as_json({"messages": []}), operations=0)


def send(channel: str, call: ApiCall) -> Response:
    """POST /v1/send/CHANNEL"""
    request = _request(call)
    if request is None:
        return one_error(400, "Request entity must be JSON encoded and not exceed 2048 KB")
    problem = next(CHANNELS[channel](request, call.now), None)
    if problem is not None:
        return one_error(400, problem)
    if _attachment_bytes(request) > limits.ATTACHMENTS:
        return one_error(413, "Total attachment size exceeds the limit")
    names = request.get("identifiers")
    who = identifier(*next(iter(names.items()))) if names else None
    message = call.workspace.send(ReceivedSend(channel, request, who), call.now)
    answer = {"delivery_id": message["delivery_id"], "queued_at": message["queued_at"]}
    if request.get("send_at", 0) > call.now:
        answer["send_at"] = request["send_at"]
    return Response(200, as_json(answer))


def _request(call: ApiCall) -> JsonObject | None:
    return call.content() if len(call.body) <= limits.APP_REQUEST else None


def check_email(request: JsonObject, now: float) -> Iterator[str]:
    """Yield the mistakes of an email.

    `to` is required, and the content too, unless a stored message has it.
    """
    yield from _required(request, "to")
    if "transactional_message_id" not in request:
        yield from _required(request, "body", "subject", "from")
    yield from _check_shared(request, EMAIL_FIELDS, now)
    yield from _check_texts(request, EMAIL_TEXTS)
    if limits.recipients(request) > limits.RECIPIENTS:
        yield "to, cc and bcc cannot have more than 15 recipients together"
    if not _are_attachments(request.get("attachments", {})):
        yield "attachments must be a map of file names to base64 encoded content"
    if not _are_headers(request.get("headers", "[]")):
        yield "headers must be a JSON encoded list of name and value"


def check_push(request: JsonObject, now: float) -> Iterator[str]:
    """Yield the mistakes of a push; its `custom_device` is added to the person when it is sent."""
    yield from _required(request, "transactional_message_id", "identifiers")
    yield from _check_shared(request, PUSH_FIELDS, now)
    yield from _check_texts(request, PUSH_TEXTS)
    if request.get("sound", "default") not in ("default", "none"):
        yield "sound must be default or none"
    for name in ("custom_data", "custom_payload"):
        if not is_object(request.get(name, {})):
            yield f"{name} must be an object"
    if "custom_device" in request and not _is_device(request["custom_device"]):
        yield "custom_device must have a token, and a platform of ios or android"


def _check_template(fields: frozenset[str], request: JsonObject, now: float) -> Iterator[str]:
    """Yield the mistakes of a message with the content of a template."""
    yield from _required(request, "transactional_message_id", "identifiers")
    yield from _check_shared(request, fields, now)
    yield from _check_texts(request, ("to",))


IN_APP_FIELDS = SHARED_FIELDS - {"send_to_unsubscribed"}
SMS_FIELDS = SHARED_FIELDS | {"to"}
WHATSAPP_FIELDS = SMS_FIELDS | {"tracked"}
CHANNELS: dict[str, Callable[[JsonObject, float], Iterator[str]]] = {
    "email": check_email,
    "push": check_push,
    "sms": partial(_check_template, SMS_FIELDS),
    "whatsapp": partial(_check_template, WHATSAPP_FIELDS),
    "in_app": partial(_check_template, IN_APP_FIELDS),
    "inbox_message": partial(_check_template, IN_APP_FIELDS),
}
"""The channels, as they stand in the path, and the check of each."""


def _required(request: JsonObject, *names: str) -> Iterator[str]:
    return (f"{name} is required" for name in names if request.get(name) in (None, "", {}))


def _check_shared(request: JsonObject, known: frozenset[str], now: float) -> Iterator[str]:
    yield from (f"unknown field {name}" for name in unknown_keys(request, known))
    message_id = request.get("transactional_message_id", 1)
    if not is_integer(message_id) and not is_text(message_id):
        yield "transactional_message_id must be a number or a trigger name"
    if "identifiers" in request and not _is_person(request["identifiers"]):
        yield "identifiers must have exactly one of id, email and cio_id, a string"
    if not is_object(request.get("message_data", {})):
        yield "message_data must be an object"
    send_at = request.get("send_at", 0)
    if not is_integer(send_at) or send_at > now + limits.SEND_AHEAD:
        yield "send_at must be an integer (unix seconds) at most 90 days ahead"
    for name, value in request.items():
        if name in SHARED_SWITCHES | EMAIL_SWITCHES and not isinstance(value, bool):
            yield f"{name} must be a boolean"


def _check_texts(request: JsonObject, names: Iterable[str]) -> Iterator[str]:
    wrong = (name for name in names if not isinstance(request.get(name, ""), str))
    return (f"{name} must be a string" for name in wrong)


def _is_person(names: object) -> bool:
    return (
        is_object(names)
        and len(names) == 1
        and all(kind in MERGE_KINDS and is_text(value) for kind, value in names.items())
    )


def _is_device(device: object) -> bool:
    return (
        is_object(device)
        and is_text(device.get("token"))
        and device.get("platform") in PLATFORMS
        and is_object(device.get("attributes", {}))
    )


def _are_attachments(attachments: object) -> bool:
    return is_object(attachments) and all(map(_is_base64, attachments.values()))


def _is_base64(content: object) -> bool:
    if not isinstance(content, str):
        return False
    try:
        base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _are_headers(headers: object) -> bool:
    """Return whether headers are JSON text, or JSON as in the reference's own example."""
    if isinstance(headers, str):
        try:
            headers = orjson.loads(headers)
        except orjson.JSONDecodeError:
            return False
    return isinstance(headers, (list, dict))


def _attachment_bytes(request: JsonObject) -> int:
    return sum(map(len, request.get("attachments", {}).values()))
