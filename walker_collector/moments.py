"""Points in time: ISO 8601 text and `datetime` to milliseconds since 1970, and back."""

import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
EARLIEST: Final = -62_135_596_800_000
LATEST: Final = 253_402_300_799_999
"""The years 1 to 9999, the range of ISO 8601 and `datetime`, in ms since 1970."""

_EXPORTED: Final = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[Tt ](?P<time>\d\d:\d\d[\d:.,]*) ?"
    r"(?P<zone>[Zz]|UTC|GMT|[+-]\d\d:?(?:\d\d)?)(?:\[[\w/+-]+\])?",
    re.ASCII,
)
"""A time that Python's parser refuses: `2026-03-02 08:22:00 UTC` of BigQuery, `... +0100` of Ruby,
`2026-03-02t08:22:00z` of RFC 3339, `2026-03-02T08:22:00+01:00[Europe/Berlin]` of Java."""


def now_ms() -> int:
    """Return the current time as ms since 1970."""
    return time.time_ns() // 1_000_000


class SteadyClock:
    """The time as ms since 1970, passing with the monotonic clock.

    Somebody may set the system's clock back or forward: pauses and waits must not notice. A clock
    other than `now_ms`, as tests have them, is taken as it is.
    """

    def __init__(self, now: Callable[[], int] = now_ms) -> None:
        self._now = now
        self._is_system = now is now_ms
        self._offset = now() - time.monotonic_ns() // 1_000_000

    def __call__(self) -> int:
        return self._offset + time.monotonic_ns() // 1_000_000 if self._is_system else self._now()

    def earlier(self) -> int:
        """Return the earlier of this time and the system's: an age is the smaller of two."""
        return min(self(), self._now()) if self._is_system else self._now()


def to_ms(moment: date) -> int:
    """Return a `datetime` as ms since 1970; a date is its midnight. Without a zone it is UTC."""
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MS


def parse_ms(text: str) -> int:
    """Return ISO 8601 text as ms since 1970; without a zone it is UTC, without a time midnight.

    The forms of databases and other languages are read, too: see `_EXPORTED`. Raises ValueError for
    other text, and for digits alone: `20260302` may be a date or a number.
    """
    text = text.strip()
    if text.isdecimal():
        raise ValueError("digits alone")
    try:
        return to_ms(datetime.fromisoformat(text))
    except ValueError:
        found = _EXPORTED.fullmatch(text)
        if found is None:
            raise
    zone = found["zone"].upper()
    zone = "Z" if zone in ("Z", "UTC", "GMT") else zone
    return to_ms(datetime.fromisoformat(f"{found['day']}T{found['time']}{zone}"))


def show_ms(ms: float) -> str:
    """Return ms since 1970 as ISO 8601 text: a date, or a time to the second."""
    moment = _EPOCH + timedelta(milliseconds=min(max(ms, EARLIEST), LATEST))
    if not ms % 86_400_000:
        return moment.date().isoformat()
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def moment(at: int) -> str:
    """Return a time (ms since 1970) as ISO 8601 text to the second, in UTC."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
