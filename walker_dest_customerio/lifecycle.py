"""What a mapping rule asks of Customer.io beside its event: pure, no I/O.

Each step makes one operation of an event, or none where the rule's value does not make what the
operation needs. Conditions are those of walkerOS's Customer.io destination.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

from walker_collector import MISSING, PushContext
from walker_dest_customerio.ids import event_id
from walker_dest_customerio.operations import (
    AddDevice,
    Delete,
    DeleteDevice,
    Json,
    Merge,
    Message,
    Operation,
    Page,
    SendEmail,
    SendPush,
    Suppress,
    Unsuppress,
)
from walker_dest_customerio.people import identity
from walker_dest_customerio.settings import RuleSettings

Step = Callable[[Json, PushContext, RuleSettings, str], Operation | None]
"""Makes an operation of event, context, the rule's settings and the person's customer id."""

_NUMBERS = (int, float)


def steps_of(settings: RuleSettings) -> tuple[Step, ...]:
    """Return the steps that the rule's settings ask for, in the order they happen."""
    return tuple(step for name, step in _STEPS if getattr(settings, name))


def messages(event: Json, context: PushContext, settings: RuleSettings) -> Iterator[Message]:
    """Yield the messages that the rule asks for; strangers get them as well."""
    email = object_of(settings.send_email, event, context)
    if email is not None:
        yield SendEmail(_addressed(email))
    push = object_of(settings.send_push, event, context)
    if push is not None:
        yield SendPush(_addressed(push))


def object_of(value: Any, event: Json, context: PushContext) -> Json | None:
    """Resolve a configured value; None unless it is there and makes an object."""
    made = MISSING if value is None else value(event, context)
    return made if isinstance(made, dict) else None


def seconds(event: Json) -> int | None:
    """Return the event's time in unix seconds; 0 counts as none."""
    when = event.get("timestamp")
    return math.floor(when / 1000) if isinstance(when, _NUMBERS) and when else None


def with_texts(made: Json, *keys: str) -> Json:
    """Return the object with numbers under `keys` as strings: Customer.io takes no other ids."""
    for key in keys:
        if key in made and type(made[key]) in _NUMBERS:
            made = {**made, key: identity(made[key])}
    return made


def _page(
    event: Json, context: PushContext, settings: RuleSettings, person: str
) -> Operation | None:
    made = object_of(settings.page, event, context)
    url = made and made.get("url")
    if not made or not isinstance(url, str) or not url:
        return None
    data = {key: value for key, value in made.items() if key != "url"}
    return Page(person, url, data, seconds(event), event_id(event, context.id, "page"))


def _delete(
    event: Json, context: PushContext, settings: RuleSettings, person: str
) -> Operation | None:
    return Delete(person) if settings.destroy is True else None


def _suppress(
    event: Json, context: PushContext, settings: RuleSettings, person: str
) -> Operation | None:
    return Suppress(person) if settings.suppress is True else None


def _unsuppress(
    event: Json, context: PushContext, settings: RuleSettings, person: str
) -> Operation | None:
    return Unsuppress(person) if settings.unsuppress is True else None


def _add_device(
    event: Json, context: PushContext, settings: RuleSettings, person: str
) -> Operation | None:
    made = object_of(settings.add_device, event, context)
    device = _strings(made, "deviceId", "platform")
    if made is None or device is None:
        return None
    data = made.get("data")
    id_, platform = device
    return AddDevice(person, id_, platform, data if isinstance(data, dict) else None)


def _delete_device(
    event: Json, context: PushContext, settings: RuleSettings, person: str
) -> Operation | None:
    device = _strings(object_of(settings.delete_device, event, context), "deviceId", "platform")
    return None if device is None else DeleteDevice(person, *device)


def _merge(
    event: Json, context: PushContext, settings: RuleSettings, person: str
) -> Operation | None:
    made = object_of(settings.merge, event, context)
    texts = made and with_texts(made, "primaryId", "secondaryId")
    parts = _strings(texts, "primaryType", "primaryId", "secondaryType", "secondaryId")
    return None if parts is None else Merge(*parts)


def _addressed(request: Json) -> Json:
    named = request.get("identifiers")
    if not isinstance(named, dict):
        return request
    texts = with_texts(named, *named)
    return request if texts is named else {**request, "identifiers": texts}


def _strings(made: Json | None, *keys: str) -> list[str] | None:
    """Return the values under `keys` if each is a string with something in it."""
    found = [(made or {}).get(key) for key in keys]
    strings = [value for value in found if isinstance(value, str) and value]
    return strings if len(strings) == len(keys) else None


_STEPS: tuple[tuple[str, Step], ...] = (
    ("page", _page),
    ("destroy", _delete),
    ("suppress", _suppress),
    ("unsuppress", _unsuppress),
    ("add_device", _add_device),
    ("delete_device", _delete_device),
    ("merge", _merge),
)
