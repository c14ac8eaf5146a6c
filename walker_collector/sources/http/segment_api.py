"""Segment's HTTP API: its calls as events, and the answers that its SDKs expect.

Shapes: Segment's documentation of the Spec and the HTTP Tracking API. RudderStack's and
Customer.io's Data Pipelines SDKs speak the same.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from walker_collector.moments import parse_ms
from walker_collector.sources.http.call import Call, Outcome
from walker_collector.sources.http.messages import (
    NotStored,
    RequestRejected,
    Response,
    json_response,
)

_KINDS: Final = {
    "t": "track",
    "i": "identify",
    "p": "page",
    "s": "screen",
    "g": "group",
    "a": "alias",
    "b": "batch",
    "import": "batch",
}
KINDS: Final = frozenset({"track", "identify", "page", "screen", "group", "alias", "batch"})
_NAMES: Final = {
    "identify": "user identify",
    "page": "page view",
    "screen": "screen view",
    "group": "group identify",
    "alias": "user alias",
}
_MOVED: Final = frozenset(
    {"messageId", "userId", "anonymousId", "properties", "timestamp", "originalTimestamp"}
    | {"sentAt", "writeKey", "receivedAt"}
)
"""Keys of a call that have a place of their own in the event, or are no part of it."""
_OF_PAGE: Final = ("url", "path", "title", "referrer")
"""Keys of `context.page` that complete the properties of a page view."""
_SETTINGS: Final = re.compile(r"/(?:v1/)?projects/[^/]+/settings")


def kind_of(path: str) -> str | None:
    """Return the kind of call that is posted to a path; None: it is not Segment's."""
    version, _, name = path.removeprefix("/").partition("/")
    if version != "v1":
        return None
    name = _KINDS.get(name, name)
    return name if name in KINDS else None


def is_settings(path: str) -> bool:
    """Return whether analytics.js asks for its settings there, before it sends."""
    return _SETTINGS.fullmatch(path) is not None


def settings_response(path: str, host: str) -> Response:
    """Return the settings of analytics.js: it sends to this host alone."""
    sends_to = {"apiKey": path.split("/")[-2], "apiHost": f"{host}/v1", "type": "browser"}
    return json_response(200, {"integrations": {"Segment.io": sends_to}, "plan": {}})


def call_of(kind: str, body: Any, names: Mapping[str, str], max_batch: int, received: int) -> Call:
    """Return the call of a POST. `received` is the time of receipt (ms)."""
    if not isinstance(body, Mapping):
        raise RequestRejected(400, "the body must be an object")
    if kind != "batch":
        event = event_of({**body, "type": kind}, names, received, body.get("sentAt"))
        return Call([event], _single)
    calls = body.get("batch")
    if not isinstance(calls, list):
        raise RequestRejected(400, "batch: must be a list of calls")
    if len(calls) > max_batch:
        raise RequestRejected(400, f"the batch has more than {max_batch:,} calls (maxBatch)")
    shared = {key: body[key] for key in ("context", "integrations") if key in body}
    return Call(
        [_or_refused(call, shared, names, received, body.get("sentAt")) for call in calls], _batch
    )


def _or_refused(
    call: Any, shared: Mapping[str, Any], names: Mapping[str, str], received: int, sent: Any
) -> Any:
    """Return the event of a call in a batch, or the reason against it."""
    try:
        if not isinstance(call, Mapping):
            raise RequestRejected(400, "a call must be an object")
        return event_of({**shared, **call}, names, received, sent)
    except RequestRejected as error:
        return error


def event_of(
    call: Mapping[str, Any], names: Mapping[str, str], received: int, sent: Any
) -> dict[str, Any]:
    """Return the event of a call; raises RequestRejected for one without a kind, name or person."""
    kind = call.get("type")
    if not isinstance(kind, str) or kind not in KINDS or kind == "batch":
        raise RequestRejected(400, "type: must be track, identify, page, screen, group or alias")
    user = _user(kind, call)
    if not user:
        raise RequestRejected(400, "userId or anonymousId is needed")
    event: dict[str, Any] = {
        "name": _name(kind, call, names),
        "data": _data(kind, call),
        "user": user,
        "custom": {"segment": _rest(kind, call)},
        "source": {"type": "segment"},
    }
    if isinstance(id_ := call.get("messageId"), str) and id_:
        event["id"] = id_
    if (timestamp := corrected(call, sent, received)) is not None:
        event["timestamp"] = timestamp
    if (consent := _consent(call)) is not None:
        event["consent"] = consent
    return event


def _name(kind: str, call: Mapping[str, Any], names: Mapping[str, str]) -> str:
    if kind != "track":
        return _NAMES[kind]
    given = call.get("event")
    if not isinstance(given, str) or not given.strip():
        raise RequestRejected(400, "event: a track call needs a name")
    if given in names:
        return names[given]
    words = given.lower().split()
    return " ".join(words if len(words) > 1 else (*words, "track"))


def _user(kind: str, call: Mapping[str, Any]) -> dict[str, Any]:
    device = call.get("previousId") if kind == "alias" else call.get("anonymousId")
    named = {"id": call.get("userId"), "device": device}
    return {key: value for key, value in named.items() if value not in (None, "")}


def _data(kind: str, call: Mapping[str, Any]) -> dict[str, Any]:
    of_person = kind in ("identify", "group", "alias")
    key = "traits" if of_person else "properties"
    data = call.get(key)
    if data is None:
        data = {}
    if not isinstance(data, Mapping):
        raise RequestRejected(400, f"{key}: must be an object")
    if kind == "identify":  # RudderStack's SDKs put them there, and leave `traits` out
        return dict(data or _of_context(call, "traits"))
    if kind in ("page", "screen"):
        named = {key: call[key] for key in ("name", "category") if call.get(key) is not None}
        data = {**named, **data}
    if kind == "page":  # SDKs of servers and some of pages tell it there alone
        page = _of_context(call, "page")
        lacking = [key for key in _OF_PAGE if data.get(key) is None and page.get(key)]
        data = {**data, **{key: page[key] for key in lacking}}
    return dict(data)


def _of_context(call: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an object of the call's context; an empty one where it has none."""
    context = call.get("context")
    found = context.get(key) if isinstance(context, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _rest(kind: str, call: Mapping[str, Any]) -> dict[str, Any]:
    moved = _MOVED | ({"traits"} if kind in ("identify", "group", "alias") else set())
    moved |= {"previousId"} if kind == "alias" else set()
    rest = {key: value for key, value in call.items() if key not in moved}
    context = rest.get("context")
    if isinstance(context, Mapping) and "ip" in context:  # kept as `ip` says, not as clients do
        rest["context"] = {key: value for key, value in context.items() if key != "ip"}
    return rest


def _consent(call: Mapping[str, Any]) -> dict[str, bool] | None:
    found = _of_context(call, "consent").get("categoryPreferences")
    if not isinstance(found, Mapping):
        return None
    return {key: value for key, value in found.items() if isinstance(value, bool)}


def corrected(call: Mapping[str, Any], sent: Any, received: int) -> int | None:
    """Return the time of a call (ms) by the server's clock; None: it tells none.

    A client's clock may be wrong: the time from the event to the request is right all the same.
    """
    at = _ms(call.get("timestamp") or call.get("originalTimestamp"))
    if at is None:
        return None
    sent_at = _ms(call.get("sentAt") or sent)
    return at if sent_at is None else min(received, received - (sent_at - at))


def _ms(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    try:
        return parse_ms(value)
    except (ValueError, OverflowError):
        return None


def refusal(error: RequestRejected) -> Response:
    """Return the answer to a refused request, in the form that SDKs read."""
    body = {"success": False, "code": error.code, "message": error.message}
    return json_response(error.status, body, error.headers)


def _single(outcomes: Sequence[Outcome]) -> Response:
    if (refused := outcomes[0].refused) is not None:
        raise refused
    return json_response(200, {"success": True})


def _batch(outcomes: Sequence[Outcome]) -> Response:
    """Return the answer to a batch; raises RequestRejected if its sender is to send it again, or if
    all of its calls are refused.

    SDKs look at the status alone. They send again under the same `messageId`: none counts twice.
    """
    failed = [(at, item.refused) for at, item in enumerate(outcomes) if item.refused]
    if not failed:
        return json_response(200, {"success": True})
    for _, error in failed:
        if isinstance(error, NotStored):
            raise error
    if len(failed) == len(outcomes):
        raise failed[0][1]
    errors = [{"index": at, "error": error.message} for at, error in failed]
    return json_response(200, {"success": True, "errors": errors})
