"""Complete the event that an application passes, and check its parts.

The shape is walkerOS version 4's (`WalkerOS.Event`). Everything here is pure: time, ids and
counters are passed in.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import product
from typing import Any, Final
from uuid import UUID

from walker_collector.errors import EventError
from walker_collector.events.defaults import Defaults
from walker_collector.events.encode import Bounds, decode, encode, fields_of
from walker_collector.events.identifiers import check_identifier, may_need_check
from walker_collector.events.merging import merge
from walker_collector.events.names import missing_name, split_name, words_of
from walker_collector.events.parts import KEYS, KNOWN_KEYS, PARTS
from walker_collector.events.period import Period
from walker_collector.text import storable

CONSENT_KEYS: Final = 200
"""Keys of consent: of a statement or an event, and of all statements of a person together."""
_KINDS: Final[Mapping[str, type]] = {
    **PARTS,
    "trigger": str,
    "entity": str,
    "action": str,
    "timing": float,
}


def complete(raw: Mapping[str, Any], now: int, timing: float, defaults: Defaults) -> dict[str, Any]:
    """Return the event completed as walkerOS's collector does.

    `now` is in ms, `timing` in s since the start of the collector. Unknown keys are left out.
    Raises EventError for a bad name, a part of the wrong type or an impossible time. The result
    may share values with `raw`; `encode` makes it independent.
    """
    name = raw.get("name")
    if name is None:
        raise missing_name(raw)
    words = words_of(name) if type(name) is str else split_name(name)
    event = _over_defaults(raw, words, now, timing)
    # One test for most events, before any check of single parts: nothing is to be converted.
    if not (
        tuple(map(type, event.values())) in _USUAL
        and (len(event) < len(KEYS) or "consent" in event)
        and defaults.period.oldest <= event["timestamp"] <= now + defaults.period.ahead
    ):
        event = _over_defaults(_given(raw, defaults.on_unknown), words, now, timing)
        _check_and_convert(event, defaults.period, now)
    for item in event["nested"]:
        if type(item) is not dict:
            _check_nested(event["nested"], name)
            break
    if event.get("consent"):
        check_grants(event["consent"])
    if defaults.globals:
        event["globals"] = merge(defaults.globals, event["globals"])
    if defaults.user:
        event["user"] = merge(defaults.user, event["user"])
    event["source"] = defaults.source(event["source"])
    if event["entity"] is not words[0] or event["action"] is not words[1]:
        check_identifier("entity", event["entity"])
        check_identifier("action", event["action"])
    if not event["id"]:
        event["id"] = defaults.new_id()
    elif may_need_check(event["id"]):
        check_identifier("id", event["id"])
    return event


def at_receipt(raw: Mapping[str, Any], now: int) -> dict[str, Any]:
    """Return an event at an impossible time as one of `now`.

    The given time is kept in `custom.timestamp`, unless the event has something else there.
    """
    custom = {"timestamp": raw["timestamp"], **(raw.get("custom") or {})}
    return {**raw, "timestamp": now, "custom": custom}


def _over_defaults(
    raw: Mapping[str, Any], words: tuple[str, str], now: int, timing: float
) -> dict[str, Any]:
    """Return the default parts, overlaid with the given ones."""
    entity, action = words
    return {
        "name": None,
        "data": {},
        "context": {},
        "globals": {},
        "custom": {},
        "user": {},
        "nested": [],
        "trigger": "",
        "entity": entity,
        "action": action,
        "timing": timing,
        "id": None,
        "timestamp": now,
        "source": None,
        **raw,
    }


def _usual_types() -> Iterator[tuple[type, ...]]:
    """Yield the types of the parts of a complete event, in their order, if they are JSON's own."""
    texts: list[type] = [str, type(None)]
    objects: list[type] = [dict, type(None)]
    parts = (str, dict, dict, dict, dict, dict, list, str, str, str, float)
    for id_, source in product(texts, objects):
        usual: tuple[type, ...] = (*parts, id_, int, source)
        yield usual
        yield (*usual, dict)


_USUAL: Final = frozenset(_usual_types())
"""The types of all parts, in their order, with which no part is converted."""


def _given(raw: Mapping[Any, Any], on_unknown: Callable[[Any], object]) -> dict[str, Any]:
    """Return the parts that were given; None is the same as left out."""
    given = {}
    for key, value in raw.items():
        if key not in KNOWN_KEYS:
            on_unknown(key)
        elif value is not None:
            given[key] = value
    return given


def _check_and_convert(event: dict[str, Any], period: Period, now: int) -> None:
    """Refuse parts of the wrong type, and bring id and timestamp into their form."""
    for key, kind in _KINDS.items():
        value = event.get(key)
        if value is None or type(value) is kind:
            continue
        if kind is dict and isinstance(value, Mapping):
            event[key] = dict(value)
        else:
            _check_part(key, value, kind, event["name"])
    if isinstance(event["source"], Mapping):
        event["source"] = dict(event["source"])
    # What is decided by is what is encoded, although methods of the objects say something else.
    event["name"] = str.__str__(event["name"])
    if event.get("consent"):
        event["consent"] = dict(event["consent"])
    event["id"] = _id(event["id"])
    event["timestamp"] = period.read(event["timestamp"], now)


_NAMES_OF_KINDS: Final = {dict: "an object", list: "a list", str: "text", float: "a number"}
_SUCH_AS: Final = {"user": ' such as {"id": "u1"}', "consent": ' such as {"marketing": true}'}
_ALSO: Final[Mapping[type, Any]] = {list: tuple, float: int | Decimal}
"""Other types that are accepted for a kind."""


def _check_part(key: str, value: Any, kind: type, name: Any) -> None:
    also = _ALSO.get(kind)
    if isinstance(value, kind) or (
        also and isinstance(value, also) and not isinstance(value, bool)
    ):
        return
    such_as = _SUCH_AS.get(key, "")
    raise EventError(
        f"{key}: must be {_NAMES_OF_KINDS[kind]}{such_as}, not {type(value).__name__} "
        f"(event {str(name)[:80]!r})"
    )


def _check_nested(nested: Sequence[Any], name: Any) -> None:
    for index, item in enumerate(nested):
        if type(item) is not dict and not isinstance(item, Mapping) and fields_of(item) is None:
            _check_part(f"nested.{index}", item, dict, name)


def check_grants(consent: Mapping[Any, Any]) -> None:
    """Raise EventError for too many keys, keys other than short text, or values but booleans.

    Any other value would grant by mistake: the text "denied" is truthy.
    """
    if len(consent) > CONSENT_KEYS:
        raise EventError(f"consent: has {len(consent):,} keys; the limit is {CONSENT_KEYS}")
    for key, value in consent.items():
        if not isinstance(key, str):
            shown = storable(key, 80)
            raise EventError(f"consent.{shown}: a key of consent is text, not {type(key).__name__}")
        if may_need_check(key):
            check_identifier("a key of consent", key)
        if not isinstance(value, bool):
            raise EventError(f"consent.{key}: must be true or false, not {type(value).__name__}")


def plain_object(what: str, value: Any, bounds: Bounds) -> dict[str, Any]:
    """Return an object as plain JSON, independent of its origin, for one part of events.

    `what` is the part. Raises EventError if the value is not an object, or no event could have it
    (see `encode`).
    """
    if not isinstance(value, Mapping):
        raise EventError(f"{what}: must be an object, not {type(value).__name__}")
    event = {"name": f"walker {what}", what: dict(value)}
    plain: dict[str, Any] = decode(encode(event, bounds))[what]
    return plain


def _id(value: Any) -> str | None:
    """Return an id as text; a missing or empty one is returned as it is."""
    if value is None or type(value) is str:
        return value
    if not isinstance(value, str | int | UUID) or isinstance(value, bool):
        raise EventError(f"id: must be a string, not {type(value).__name__}")
    return str(value)
