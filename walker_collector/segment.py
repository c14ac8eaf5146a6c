"""Segment's calls as events to push, for applications that come from its library for Python.

    from walker_collector import segment

    collector.push(segment.track("ines", "Order Completed", {"total": 25.5}))

Each function takes the arguments of the function of its name in `segment.analytics`, in the same
order, and returns the event that the source `http` makes of that call: names, parts and the rest
under `custom.segment`. `from_call` does the same to a call as files of Segment and RudderStack have
it. None of them sends anything. They raise EventError for a call without a person or a name, and
for a time that cannot be read.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from walker_collector.errors import EventError
from walker_collector.moments import now_ms
from walker_collector.sources.http.messages import RequestRejected
from walker_collector.sources.http.segment_api import event_of
from walker_collector.usage import answering

__all__ = ["alias", "from_call", "group", "identify", "page", "screen", "track"]

Object = Mapping[str, Any]
Id = str | int

_SCALARS: Final = {
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "groupId": "group_id",
    "previousId": "previous_id",
    "category": "category",
    "name": "name",
    "event": "event",
}
"""Keys of calls that hold text or a number, with their arguments."""
_NO_NAMES: Final[Mapping[str, str]] = {}


def from_call(call: Object, *, names: Mapping[str, str] = _NO_NAMES) -> dict[str, Any]:
    """Return the event of a stored call: an object with `type`, as in a line of an export.

    Its `timestamp` counts as it is: whoever stored the call has corrected it by `sentAt` before.
    Without one it is refused, as old events must not become events of today. `names` is that of
    `track`.
    """
    if not isinstance(call, Mapping):
        raise EventError("a call must be an object")
    stored = {key: value for key, value in call.items() if key != "sentAt"}
    try:
        event = event_of(stored, names, now_ms(), None)
    except RequestRejected as error:
        raise EventError(error.message) from None
    if "timestamp" not in event:
        raise EventError("timestamp: is missing, or no ISO 8601 text")
    return event


@answering('segment.identify("u1", {"plan": "pro"})')
def identify(
    user_id: Id | None = None,
    traits: Object | None = None,
    context: Object | None = None,
    timestamp: date | str | None = None,
    anonymous_id: Id | None = None,
    integrations: Object | None = None,
    message_id: str | None = None,
) -> dict[str, Any]:
    """Return the event `user identify`, with the traits as its data."""
    return _event(
        "identify",
        timestamp,
        userId=user_id,
        anonymousId=anonymous_id,
        traits=traits,
        context=context,
        integrations=integrations,
        messageId=message_id,
    )


@answering('segment.track("u1", "Order Completed", {"total": 25.5})')
def track(
    user_id: Id | None = None,
    event: str | None = None,
    properties: Object | None = None,
    context: Object | None = None,
    timestamp: date | str | None = None,
    anonymous_id: Id | None = None,
    integrations: Object | None = None,
    message_id: str | None = None,
    *,
    names: Mapping[str, str] = _NO_NAMES,
) -> dict[str, Any]:
    """Return the event of an action: "Order Completed" becomes `order completed`.

    A name of one word gets the action `track`. `names` maps the names for which that is not wanted,
    like the setting of the source.
    """
    return _event(
        "track",
        timestamp,
        names,
        userId=user_id,
        anonymousId=anonymous_id,
        event=event,
        properties=properties,
        context=context,
        integrations=integrations,
        messageId=message_id,
    )


@answering('segment.page("u1", "docs", "Start", {"url": "/"})')
def page(
    user_id: Id | None = None,
    category: str | None = None,
    name: str | None = None,
    properties: Object | None = None,
    context: Object | None = None,
    timestamp: date | str | None = None,
    anonymous_id: Id | None = None,
    integrations: Object | None = None,
    message_id: str | None = None,
) -> dict[str, Any]:
    """Return the event `page view`; name and category go into its data, where absent there."""
    return _event(
        "page",
        timestamp,
        userId=user_id,
        anonymousId=anonymous_id,
        properties=properties,
        category=category,
        name=name,
        context=context,
        integrations=integrations,
        messageId=message_id,
    )


@answering('segment.screen("u1", "docs", "Start")')
def screen(
    user_id: Id | None = None,
    category: str | None = None,
    name: str | None = None,
    properties: Object | None = None,
    context: Object | None = None,
    timestamp: date | str | None = None,
    anonymous_id: Id | None = None,
    integrations: Object | None = None,
    message_id: str | None = None,
) -> dict[str, Any]:
    """Return the event `screen view`; name and category go into its data, where absent there."""
    return _event(
        "screen",
        timestamp,
        userId=user_id,
        anonymousId=anonymous_id,
        properties=properties,
        category=category,
        name=name,
        context=context,
        integrations=integrations,
        messageId=message_id,
    )


@answering('segment.group("u1", "acme", {"plan": "pro"})')
def group(
    user_id: Id | None = None,
    group_id: Id | None = None,
    traits: Object | None = None,
    context: Object | None = None,
    timestamp: date | str | None = None,
    anonymous_id: Id | None = None,
    integrations: Object | None = None,
    message_id: str | None = None,
) -> dict[str, Any]:
    """Return the event `group identify`, with the traits of the group as its data."""
    return _event(
        "group",
        timestamp,
        userId=user_id,
        anonymousId=anonymous_id,
        groupId=group_id,
        traits=traits,
        context=context,
        integrations=integrations,
        messageId=message_id,
    )


@answering('segment.alias("session-1", "u1")')
def alias(
    previous_id: Id | None = None,
    user_id: Id | None = None,
    context: Object | None = None,
    timestamp: date | str | None = None,
    integrations: Object | None = None,
    message_id: str | None = None,
) -> dict[str, Any]:
    """Return the event `user alias`: the earlier identifier becomes a device of the person."""
    return _event(
        "alias",
        timestamp,
        userId=user_id,
        previousId=previous_id,
        context=context,
        integrations=integrations,
        messageId=message_id,
    )


def _event(
    kind: str, timestamp: date | str | None, names: Mapping[str, str] = _NO_NAMES, **call: Any
) -> dict[str, Any]:
    """Return the event of a call, made of the arguments that are not None."""
    if all(call.get(key) in (None, "") for key in ("userId", "anonymousId", "previousId")):
        raise EventError(f"{kind}: user_id or anonymous_id is needed")
    given = {key: value for key, value in call.items() if value is not None}
    _check_texts(kind, given)
    if timestamp is not None:
        given["timestamp"] = timestamp.isoformat() if isinstance(timestamp, date) else timestamp
    try:
        event = event_of({**given, "type": kind}, names, now_ms(), None)
    except RequestRejected as error:
        raise EventError(f"{kind}: {error.message}") from None
    if timestamp is not None and "timestamp" not in event:
        raise EventError(f"{kind}: timestamp: must be a datetime, or ISO 8601 text")
    return event


def _check_texts(kind: str, call: Object) -> None:
    """Raise EventError for an object in the place of a text, as in `page("ines", {...})`."""
    for key, argument in _SCALARS.items():
        if isinstance(call.get(key), Mapping | list):
            raise EventError(
                f"{kind}: {argument}: must be text, not {type(call[key]).__name__}; "
                "arguments have the order of segment.analytics, or are given by name"
            )
