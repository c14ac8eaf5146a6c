"""Events as Kafka messages: key, headers and value. Pure.

    key     b"id:u1": the strongest identifier of the event's person; none without a person
    value   the event as JSON; a command (`walker consent`) has the same form
    headers walker-schema      b"1": the value is an event in this form
            walker-name        the event's name
            walker-id          the event's id
            walker-trust       b"trusted", b"claimed" or b"limited": see `Received`
            walker-learn       b"1": the event's consent is to be remembered for its person
            walker-stated-at   the moment that its consent was stated, in µs since 1970

Events with the same identifiers have the same key, whoever sends them. What a collector knows of
its people has no part in it: several do not know the same, and one that is started again may have
forgotten it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from walker_collector.errors import Rejected
from walker_collector.hookspecs import Received

SCHEMA: Final = b"1"
"""The form of events in messages; it goes up with a change that readers must follow."""
Headers = list[tuple[str, bytes]]

_SCHEMA: Final = "walker-schema"
_NAME: Final = "walker-name"
_ID: Final = "walker-id"
_TRUST: Final = "walker-trust"
_LEARN: Final = "walker-learn"
_STATED_AT: Final = "walker-stated-at"
_KINDS: Final = ("id", "device", "session")
"""The identifiers of a person, strongest first."""
_YES: Final = b"1"
_DIGITS: Final = 18
"""Digits of a moment, at most: it is a number of 64 bits."""


def key_of(event: Mapping[str, Any]) -> bytes | None:
    """Return the key of an event's message: those of one key stay in order."""
    user = event.get("user")
    if not isinstance(user, Mapping):
        return None
    for kind in _KINDS:
        value = user.get(kind)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value not in (None, "") and not isinstance(value, bool | list | dict):
            return f"{kind}:{value}".encode()
    return None


def value_of(content: Any) -> bytes:
    """Return an event, or the mapped data, as JSON; raises Rejected if JSON cannot express it."""
    try:
        return orjson.dumps(content)
    except TypeError as error:
        raise Rejected(f"cannot be written as JSON: {error}") from None


def headers_of(event: Mapping[str, Any], received: Received, *, mapped: bool = False) -> Headers:
    """Return the headers of an event's message.

    `mapped`: the value is not the event but what a rule made of it, for readers of their own.
    """
    headers = [] if mapped else [(_SCHEMA, SCHEMA)]
    headers += [
        (_NAME, str(event["name"]).encode()),
        (_ID, str(event.get("id", "")).encode()),
        (_TRUST, _trust_of(received)),
    ]
    if received.learn:
        headers.append((_LEARN, _YES))
    if received.stated_at is not None:
        headers.append((_STATED_AT, b"%d" % received.stated_at))
    return headers


def is_event(headers: Iterable[tuple[str, bytes | None]] | None) -> bool:
    """Return whether a message has an event in this form, by its headers."""
    return dict(headers or ()).get(_SCHEMA) == SCHEMA


def has_other_schema(headers: Iterable[tuple[str, bytes | None]] | None) -> bool:
    """Return whether a message says that its event has a form of another version."""
    return dict(headers or ()).get(_SCHEMA, SCHEMA) != SCHEMA


def received_of(
    event: Any, headers: Iterable[tuple[str, bytes | None]] | None, sender: Received
) -> Received:
    """Return the event of a message, as the collector that sent it received it.

    event: as `Received` takes it.
    sender: says how a message counts that comes without these headers, from another producer.
    """
    found = dict(headers or ())
    trust = found.get(_TRUST)
    if trust is None:
        return Received(event, sender.trusted, sender.limited, sender.learn)
    return Received(
        event,
        trusted=trust == b"trusted",
        limited=trust not in (b"trusted", b"claimed"),  # the least, of a word that is not known
        learn=found.get(_LEARN) == _YES,
        stated_at=_moment(found.get(_STATED_AT)),
    )


def _trust_of(received: Received) -> bytes:
    if received.trusted:
        return b"trusted"
    return b"limited" if received.limited else b"claimed"


def _moment(text: bytes | None) -> int | None:
    return int(text) if text is not None and text.isdigit() and len(text) <= _DIGITS else None
