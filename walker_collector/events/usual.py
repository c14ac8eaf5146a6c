"""Complete an application's event without building the complete event.

The parts that were given are written as JSON at once, and what they lack is text that is mostly
known beforehand. That is, apart from the order of the parts, what `complete` and `encode` make of
the event, in a third of the time.

This is for the usual event alone. Whatever is unusual (a part of another type, an unknown key, a
source, a bound that is exceeded) is left to these two: then functions here return None.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from walker_collector.errors import EventError
from walker_collector.events.complete import check_grants
from walker_collector.events.defaults import Defaults
from walker_collector.events.encode import Bounds, encode_plain
from walker_collector.events.identifiers import may_need_check
from walker_collector.events.merging import merge
from walker_collector.events.missing_parts import GIVEN, lacking_text, timing_text, words_text
from walker_collector.events.names import split_name
from walker_collector.events.parts import KEYS, PARTS

_KINDS: Final[Mapping[str, type]] = {
    "name": str,
    **PARTS,
    "trigger": str,
    "timing": float,
    "id": str,
    "timestamp": int,
}
"""The types of parts that are written as they are."""


class _Form(NamedTuple):
    """The parts that an event was given, in their order.

    kinds: their types, if nothing is to be converted. more: the JSON of the parts that are missing,
    apart from those that differ by event.
    """

    kinds: list[type]
    more: str
    begins_with_name: bool
    has_nested: bool
    has_consent: bool
    has_id: bool
    has_timestamp: bool
    has_timing: bool


class _Forms(dict[tuple[str, ...], _Form | None]):
    """The forms of events by the keys that were given; None for those with unusual keys."""

    def __missing__(self, keys: tuple[str, ...]) -> _Form | None:
        if any(type(key) is not str for key in keys):
            return None  # not remembered: equal keys that are text may be usual
        form = None
        if "name" in keys and _KINDS.keys() >= set(keys):
            form = _Form(
                [_KINDS[key] for key in keys],
                lacking_text(key for key in GIVEN if key not in keys),
                keys[0] == "name",
                *(key in keys for key in ("nested", "consent", "id", "timestamp", "timing")),
            )
        if len(self) < _FORMS_MAX and len(keys) <= len(KEYS):
            self[keys] = form
        return form


_FORMS_MAX: Final = 1_024
_forms: Final = _Forms()


def complete_plain(
    raw: dict[str, Any], now: int, timing: float, defaults: Defaults, bounds: Bounds
) -> tuple[dict[str, Any], bytes] | None:
    """Return the parts of a complete event that it is decided by, and its JSON; None if unusual.

    These are name, id and user, and consent if there is any. Raises EventError for a name that is
    none.
    """
    form = _forms[tuple(raw)]
    if form is None or form.kinds != [*map(type, raw.values())]:
        return None
    name = raw["name"]
    words = _words(name)
    if not _is_usual(raw, form, now, defaults):
        return None
    if defaults.user or defaults.globals:
        raw = _over(defaults, raw)
        form = _forms[tuple(raw)]
        if form is None:  # it has keys that only equal the usual ones
            return None
    elif not form.begins_with_name:  # as the JSON of every event does
        raw = {"name": name, **raw}
    front = encode_plain(raw, raw, bounds)
    if front is None:
        return None
    id_ = raw["id"] if form.has_id else defaults.new_id()
    shown_id = "" if form.has_id else f',"id":"{id_}"'
    shown_time = "" if form.has_timestamp else f',"timestamp":{now}'
    shown_timing = "" if form.has_timing else timing_text(timing)
    more = f"{form.more}{words}{shown_timing}{shown_id}{shown_time}{defaults.own_source()}}}"
    body = b"".join((front[:-1], more.encode()))
    if len(body) > bounds.bytes:
        return None
    decisive = {"name": name, "id": id_, "user": raw.get("user", {})}
    if form.has_consent:
        decisive["consent"] = raw["consent"]
    return decisive, body


def _is_usual(raw: Mapping[str, Any], form: _Form, now: int, defaults: Defaults) -> bool:
    """Return whether the values of an event need no closer look."""
    if form.has_timestamp:
        period = defaults.period
        if not period.oldest <= raw["timestamp"] <= now + period.ahead:
            return False
    if form.has_nested:
        for item in raw["nested"]:
            if type(item) is not dict:
                return False
    if form.has_id and may_need_check(raw["id"]):
        return False
    if form.has_consent:
        try:
            check_grants(raw["consent"])
        except EventError:
            return False
    return True


def _over(defaults: Defaults, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts that were given, with user and globals over the defaults."""
    merged: dict[str, Any] = {"name": raw["name"], **raw}
    if defaults.user:
        merged["user"] = merge(defaults.user, raw.get("user", {}))
    if defaults.globals:
        merged["globals"] = merge(defaults.globals, raw.get("globals", {}))
    return merged


@lru_cache(maxsize=1024)
def _words(name: str) -> str:
    """Return the JSON of entity and action of an event's name."""
    return words_text(*split_name(name))
