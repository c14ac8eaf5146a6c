"""The time of an event: what is taken for one, and what is refused with what to write instead."""

import math
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walker_collector import EventError
from walker_collector.events import Defaults, Period, complete

NOW = 1_795_690_000_000
DAY = 86_400_000


class Size(IntEnum):
    LARGE = 1_700_000_000_123


class Nowhere(tzinfo):
    """A time zone that fails."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        raise LookupError("nowhere")


def stamped(value: Any, period: Period | None = None) -> Any:
    """Return the timestamp of an event that was given this one."""
    defaults = Defaults(lambda: "e1", period=period or Period())
    return complete({"name": "a b", "timestamp": value}, NOW, 0.0, defaults)["timestamp"]


def refused(value: Any, period: Period | None = None) -> str:
    with pytest.raises(EventError) as caught:
        stamped(value, period)
    return str(caught.value)


@pytest.mark.parametrize(
    "moment",
    [
        1_700_000_000_123,
        datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC),
        datetime(2023, 11, 15, 0, 13, 20, 123_000, tzinfo=timezone(timedelta(hours=2))),
        "2023-11-14T22:13:20.123Z",
        "2023-11-14T22:13:20.123456789Z",
        "2023-11-15T00:13:20.123+02:00",
        "2023-11-14 22:13:20.123+00",
        " 20231114T221320,123Z ",
        "2023-11-14 22:13:20.123 UTC",
        "2023-11-14 22:13:20.123456 GMT",
        "2023-11-15 00:13:20.123 +0200",
        "2023-11-14t22:13:20.123z",
        "2023-11-15T00:13:20.123+02:00[Europe/Helsinki]",
    ],
)
def test_number_datetime_and_iso_text_are_the_same_time_in_ms(moment: Any) -> None:
    assert stamped(moment) == 1_700_000_000_123


@pytest.mark.parametrize("moment", [datetime(2026, 3, 2, 8, 22), "2026-03-02T08:22:00"])
def test_time_without_a_zone_is_utc(moment: Any) -> None:
    assert stamped(moment) == stamped("2026-03-02T08:22:00Z")


@pytest.mark.parametrize("day", [date(2026, 3, 2), "2026-03-02"])
def test_date_is_its_midnight(day: Any) -> None:
    assert stamped(day) == stamped("2026-03-02T00:00:00Z")


@given(ms=st.integers(1_000_000_000_000, NOW))
def test_datetime_keeps_its_millisecond(ms: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    assert stamped(moment) == stamped(moment.isoformat()) == ms


@pytest.mark.parametrize("value", [1_700_000_000_123.25, Size.LARGE])
def test_number_is_a_timestamp_as_it_is(value: Any) -> None:
    assert stamped(value) == value


def test_zero_is_none() -> None:
    assert stamped(0) == 0


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (1_795_690_000, "seconds"),
        (1_795_690_000.0, "seconds"),
        (1_795_690_000_000_000, "microseconds"),
        (1_795_690_000_000_000_000, "nanoseconds"),
    ],
)
def test_other_unit_than_milliseconds_is_refused_with_what_to_write(value: Any, unit: str) -> None:
    message = refused(value)
    assert message.startswith(f"timestamp: {value} seems to be in {unit}")
    assert message.endswith("write milliseconds: 1795690000000")


@pytest.mark.parametrize(
    "value",
    [5, -1, 600_000_000_000, "1989-12-31T23:59:59Z", date(1985, 1, 1)],
)
def test_time_before_the_oldest_is_refused_naming_the_setting(value: Any) -> None:
    assert "is before 1990-01-01 (collector.oldest)" in refused(value)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (
            2020,
            "2020 as milliseconds since 1970, 1970-01-01T00:00:02Z, is before 1990-01-01"
            ' (collector.oldest); write a date as text, "2020-01-01", or as milliseconds, such as',
        ),
        (5, 'write a date as text, "2020-01-01", or as milliseconds, such as'),
        ("2020", 'timestamp: "2020" is a year; write a date: "2020-01-01"'),
        (
            "1795690000",
            "timestamp: a number of seconds as text; write milliseconds, without quotes:"
            " 1795690000000",
        ),
    ],
)
def test_number_that_is_no_time_is_refused_with_what_to_write(value: Any, advice: str) -> None:
    assert advice in refused(value)


def test_time_ahead_is_taken_up_to_a_day() -> None:
    assert stamped(NOW + DAY) == NOW + DAY
    assert "more than 86,400,000 ms (collector.maxAhead) after now" in refused(NOW + DAY + 1)
    assert stamped(NOW + DAY + 1, Period.of("1990-01-01", 2 * DAY)) == NOW + DAY + 1
    assert "(collector.maxAhead)" in refused("9999-12-31")


def test_older_events_are_taken_where_the_flow_says_so() -> None:
    assert stamped("1985-05-01", Period.of("1980-01-01", DAY)) == 483_753_600_000
    assert stamped(5, Period.of(0, DAY)) == 5
    assert stamped("0001-01-01", Period.of(None, DAY)) == -62_135_596_800_000
    assert "is of no year from 1 to 9999" in refused(-62_135_596_800_001, Period.of(None, DAY))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("yesterday", "not ISO 8601; write it as 2026-03-02T08:22:00Z"),
        ("", "not ISO 8601"),
        ("2026-02-30T00:00:00Z", "not ISO 8601"),
        ("2023-11-14T22:13:20[Europe/Helsinki]", "not ISO 8601"),
        ("2023-11-14 22:13:99 UTC", "not ISO 8601"),
        ("14 Nov 2023 22:13:20 GMT", "not ISO 8601"),
        ("1795690000000", "a number as text; write it without quotes"),
        ("-5.5", "a number as text"),
        (True, "not bool"),
        ([], "not list"),
        (math.nan, "no number of milliseconds"),
        (math.inf, "no number of milliseconds"),
        (10**400, "no number of milliseconds"),
        (datetime(2026, 1, 1, tzinfo=Nowhere()), "its time zone raised LookupError"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), "of no year from 1 to 9999"),
    ],
)
def test_what_is_no_time_is_refused_with_what_to_write(value: Any, reason: str) -> None:
    assert reason in refused(value)
