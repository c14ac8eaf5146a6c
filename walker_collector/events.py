"""Events: from what an application hands in to a complete, plain-JSON event.

The shape is walkerOS version 4's (`WalkerOS.Event`). Everything here is pure: time, ids and
counters are passed in. An accepted event is kept as JSON bytes, which are quick to make, cheap
to hold (nothing for the garbage collector to walk) and what a spool stores anyway.
"""

import dataclasses
import difflib
import enum
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import attrs
import orjson
from attrs import frozen

from walker_collector.errors import EventError

SCHEMA: Final = "4"
PARTS: Final[Mapping[str, type]] = {
    "data": dict,
    "context": dict,
    "globals": dict,
    "custom": dict,
    "user": dict,
    "nested": list,
    "consent": dict,
}
_SCALARS: Final = ("id", "trigger", "entity", "action", "timestamp", "timing", "source")
KEYS: Final = ("name", *PARTS, *_SCALARS)
_KINDS: Final[Mapping[str, type]] = {
    **PARTS,
    "trigger": str,
    "entity": str,
    "action": str,
    "timing": float,
}
# orjson by itself leaves out the fields of a dataclass that begin with "_".
_OPTIONS: Final = orjson.OPT_NAIVE_UTC | orjson.OPT_PASSTHROUGH_DATACLASS
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_NOTHING: Final[Mapping[str, Any]] = {}
_OBJECT_OR_NONE: Final = frozenset({dict, type(None)})
_TEXT_OR_NONE: Final = frozenset({str, type(None)})
_PLAIN_TYPES: Final = frozenset({str, int, bool, type(None)})


@frozen
class Bounds:
    """How deep (levels of nesting) and how large (bytes of JSON) one event may be."""

    depth: int = 32
    bytes: int = 1_000_000


def split_name(name: Any) -> tuple[str, str]:
    """Return entity and action of an event name; further words are part of the name only.

    Raises EventError where the name is missing, no string, lacks one of the two, or begins with
    "walker", which is for commands.
    """
    if not isinstance(name, str):
        kind = "missing" if name is None else f"of type {type(name).__name__}"
        raise EventError(f'event name is {kind}; write "entity action", such as "order complete"')
    return _words(name)


@lru_cache(maxsize=1024)
def _words(name: str) -> tuple[str, str]:
    words = name.split(" ")
    if len(words) < 2 or not words[0] or not words[1]:
        raise EventError(
            f'event name {name[:80]!r} is not "entity action": two words with one space between, '
            'such as "order complete"'
        )
    if words[0] == "walker":
        raise EventError(
            f"{name[:80]!r} is no command; there are walker consent, walker user, walker globals"
        )
    return words[0], words[1]


def check_parts(parts: Mapping[str, Any]) -> None:
    """Refuse keyword parts that no event has, naming the one that was probably meant."""
    for key in parts:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; an event has {', '.join(KEYS)}"
            raise EventError(f"{key}: unknown part of an event{hint}")


def complete(
    raw: Mapping[str, Any],
    now: int,
    timing: float,
    new_id: Callable[[], str],
    trace: str,
    count: Callable[[], int],
    user: Mapping[str, Any],
    globals_: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the event with everything walkerOS's collector adds to one.

    `now` is in ms, `timing` in s since the collector began. `globals_` are the floor under the
    event's own, `user` the base of its user. Raises EventError for a bad name or a part of the
    wrong type. The result may share values with `raw`; `encode` makes it independent.
    """
    name = raw.get("name")
    words = split_name(name)
    event = _over_defaults(raw, words, now, timing)
    if not _is_usual(event):
        event = _over_defaults(_given(raw), words, now, timing)
        _check_and_convert(event)
    for item in event["nested"]:
        if type(item) is not dict:
            _check_nested(event["nested"], name)
            break
    if event.get("consent"):
        check_grants(event["consent"])
    if globals_:
        event["globals"] = {**globals_, **event["globals"]}
    if user:
        event["user"] = {**user, **event["user"]}
    if not event["id"]:
        event["id"] = new_id()
    event["source"] = _source(event["source"], trace, count)
    return event


def _over_defaults(
    raw: Mapping[str, Any], words: tuple[str, str], now: int, timing: float
) -> dict[str, Any]:
    """Return what was given, a name among it, over what stands for parts that were not."""
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


_USUAL: Final = len(KEYS) - 1
"""How many keys a complete event has that says nothing about consent."""


def _is_usual(event: dict[str, Any]) -> bool:
    """Whether all parts are of the very types JSON has, with nothing to check or convert."""
    return (
        len(event) == _USUAL + ("consent" in event)
        and type(event["data"]) is dict
        and type(event["user"]) is dict
        and type(event["nested"]) is list
        and type(event["context"]) is dict
        and type(event["globals"]) is dict
        and type(event["custom"]) is dict
        and type(event["timestamp"]) is int
        and event["timestamp"] >= 0
        and type(event["timing"]) is float
        and type(event["trigger"]) is str
        and type(event["entity"]) is str
        and type(event["action"]) is str
        and type(event["id"]) in _TEXT_OR_NONE
        and type(event["source"]) in _OBJECT_OR_NONE
        and type(event.get("consent", _NOTHING)) is dict
    )


def _given(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts that were given; None is the same as left out."""
    return {key: value for key, value in raw.items() if value is not None}


def _check_and_convert(event: dict[str, Any]) -> None:
    """Refuse parts of the wrong type, and bring id and timestamp into their form."""
    for key, kind in _KINDS.items():
        value = event.get(key)
        if value is not None and type(value) is not kind:
            _check_part(key, value, kind, event["name"])
    event["id"] = _id(event["id"])
    event["timestamp"] = _timestamp(event["timestamp"])


def _source(own: Any, trace: str, count: Callable[[], int]) -> dict[str, Any]:
    if own is None:
        return {"type": "collector", "schema": SCHEMA, "count": count(), "trace": trace}
    if not isinstance(own, dict):
        raise EventError("source: must be an object")
    source = {"type": "collector", "schema": SCHEMA, **own}
    source.setdefault("count", count())
    source.setdefault("trace", trace)
    return source


_NAMES_OF_KINDS: Final = {dict: "an object", list: "a list", str: "text", float: "a number"}
_ALSO: Final[Mapping[type, Any]] = {list: tuple, float: int | Decimal}
"""What is taken in place of a kind."""


def _check_part(key: str, value: Any, kind: type, name: Any) -> None:
    also = _ALSO.get(kind)
    if isinstance(value, kind) or (
        also and isinstance(value, also) and not isinstance(value, bool)
    ):
        return
    raise EventError(
        f"{key}: must be {_NAMES_OF_KINDS[kind]}, not {type(value).__name__} "
        f"(event {str(name)[:80]!r})"
    )


def _check_nested(nested: Sequence[Any], name: Any) -> None:
    for index, item in enumerate(nested):
        if type(item) is not dict and not isinstance(item, Mapping) and _fields(item) is None:
            _check_part(f"nested.{index}", item, dict, name)


def check_grants(consent: Mapping[Any, Any]) -> None:
    """Raise EventError for consent whose keys are no text, or whose values are not true or false.

    Whatever else is taken for true or false grants by mistake: the text "denied" is truthy.
    """
    for key, value in consent.items():
        if not isinstance(key, str) or not isinstance(value, bool):
            raise EventError(f"consent.{key}: must be true or false, not {type(value).__name__}")


def plain_object(what: str, value: Any, bounds: Bounds) -> dict[str, Any]:
    """Return an object as the plain JSON that events carry, independent of what it was made of.

    `what` is the part of an event it is for. Raises EventError where it is no object, or where
    no event could carry it (see `encode`).
    """
    if not isinstance(value, Mapping):
        raise EventError(f"{what}: must be an object, not {type(value).__name__}")
    event = {"name": f"walker {what}", what: dict(value)}
    plain: dict[str, Any] = decode(encode(event, bounds))[what]
    return plain


def _id(value: Any) -> str | None:
    """Return an id as text; none, or an empty one, is to be made up."""
    if value is None or type(value) is str:
        return value
    if not isinstance(value, str | int | UUID) or isinstance(value, bool):
        raise EventError(f"id: must be a string, not {type(value).__name__}")
    return str(value)


def _timestamp(value: Any) -> int | float:
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        value = (aware - _EPOCH) // _MS
    if type(value) is not int and not _is_number(value):
        raise EventError(
            f"timestamp: must be milliseconds since 1970 or a datetime, not {type(value).__name__}"
        )
    if value < 0:
        raise EventError(f"timestamp: must be milliseconds since 1970, not {value}")
    return value  # type: ignore[no-any-return]  # a number, as checked


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def encode(event: Mapping[str, Any], bounds: Bounds) -> bytes:
    """Return the event as JSON, independent of the objects it was made of.

    datetime and date become ISO 8601 (naive ones are UTC), Decimal a number, UUID text, an enum
    its value, tuples and sets lists, attrs and dataclass objects objects; NaN and infinities are
    left out. Raises EventError naming the path of what JSON can't hold, or the bound exceeded.
    """
    try:
        body = orjson.dumps(event, _plain, _OPTIONS)
    except (orjson.JSONEncodeError, RecursionError):
        body = _walked(event, bounds)
    if b"null" in body and not _are_none(event, body.count(b"null")):
        # NaN is null to orjson; only a walk can tell it from a null that was meant.
        body = _walked(event, bounds)
    if len(body) > bounds.bytes:
        raise EventError(
            f"event {str(event.get('name'))[:80]!r} has {len(body):,} bytes of JSON; "
            f"the limit is {bounds.bytes:,} (collector.maxBytes)"
        )
    # Cheap upper bound first: an event can't be deeper than it has brackets.
    brackets = body.count(b"{") + body.count(b"[")
    if brackets > bounds.depth and _may_be_deeper(event, bounds.depth):
        _check_depth(orjson.loads(body), "", bounds.depth)
    return body


def _are_none(event: Mapping[str, Any], nulls: int) -> bool:
    """Whether so many nulls in an event's JSON were None, all of them."""
    unseen: list[Any] = [event]
    for value in unseen:
        for child in value.values() if type(value) is dict else value:
            if child is None:
                nulls -= 1
                if not nulls:
                    return True  # the usual end: there is one, and it is near the top
                continue
            kind = type(child)
            if kind is dict or kind is list:
                unseen.append(child)
            elif kind is float:
                if not math.isfinite(child):
                    return False
            elif kind not in _PLAIN_TYPES:
                return False
    return True


def _may_be_deeper(value: Any, depth: int) -> bool:
    """Whether it is nested deeper than that, or holds what is no JSON as it stands."""
    if depth <= 0:
        return True
    for child in value.values() if type(value) is dict else value:
        kind = type(child)
        if kind in _PLAIN_TYPES or kind is float:
            continue
        if (kind is not dict and kind is not list) or _may_be_deeper(child, depth - 1):
            return True
    return False


def _walked(event: Mapping[str, Any], bounds: Bounds) -> bytes:
    try:
        return orjson.dumps(_normalised(event, "", bounds.depth))
    except EventError:
        raise
    except (RecursionError, orjson.JSONEncodeError):
        raise EventError("event is nested too deeply to be written as JSON") from None
    except Exception as error:  # the methods of foreign objects may raise anything
        raise EventError(
            f"event cannot be written as JSON: an object in it raised {type(error).__name__}"
        ) from error


def _plain(value: Any) -> Any:
    """Turn what orjson does not know into something it does."""
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, set | frozenset):
        return _ordered(value)
    if isinstance(value, Mapping):
        return dict(value)
    fields = _fields(value)
    if fields is None:
        raise TypeError(type(value).__name__)
    return fields


def _number(value: float | Decimal) -> float:
    signals = isinstance(value, Decimal) and value.is_snan()
    return math.nan if signals else float(value)


def _fields(value: Any) -> dict[str, Any] | None:
    """Return the fields of an attrs or dataclass object by name; None where it is neither."""
    if attrs.has(type(value)):
        return {name: getattr(value, name) for name in attrs.fields_dict(type(value))}
    if dataclasses.is_dataclass(type(value)):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    return None


def _ordered(value: set[Any] | frozenset[Any]) -> list[Any]:
    return sorted(value, key=lambda item: (type(item).__name__, str(item)))


class _Absent:
    """What is left out of objects, and null in lists, where positions matter."""


_ABSENT: Final = _Absent()


def _normalised(value: Any, path: str, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return _normalised(value.value, path, depth)
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        return _integer(value, path)
    if isinstance(value, float | Decimal):
        number = _number(value)
        return number if math.isfinite(number) else _ABSENT
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    return _container(value, path, depth)


def _container(value: Any, path: str, depth: int) -> Any:
    if depth <= 0:
        raise EventError(f"{path}: nested too deeply (collector.maxDepth)")
    if isinstance(value, set | frozenset):
        value = _ordered(value)
    if isinstance(value, list | tuple):
        items = (_normalised(item, f"{path}.{i}", depth - 1) for i, item in enumerate(value))
        return [None if item is _ABSENT else item for item in items]
    fields = value if isinstance(value, Mapping) else _fields(value)
    if fields is not None:
        return _object(fields, path, depth)
    raise EventError(f"{path}: a {type(value).__name__} cannot be written as JSON")


def _object(value: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
    result = {}
    for key, item in value.items():
        name = key.value if isinstance(key, enum.Enum) else key
        if not isinstance(name, str | int | float | UUID | date):
            raise EventError(f"{path}: a {type(key).__name__} cannot be the key of an object")
        text = _text(str(name), path, "the key of an object")
        plain = _normalised(item, f"{path}.{text}" if path else text, depth - 1)
        if plain is not _ABSENT:
            result[text] = plain
    return result


def _text(value: str, path: str, what: str = "text") -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise EventError(f"{path}: {what} has a lone surrogate, which is not Unicode") from None
    return str(value)


def _integer(value: int, path: str) -> int:
    if not -(2**63) <= value < 2**64:
        raise EventError(f"{path}: an integer beyond 64 bits; send it as text")
    return int(value)


def _check_depth(value: Any, path: str, depth: int) -> None:
    if not isinstance(value, Mapping | list | tuple):
        return
    if depth <= 0:
        raise EventError(f"{path}: nested too deeply (collector.maxDepth)")
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, item in pairs:
        _check_depth(item, f"{path}.{key}" if path else str(key), depth - 1)


def decode(body: bytes) -> dict[str, Any]:
    """Return the event that `encode` wrote; a fresh object at every call."""
    event: dict[str, Any] = orjson.loads(body)
    return event
