from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from walker_collector import Rejected
from walker_dest_customerio.encode import dumps


def test_datetimes_become_unix_seconds_and_naive_ones_are_utc() -> None:
    berlin = timezone(timedelta(hours=1))
    noon = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert dumps([noon, noon.replace(tzinfo=None), noon.astimezone(berlin)], "it") == (
        b"[1700000000,1700000000,1700000000]"
    )


def test_what_is_no_number_becomes_null() -> None:
    assert dumps({"a": float("nan"), "b": float("inf")}, "it") == b'{"a":null,"b":null}'


def test_sorted_keys_make_equal_objects_equal_bytes() -> None:
    one, other = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}
    assert dumps(one, "it", sort_keys=True) == dumps(other, "it", sort_keys=True)


@pytest.mark.parametrize("value", [Decimal("1.5"), {1: 2}, 2**70, "\ud800", {3}])
def test_what_json_cannot_hold_is_rejected_without_being_quoted(value: object) -> None:
    with pytest.raises(Rejected, match="attributes cannot be written as JSON") as caught:
        dumps({"secret-value": value}, "attributes")
    assert "secret-value" not in caught.value.reason
