"""The accepted times of events."""

import re
from datetime import date
from typing import Any, Final

from attrs import frozen

from walker_collector.errors import EventError
from walker_collector.moments import EARLIEST, LATEST, parse_ms, show_ms, to_ms

DAY: Final = 86_400_000
OLDEST: Final = "1990-01-01"


class ImpossibleTime(EventError):
    """The time of an event is before or after all accepted times."""


_HUGE: Final = 2**63
_YEAR: Final = 365 * DAY
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}(\.[0-9]{0,19})?")
_UNITS: Final = (("seconds", 1000), ("microseconds", 1e-3), ("nanoseconds", 1e-6))
"""Units that a number may be in by mistake, and their factors to ms."""


@frozen
class Period:
    """The accepted times of events: not before `oldest`, not long after now.

    oldest: ms since 1970. ahead: ms that a time may be after now.
    """

    oldest: int = parse_ms(OLDEST)
    ahead: int = DAY

    @classmethod
    def of(cls, oldest: int | str | None, ahead: int) -> "Period":
        """Return the period of a flow; its `oldest` is ms or an ISO date, None for any time."""
        if oldest is None:
            return cls(EARLIEST, ahead)
        return cls(parse_ms(oldest) if isinstance(oldest, str) else oldest, ahead)

    def ends(self, now: int) -> int:
        """Return the last accepted time (ms since 1970)."""
        return min(now + self.ahead, LATEST)

    def read(self, value: Any, now: int) -> int | float:
        """Return an event's timestamp in ms since 1970; 0 means none, as in walkerOS.

        A number is ms; text is ISO 8601. Raises EventError, with advice, for other values and for
        times outside the period (ImpossibleTime).
        """
        if isinstance(value, str):
            ms: int | float = self._of_text(value, now)
        elif isinstance(value, date):
            ms = _of_date(value)
        else:
            ms = _of_number(value)
        if ms and not self.oldest <= ms <= self.ends(now):
            raise ImpossibleTime(f"timestamp: {self._outside(value, ms, now)}")
        return ms

    def _outside(self, value: Any, ms: float, now: int) -> str:
        """Return the reason to refuse a time, with advice."""
        if value is ms and (other := self._in_other_unit(ms, now)):
            return f"{ms} seems to be in {other[0]}; write milliseconds: {other[1]}"
        if not EARLIEST <= ms <= LATEST:
            return f"{ms} is of no year from 1 to 9999; write milliseconds since 1970"
        before = f"before {show_ms(self.oldest)} (collector.oldest)"
        if ms < self.oldest and value is ms and abs(ms) < _YEAR:
            day = f"{value}-01-01" if _is_year(str(value)) else "2020-01-01"
            return (
                f"{value} as milliseconds since 1970, {show_ms(ms)}, is {before}; write "
                f'a date as text, "{day}", or as milliseconds, such as {now}'
            )
        if ms < self.oldest:
            return (
                f"{show_ms(ms)} is {before}; set that to "
                "an earlier date, or to null, where events may be older"
            )
        return (
            f"{show_ms(ms)} is more than {self.ahead:,} ms (collector.maxAhead) after now, "
            f"{show_ms(now)}"
        )

    def _in_other_unit(self, number: float, now: int) -> tuple[str, int] | None:
        """Return the unit that makes a number an accepted time, and that time in ms."""
        for unit, factor in _UNITS:
            if max(self.oldest, 0) < (meant := int(number * factor)) <= self.ends(now):
                return unit, meant
        return None

    def _of_text(self, text: str, now: int) -> int:
        try:
            return parse_ms(text)
        except (ValueError, OverflowError):
            pass
        digits = text.strip()
        if _is_year(digits):
            raise EventError(f'timestamp: "{digits}" is a year; write a date: "{digits}-01-01"')
        if not _NUMBER.fullmatch(digits):
            raise EventError(
                "timestamp: text that is not ISO 8601; write it as 2026-03-02T08:22:00Z, or the "
                "milliseconds since 1970 as a number"
            )
        if other := self._in_other_unit(float(digits), now):
            unit, meant = other
            raise EventError(
                f"timestamp: a number of {unit} as text; write milliseconds, without quotes: "
                f"{meant}"
            )
        raise EventError("timestamp: a number as text; write it without quotes")


def _is_year(text: str) -> bool:
    return len(text) == 4 and text.isdecimal() and "1900" <= text <= "2999"


def _of_number(value: Any) -> int | float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise EventError(
            "timestamp: must be milliseconds since 1970, a datetime or ISO 8601 text, not "
            f"{type(value).__name__}"
        )
    if not -_HUGE < value < _HUGE:  # NaN is neither
        raise EventError("timestamp: no number of milliseconds since 1970")
    return value


def _of_date(moment: date) -> int:
    try:
        return to_ms(moment)
    except Exception as error:  # from the time zone of a datetime, which may be anybody's class
        raise EventError(f"timestamp: its time zone raised {type(error).__name__}") from error
