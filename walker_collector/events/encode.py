"""Encode events as JSON, and decode them."""

import dataclasses
import enum
import gc
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import attrs
import orjson
from attrs import frozen

from walker_collector.errors import EventError
from walker_collector.text import with_article

_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_MANY: Final = 10_000
"""Nested objects and lists that are looked at before it is left to a walk over all values."""
_LEVELS: Final = 4
"""Levels that an event has if its parts hold nothing nested: `source.release` among them."""
UNTRUSTED: Final = "untrusted"
"""The mark of a stored event from an untrusted sender."""
CONSENT_AT: Final = "consentAt"
"""The mark of a stored event whose consent is everything its person grants: since when (stamp)."""
MARKS: Final = frozenset({UNTRUSTED, CONSENT_AT})
"""They are no keys of events, so nobody sends them."""
_PLAIN_TYPES: Final = frozenset({str, int, bool, type(None)})


@frozen
class Bounds:
    """The limits of one event: levels of nesting, bytes of JSON."""

    depth: int = 32
    bytes: int = 1_000_000


def encode(
    event: Mapping[str, Any], bounds: Bounds, given: Mapping[str, Any] | None = None
) -> bytes:
    """Return the event as JSON, independent of the objects it was made of.

    datetime and date become ISO 8601 (naive ones are UTC), Decimal a number, UUID text, an enum
    its value, tuples and sets lists, attrs and dataclass objects objects; NaN and infinities are
    left out. `given` are the parts that may hold such objects (default: all). Raises EventError
    with the path of a value that JSON cannot hold, or the limit exceeded.
    """
    body = encode_plain(event, event if given is None else given, bounds)
    # orjson keeps the buffer that it has written to, of 4 KB at least, as long as its bytes
    # live. A copy has none: events may wait for long, and there may be many.
    body = _walked(event, bounds) if body is None else b"".join((body, b""))
    if len(body) > bounds.bytes:
        raise EventError(
            f"event {str(event.get('name'))[:80]!r} has {len(body):,} bytes of JSON; "
            f"the limit is {bounds.bytes:,} (collector.maxBytes)"
        )
    return body


def encode_plain(
    event: Mapping[str, Any], given: Mapping[str, Any], bounds: Bounds
) -> bytes | None:
    """Return an event of JSON's own types as JSON; None if it needs a walk.

    `given` are the parts that may hold other types. The size is not checked.
    """
    if not _is_plain(given.values(), bounds.depth):
        return None
    try:
        body = orjson.dumps(event, None, _OPTIONS)
    except (ValueError, TypeError, RecursionError):
        return None
    # orjson writes NaN as null; only a look at the values tells it from None.
    nulls = body.count(b"null")
    return body if not nulls or _are_none(event, nulls) else None


def _is_plain(parts: Iterable[Any], depth: int) -> bool:
    """Return whether the parts of an event surely hold no code, and no more levels than `depth`.

    orjson runs code of some objects, and ends the process if an Enum raises in there. So it gets
    objects and lists alone, apart from values that the garbage collector does not track: these
    have no code, and nothing nested. Most objects are not tracked either, if they are flat.
    """
    is_tracked = gc.is_tracked
    unseen = [*filter(is_tracked, parts)]
    for value in unseen:
        kind = type(value)
        if kind is not dict and kind is not list and kind is not tuple:
            return False
        for child in value.values() if kind is dict else value:
            if is_tracked(child):
                unseen.append(child)  # noqa: PERF401 - `extend` takes half as long again
        if len(unseen) > _MANY:  # or an object that holds itself
            return False
    # A cheap upper bound first: each level has at least one of them, but for the event itself and
    # what is not tracked.
    return depth >= _LEVELS and (len(unseen) <= depth - 2 or not _may_be_deeper(parts, depth - 1))


def _may_be_deeper(values: Iterable[Any], depth: int) -> bool:
    """Return whether values of JSON's own types may be nested deeper than `depth`."""
    if depth <= 0:
        return True
    for child in values:
        kind = type(child)
        if kind is dict or kind is list or kind is tuple:
            below = child.values() if kind is dict else child
            if _may_be_deeper(below, depth - 1):
                return True
    return False


def _are_none(event: Mapping[str, Any], nulls: int) -> bool:
    """Return whether every null in the JSON came from None (none from NaN)."""
    unseen: list[Any] = [event]
    for value in unseen:
        children = [*value.values()] if type(value) is dict else value
        nulls -= children.count(None)
        if nulls <= 0:
            return True  # mostly there is one null, near the top
        for child in children:
            kind = type(child)
            if kind is dict or kind is list:
                unseen.append(child)
            elif kind is float:
                if not math.isfinite(child):
                    return False
            elif kind not in _PLAIN_TYPES:
                return False
    return True


def _walked(event: Mapping[str, Any], bounds: Bounds) -> bytes:
    try:
        return b"".join((orjson.dumps(_normalised(event, "", bounds.depth)), b""))
    except (RecursionError, orjson.JSONEncodeError):
        raise EventError("event is nested too deeply to be written as JSON") from None


def _iso(value: date | time) -> str:
    """Return a moment as ISO 8601; a naive date-time is UTC."""
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value.isoformat()


def _number(value: float | Decimal) -> float:
    signals = isinstance(value, Decimal) and value.is_snan()
    return math.nan if signals else float(value)


def fields_of(value: Any) -> dict[str, Any] | None:
    """Return the fields of an attrs or dataclass object by name; None if it is neither."""
    if attrs.has(type(value)):
        return {name: getattr(value, name) for name in attrs.fields_dict(type(value))}
    if dataclasses.is_dataclass(type(value)):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    return None


def _ordered(value: set[Any] | frozenset[Any]) -> list[Any]:
    return sorted(value, key=lambda item: (type(item).__name__, str(item)))


class _Absent:
    """Marks a value that is left out of objects; in lists, where positions matter, it is null."""


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
    if isinstance(value, date | time):
        return _iso(value)
    return _container(value, path, depth)


def _container(value: Any, path: str, depth: int) -> Any:
    if depth <= 0:
        raise EventError(f"{path}: nested too deeply (collector.maxDepth)")
    if isinstance(value, set | frozenset):
        value = _ordered(value)
    if isinstance(value, list | tuple):
        items = (
            _normalised(item, f"{path}.{i}", depth - 1)
            for i, item in enumerate(_bounded(value, path))
        )
        return [None if item is _ABSENT else item for item in items]
    fields = value if isinstance(value, Mapping) else fields_of(value)
    if fields is not None:
        return _object(fields, path, depth)
    raise EventError(f"{path}: {with_article(type(value).__name__)} cannot be written as JSON")


def _object(value: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in _bounded(value.items(), path):
        name = key.value if isinstance(key, enum.Enum) else key
        if not isinstance(name, str | int | float | UUID | date):
            raise EventError(
                f"{path}: {with_article(type(key).__name__)} cannot be the key of an object"
            )
        text = _text(str(name), path, "the key of an object")
        if text in result:
            raise EventError(f"{path}: two keys of an object are the same as text: {text[:80]!r}")
        plain = _normalised(item, f"{path}.{text}" if path else text, depth - 1)
        if plain is not _ABSENT:
            result[text] = plain
    return result


_ITEMS_MAX: Final = 1_000_000


def _bounded(items: Iterable[Any], path: str) -> Iterator[Any]:
    """Yield items; the iterator of an application's own object need not end."""
    for count, item in enumerate(items):
        if count >= _ITEMS_MAX:
            raise EventError(f"{path}: more than {_ITEMS_MAX:,} items")
        yield item


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


def decode(body: bytes) -> dict[str, Any]:
    """Return the event encoded in `body`, as a new object at every call."""
    event: dict[str, Any] = orjson.loads(body)
    return event
