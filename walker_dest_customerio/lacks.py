"""The reasons for which a rule makes nothing of an event. Pure."""

from collections.abc import Iterator
from typing import Final

from walker_collector import MISSING, Value
from walker_dest_customerio.forms import FLAGS, FORMS, LISTS, setting_key
from walker_dest_customerio.rule_actions import MappedEvent

_OF_ANYBODY: Final = ("object", "page", "screen")
"""The settings, besides messages, that make something of an event of no known person."""


def what_lacks(mapped: MappedEvent, is_known: bool) -> str:
    """Return why none of a rule's settings made an operation of an event.

    `is_known`: the event is that of a known person. Values are resolved once more, so this is for
    events without operations alone.
    """
    found = "; ".join(_reasons(mapped, is_known))
    return found or "its rule asks for nothing else"


def _reasons(mapped: MappedEvent, is_known: bool) -> Iterator[str]:
    for name in FLAGS:
        flag = getattr(mapped.rule, name)
        if flag is not None and flag is not False:
            yield f"{name}: only true has an effect" if flag is not True else _stranger(name)
    for name in FORMS:
        value = getattr(mapped.rule, name)
        if name == "identify" and value is None:
            value = mapped.settings.identify
        if value is None:
            continue
        if not is_known and name not in _OF_ANYBODY and not name.startswith("send_"):
            yield _stranger(setting_key(name))
        else:
            yield f"{setting_key(name)}: {_lack(mapped, name, value)}"


def _stranger(key: str) -> str:
    return f"{key}: the event is of no known person"


def _lack(mapped: MappedEvent, name: str, value: Value) -> str:
    made = value(mapped.event, mapped.context)
    if name in LISTS and isinstance(made, list):
        made = next((item for item in made if isinstance(item, dict)), MISSING)
    if made is MISSING:
        return "nothing is made of the event"
    if not isinstance(made, dict):
        return "an object is needed"
    if name == "identify":
        return "nothing has changed"
    return FORMS[name].problem(made) or "nothing is made of the event"
