"""Times as Customer.io understands them: whole unix seconds. Pure.

Its segments and campaigns compare dates by unix seconds; a date as text matches none of them. Its
SDK sends a `datetime` so; events are JSON, where a `datetime` is text.
"""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final

_ISO: Final = re.compile(
    r"([0-9]{4}-?(?:[0-9]{2}-?[0-9]{2}|W[0-9]{2}-?[1-7]|[0-9]{3}))"
    r"[Tt ]([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2}))?)?(?:[.,]([0-9]+))?"
    r"([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
"""Every form of ISO 8601 with a day and a time; the first group is the day.

A space may stand for the T (RFC 3339), as in text from databases, where a time is asked for.
"""
_LONGEST: Final = 80
"""Characters; more than a clock can tell."""
_SHORTEST: Final = len("2024122T12Z")
_T: Final = frozenset("Tt")
_EPOCH: Final = date(1970, 1, 1).toordinal()
_DIGITS: Final = re.compile(r"[0-9]{1,20}")
_COARSER: Final = ((1e17, 10**9), (1e14, 10**6), (1e11, 10**3))
"""Least number that is ns, µs or ms: in seconds, 1e11 is the year 5138."""
_MOST_NS: Final = 1e20
"""Ns, in the year 5138; larger numbers are no times, and neither are infinity and NaN."""


def with_seconds(value: dict[str, Any], but: Collection[str] = ()) -> dict[str, Any]:
    """Return an object with its full date-times as unix seconds, itself where it has none.

    A full date-time is ISO 8601 with a zone. Keys in `but` keep what they have; dates without a
    time stay text, as does everything else.
    """
    if not _may_be_dated(value.values()):  # as with most, which need no copy
        return value
    return {key: item if key in but else _converted(item) for key, item in value.items()}


def _may_be_dated(items: Iterable[Any]) -> bool:
    """Return whether any text among the items, however deep, begins like a date-time."""
    for item in items:
        kind = type(item)
        if kind is str:
            if len(item) >= _SHORTEST and "0" <= item[0] <= "9" and not _T.isdisjoint(item[7:11]):
                return True
        elif kind is dict:
            if _may_be_dated(item.values()):
                return True
        elif kind is list and _may_be_dated(item):
            return True
    return False


def _converted(value: Any) -> Any:
    if type(value) is dict:
        return {key: _converted(item) for key, item in value.items()}
    if type(value) is list:
        return [_converted(item) for item in value]
    if type(value) is not str or len(value) < _SHORTEST or " " in value:
        return value  # a space is hardly ISO 8601: anybody's text may hold one
    found = parse(value)
    return value if found is None or found[1] is None else found[0] - found[1]


def parse(text: str) -> tuple[int, int | None] | None:
    """Read a date-time: unix seconds as if it were UTC, and its zone's offset in seconds.

    The offset is None where no zone is named; None alone is no date-time. What is less than a
    second is cut off, whatever its precision.
    """
    match = _ISO.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    day, hour, minute, second, fraction, zone = match.groups()
    midnight = _midnight(day)
    clock = _clock(int(hour), minute, second, fraction)
    if midnight is None or clock is None:
        return None
    offset = None if zone is None else _offset(zone)
    return None if offset == _NO_ZONE else (midnight + clock, offset)


def _midnight(day: str) -> int | None:
    """Return when a day begins: calendar date, week date or day of the year."""
    digits = day.replace("-", "")
    try:
        if len(digits) == 7 and "W" not in digits:
            count = int(digits[4:])
            start = date(int(digits[:4]), 1, 1)
            found = date.fromordinal(start.toordinal() + count - 1)
            if not count or found.year != start.year:
                return None
        else:
            found = date.fromisoformat(day)
    except ValueError:
        return None
    return (found.toordinal() - _EPOCH) * 86_400


def _clock(hour: int, minute: str | None, second: str | None, fraction: str | None) -> int | None:
    """Return seconds since midnight; a fraction is of the smallest unit given.

    Midnight may be 24:00, and a leap second is the next one.
    """
    m, s = int(minute or 0), int(second or 0)
    unit = 1 if second else 60 if minute else 3600
    part = int(fraction) * unit // 10 ** len(fraction) if fraction else 0
    whole = hour * 3600 + m * 60 + s
    if hour > 24 or m > 59 or s > 60 or (hour == 24 and (whole > 86_400 or fraction)):
        return None
    return whole + part


_NO_ZONE: Final = 86_400


def _offset(zone: str) -> int:
    if zone in ("Z", "z"):
        return 0
    digits = zone[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours > 23 or minutes > 59:
        return _NO_ZONE
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)


def as_seconds(value: Any) -> int | None:
    """Return a time of any form as unix seconds, or None if the value is no time.

    Accepts numbers (ms, µs or ns if too large for seconds), numbers as text, `datetime`, and ISO
    8601: UTC unless it has a zone, midnight unless it has a time.
    """
    if isinstance(value, datetime):
        value = value.isoformat()
    if isinstance(value, str):
        text = value.strip()
        if _DIGITS.fullmatch(text):
            return _in_seconds(int(text))
        found = parse(text) or parse(f"{text}T00Z")
        return None if found is None else found[0] - (found[1] or 0)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return _in_seconds(value) if -_MOST_NS < value < _MOST_NS else None


def _in_seconds(value: float) -> int:
    for least, per_second in _COARSER:
        if abs(value) >= least:
            return int(value // per_second)
    return math.floor(value)


def with_seconds_at(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return an object with the times under `keys` as unix seconds."""
    found: Mapping[str, int] = {
        key: when for key in keys if key in value and (when := as_seconds(value[key])) is not None
    }
    return {**value, **found} if found else value
