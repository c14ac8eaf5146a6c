"""Conversion of mapped attributes into those that Customer.io accepts. Pure."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

from walker_dest_customerio import limits
from walker_dest_customerio.dates import as_seconds, with_seconds
from walker_dest_customerio.error_text import field_name
from walker_dest_customerio.identity import with_texts

Json = dict[str, Any]

IDENTIFIERS: Final = frozenset({"id", "email", "phone", "anonymous_id", "cio_id"})
CONTROL: Final = frozenset({"_timestamp", "_update", "cio_relationships"})
"""Keys that steer an identify and are no attributes (Track API reference)."""
_UNDATED: Final = IDENTIFIERS | CONTROL
_UNLIMITED: Final = CONTROL | {"cio_subscription_preferences"}
_LEAST_LIMIT: Final = min(limits.PERSON_ID, limits.ATTRIBUTE_NAME, limits.ATTRIBUTE_VALUE)
_UNIX: Final = ("_timestamp", "created_at")
"""Attributes that Customer.io reads as times, independent of `timestamps`."""
_CONVERTED: Final = frozenset({"id", "anonymous_id", "cio_relationships", *_UNIX})
"""Attributes that take another form, independent of their values; most people have none."""


def sendable(
    made: Json, unix: bool, now: float, size: float = math.inf
) -> tuple[Json, tuple[str, ...]]:
    """Return attributes in the form Customer.io accepts, and warnings about them.

    The result is `made` itself if that has the form already. `unix`: full date-times become unix
    seconds. `now` (unix s) bounds `_timestamp`: after an update stamped in the future, Customer.io
    ignores the person's updates until then. An attribute that is too long is left out, as it would
    cost the whole identify. `size`: the bytes of their JSON, if known.
    """
    attributes = with_seconds(made, _UNDATED) if unix else made
    if not made.keys().isdisjoint(_CONVERTED):
        attributes = _converted(attributes, unix, now)
    # JSON shorter than the least limit has nothing in it that exceeds any.
    left_out = {} if size <= _LEAST_LIMIT else dict(overlong(attributes, _limit_of))
    if not left_out:
        return attributes, ()
    kept = {name: value for name, value in attributes.items() if name not in left_out}
    return kept, tuple(left_out.values())


def _converted(attributes: Json, unix: bool, now: float) -> Json:
    attributes = with_texts(attributes, "id", "anonymous_id")
    if not attributes.keys().isdisjoint(_UNIX):
        attributes = _with_times(attributes, now)
    if "cio_relationships" in attributes:
        related = _relationships(attributes["cio_relationships"], unix)
        attributes = {**attributes, "cio_relationships": related}
    return attributes


def problem(attributes: Json) -> str | None:
    """Return why Customer.io will refuse attributes as a whole, or None."""
    if type(attributes.get("_timestamp", 0)) is not int:
        return "attribute '_timestamp' is no time; give unix seconds or ISO 8601"
    if type(attributes.get("_update", False)) is not bool:
        return "attribute '_update' must be true or false"
    if len(attributes) > limits.ATTRIBUTES:
        count = len(attributes.keys() - CONTROL)
        if count > limits.ATTRIBUTES:
            return f"{count:,} attributes; Customer.io takes at most {limits.ATTRIBUTES} at once"
    return None


def _with_times(attributes: Json, now: float) -> Json:
    changed: Json = {}
    when = as_seconds(attributes.get("_timestamp"))
    if when is not None:
        changed["_timestamp"] = when if when <= now else int(now)
    created = attributes.get("created_at")
    if not isinstance(created, str) and (seconds := as_seconds(created)) is not None:
        changed["created_at"] = seconds
    return {**attributes, **changed}


def _limit_of(name: str) -> int | None:
    """Return the limit of a person's attribute in bytes; None if it has none."""
    if name in IDENTIFIERS:
        return limits.PERSON_ID
    return None if name in _UNLIMITED else limits.ATTRIBUTE_VALUE


def overlong(attributes: Json, limit_of: Callable[[str], int | None]) -> Iterator[tuple[str, str]]:
    """Yield each attribute that is too long, with a warning."""
    for name, value in attributes.items():
        limit = limit_of(name)
        if limits.is_longer(name, limits.ATTRIBUTE_NAME):
            what, limit = "the name of an attribute", limits.ATTRIBUTE_NAME
        elif limit is not None and limits.takes_more(value, limit):
            # A name may be data itself, where a mapping makes attributes of an object's keys.
            known = field_name(f"attributes.{name}").removeprefix("attributes.")
            what = f"attribute {known!r}" if known else "an attribute"
        else:
            continue
        yield name, f"{what} takes more than Customer.io's {limit:,} bytes and is left out"


def _relationships(given: Any, unix: bool) -> Any:
    """Return relationships with ids as texts, and times in their attributes as unix seconds."""
    if isinstance(given, dict):
        return {**given, "relationships": _relationships(given.get("relationships"), unix)}
    if not isinstance(given, list):
        return given
    return [_relationship(one, unix) if isinstance(one, dict) else one for one in given]


def _relationship(given: Json, unix: bool) -> Json:
    named, about = given.get("identifiers"), given.get("relationship_attributes")
    made = dict(given)
    if isinstance(named, dict):
        made["identifiers"] = with_texts(named, *named)
    if unix and isinstance(about, dict):
        made["relationship_attributes"] = with_seconds(about)
    return made
