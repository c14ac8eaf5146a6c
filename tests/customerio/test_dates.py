import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walker_dest_customerio.dates import as_seconds, with_seconds, with_seconds_at

MAY_DAY = 1_714_564_800  # 2024-05-01T12:00:00Z

ZONES = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda at: timezone(timedelta(minutes=at)))
MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=ZONES)


@given(MOMENTS, st.sampled_from(["auto", "seconds", "milliseconds", "microseconds"]))
def test_any_moment_in_any_zone_becomes_unix_seconds(moment: datetime, precision: str) -> None:
    text = moment.isoformat(timespec=precision)
    whole = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    assert with_seconds({"at": text}) == {"at": whole}
    assert as_seconds(text) == as_seconds(moment) == whole


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01T12:00:00Z",
        "2024-05-01T12:00:00z",
        "2024-05-01t12:00:00Z",
        "2024-05-01T12:00Z",
        "2024-05-01T12Z",
        "2024-05-01T12:00:00.0Z",
        "2024-05-01T12:00:00,999Z",
        "2024-05-01T12:00:00.123456789Z",
        f"2024-05-01T12:00:00.{'1' * 50}Z",
        "2024-05-01T14:00:00+02:00",
        "2024-05-01T14:00:00+02",
        "2024-05-01T08:30:00-0330",
        "2024-05-01T12:00:00-00:00",
        "2024-05-02T01:45:00+13:45",
        "20240501T120000Z",
        "20240501T1400+0200",
        "2024-W18-3T12:00Z",
        "2024W183T12Z",
        "2024-122T12:00Z",
        "2024122T12Z",
        "2024-04-30T24:00:00-12:00",
    ],
)
def test_every_form_of_iso_8601_with_a_zone_is_a_time(text: str) -> None:
    assert with_seconds({"at": text}) == {"at": MAY_DAY}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2024-05-01T12.5Z", MAY_DAY + 1800),
        ("2024-05-01T12:30.5Z", MAY_DAY + 1830),
        ("2016-12-31T23:59:60Z", 1_483_228_800),
        ("1969-12-31T23:59:59.5Z", -1),
        ("2024-366T00Z", 1_735_603_200),
    ],
)
def test_rare_forms_are_times_as_well(text: str, seconds: int) -> None:
    assert with_seconds({"at": text}) == {"at": seconds}


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01",
        "20240501",
        "12:00:00Z",
        "2024-05-01T12:00:00",
        "2024-05-01T12:00:00.5",
        "2024-05-01 12:00:00Z",
        "2024-02-30T12:00:00Z",
        "2024-13-01T12:00:00Z",
        "2024-05-01T25:00:00Z",
        "2024-05-01T24:00:01Z",
        "2024-05-01T12:60:00Z",
        "2024-05-01T12:00:00+24:00",
        "2024-05-01T12:00:00.Z",
        "2024-05-01T12:00:00 Z",
        " 2024-05-01T12:00:00Z",
        "2024-05-01T12:00:00Z\n",
        "2023-366T00:00Z",
        "2024-000T00:00Z",
        "2024-W54-1T00:00Z",
        "0000-01-01T00:00:00Z",
        "\uff12\uff10\uff12\uff14-05-01T12:00:00Z",
        "2024-05-01T12:00:00Z[Europe/Berlin]",
        "order 2024-05-01T12:00:00Z",
        f"2024-05-01T12:00:00.{'1' * 100_000}Z",
        "",
    ],
)
def test_what_is_no_full_date_time_stays_text(text: str) -> None:
    value = {"at": text}
    assert with_seconds(value) == {"at": text}


def test_times_are_found_at_any_depth_and_nothing_else_is_touched() -> None:
    value: dict[str, Any] = {
        "2024-05-01T12:00:00Z": "a key",
        "list": [{"at": "2024-05-01T12:00:00Z", "day": "2024-05-01"}, "2024-05-01T12:00:00Z"],
        "n": [1, 1.5, True, None, "text"],
    }
    made = with_seconds(value)
    assert made == {
        "2024-05-01T12:00:00Z": "a key",
        "list": [{"at": MAY_DAY, "day": "2024-05-01"}, MAY_DAY],
        "n": [1, 1.5, True, None, "text"],
    }
    assert value["list"][1] == "2024-05-01T12:00:00Z"


def test_keys_that_are_named_keep_their_text() -> None:
    text = "2024-05-01T12:00:00Z"
    assert with_seconds({"id": text, "at": text}, ("id",)) == {"id": text, "at": MAY_DAY}


@pytest.mark.parametrize(
    "value",
    [
        MAY_DAY,
        MAY_DAY + 0.9,
        MAY_DAY * 1_000 + 999,
        MAY_DAY * 1_000_000,
        MAY_DAY * 1_000_000_000,
        float(MAY_DAY * 1000),
        str(MAY_DAY),
        f" {MAY_DAY * 1000} ",
        "2024-05-01T12:00:00Z",
        "2024-05-01T12:00:00",
        "2024-05-01T14:00:00+02:00",
        datetime(2024, 5, 1, 12),
        datetime(2024, 5, 1, 12, tzinfo=UTC),
    ],
)
def test_what_must_be_a_time_is_taken_in_any_unit_and_form(value: object) -> None:
    assert as_seconds(value) == MAY_DAY
    assert with_seconds_at({"send_at": value, "other": 1}, "send_at") == {
        "send_at": MAY_DAY,
        "other": 1,
    }


def test_day_alone_is_its_midnight_where_a_time_is_wanted() -> None:
    assert as_seconds("2024-05-01") == MAY_DAY - 12 * 3600


@pytest.mark.parametrize(
    "value", ["tomorrow", "", True, None, [], {}, math.nan, math.inf, 10**400, "1e9"]
)
def test_what_is_no_time_stays_as_it_is(value: object) -> None:
    assert as_seconds(value) is None
    made = {"send_at": value}
    assert with_seconds_at(made, "send_at") is made
