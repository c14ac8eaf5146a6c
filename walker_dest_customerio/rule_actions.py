"""Operations that a mapping rule adds to its event: pure, no I/O.

Each action makes one operation from an event, or none if the rule's value resolves to nothing
usable. Conditions are those of walkerOS's Customer.io destination.
"""

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from walker_collector import MISSING, PushContext, Value
from walker_dest_customerio import limits
from walker_dest_customerio.dates import with_seconds, with_seconds_at
from walker_dest_customerio.event_ids import event_id
from walker_dest_customerio.identity import with_texts
from walker_dest_customerio.operations import (
    MESSAGES,
    AddDevice,
    Delete,
    DeleteDevice,
    Json,
    Merge,
    Message,
    Operation,
    SendEmail,
    Suppress,
    Unsuppress,
)
from walker_dest_customerio.settings import RuleSettings, Settings


class MappedEvent(Struct, eq=False):
    """An event with its mapped data, and the settings that decide on its operations.

    rule: the settings of its rule.
    name: the name that its rule gives it, if any.
    when: its time in unix seconds.
    """

    event: Json
    data: Any
    context: PushContext
    settings: Settings
    rule: RuleSettings
    name: str | None
    when: int | None

    def resolve(self, value: Value | None) -> Json | None:
        """Return the object that a configured value resolves to, or None."""
        made = MISSING if value is None else value(self.event, self.context)
        return made if isinstance(made, dict) else None


Action = Callable[[MappedEvent, str], Operation | None]
"""Makes an operation from an event and the customer id of its person."""


def actions_of(settings: RuleSettings) -> tuple[Action, ...]:
    """Return the actions of a rule, in the order of their execution."""
    return tuple(action for name, action in _ACTIONS if getattr(settings, name))


def messages_of(settings: RuleSettings) -> tuple[type[Message], ...]:
    """Return the kinds of messages that a rule sends, in the order of their sending."""
    return tuple(kind for kind in MESSAGES if getattr(settings, kind.part) is not None)


def messages(
    mapped: MappedEvent, kinds: tuple[type[Message], ...], person: str | None
) -> Iterator[Message]:
    """Yield the messages of an event; `person` is its customer id, None for an anonymous person.

    Anonymous people get messages that name their own recipient.
    """
    for kind in kinds:
        value = getattr(mapped.rule, kind.part)
        made = mapped.resolve(value)
        if made is not None and (person is not None or kind.is_sent_anyway or _recipient(made)):
            request = _message(made if kind is SendEmail else with_texts(made, "to"))
            yield kind(request, tuple(getattr(value.spec, "map", None) or ()))


def _recipient(request: Json) -> Any:
    return request.get("identifiers") or request.get("to")


def page_arguments(
    mapped: MappedEvent, identity: str
) -> tuple[str, str, Json, int | None, str | None] | None:
    """Return the arguments of a Page, or None if the rule's `page` resolves to none.

    Its name is that of the rule, else the URL as far as its query, as many bytes as Customer.io
    takes; its data holds the whole URL.
    """
    made = mapped.resolve(mapped.rule.page)
    url = made and made.get("url")
    if not made or not isinstance(url, str) or not url:
        return None
    data = with_seconds(made, ("url",)) if mapped.settings.timestamps == "unix" else made
    name = limits.cut(mapped.name or url.partition("?")[0] or url, limits.EVENT_NAME)
    id_ = event_id(mapped.event, mapped.context.destination.id, "page")
    return identity, name, data, mapped.when, id_


def screen_arguments(
    mapped: MappedEvent, identity: str
) -> tuple[str, str, Json, int | None, str | None] | None:
    """Return the arguments of a Screen, or None if the rule's `screen` resolves to none.

    Its name has as many bytes as Customer.io takes; all other keys are its data.
    """
    made = mapped.resolve(mapped.rule.screen)
    name = made and made.get("name")
    if not made or not isinstance(name, str) or not name.strip():
        return None
    data = {key: value for key, value in made.items() if key != "name"}
    if mapped.settings.timestamps == "unix":
        data = with_seconds(data)
    id_ = event_id(mapped.event, mapped.context.destination.id, "screen")
    return identity, limits.cut(name.strip(), limits.EVENT_NAME), data, mapped.when, id_


def _delete(mapped: MappedEvent, person: str) -> Operation | None:
    return Delete(person) if mapped.rule.destroy is True else None


def _suppress(mapped: MappedEvent, person: str) -> Operation | None:
    return Suppress(person) if mapped.rule.suppress is True else None


def _unsuppress(mapped: MappedEvent, person: str) -> Operation | None:
    return Unsuppress(person) if mapped.rule.unsuppress is True else None


def _add_device(mapped: MappedEvent, person: str) -> Operation | None:
    made = mapped.resolve(mapped.rule.add_device)
    device = _device(made)
    if made is None or device is None:
        return None
    data = made.get("data")
    id_, platform = device
    details = with_seconds_at(data, "last_used") if isinstance(data, dict) else None
    return AddDevice(person, id_, platform, details)


def _delete_device(mapped: MappedEvent, person: str) -> Operation | None:
    device = _device(mapped.resolve(mapped.rule.delete_device))
    return None if device is None else DeleteDevice(person, *device)


def _merge(mapped: MappedEvent, person: str) -> Operation | None:
    made = mapped.resolve(mapped.rule.merge)
    texts = made and with_texts(made, "primaryId", "secondaryId")
    parts = _strings(texts, "primaryType", "primaryId", "secondaryType", "secondaryId")
    return None if parts is None else Merge(*parts)


def _device(made: Json | None) -> list[str] | None:
    """Return token and platform; a token may be a number."""
    return _strings(made and with_texts(made, "deviceId"), "deviceId", "platform")


def _message(request: Json) -> Json:
    """Return a message with numeric ids and tokens as texts, and its times as unix seconds."""
    request = with_seconds_at(request, "send_at")
    named, device = request.get("identifiers"), request.get("custom_device")
    if isinstance(named, dict):
        request = {**request, "identifiers": with_texts(named, *named)}
    if isinstance(device, dict):
        device = with_seconds_at(with_texts(device, "token"), "last_used")
        request = {**request, "custom_device": device}
    return request


def _strings(made: Json | None, *keys: str) -> list[str] | None:
    """Return the values under `keys` if all are non-empty strings."""
    found = [(made or {}).get(key) for key in keys]
    strings = [value for value in found if isinstance(value, str) and value]
    return strings if len(strings) == len(keys) else None


_ACTIONS: tuple[tuple[str, Action], ...] = (
    ("destroy", _delete),
    ("suppress", _suppress),
    ("unsuppress", _unsuppress),
    ("add_device", _add_device),
    ("delete_device", _delete_device),
    ("merge", _merge),
)
