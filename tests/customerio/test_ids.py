from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from walker_dest_customerio.ids import event_id

EVENT = {"id": "e1", "timestamp": 1_700_000_000_123}


@given(st.text(), st.integers(0, 2**48 - 1), st.text(max_size=20))
def test_id_is_a_ulid_with_the_time_of_the_event(identifier: str, when: int, part: str) -> None:
    made = event_id({"id": identifier, "timestamp": when}, "customerio", part)
    assert made is not None
    assert str(ULID.from_str(made)) == made
    assert ULID.from_str(made).milliseconds == when


def test_same_part_of_the_same_event_has_the_same_id() -> None:
    assert event_id(EVENT, "customerio", "track") == event_id(dict(EVENT), "customerio", "track")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (EVENT, "01HF7YAT3VD5FEF17FF8B0140F"),
        ({"id": "ü-7", "timestamp": 1_700_000_000_000.5}, "01HF7YAT00FD30C45154DBA448"),
        ({"id": 7}, "0000000000610798D348820569"),
    ],
)
def test_id_is_the_one_that_was_sent_before_an_upgrade(
    event: dict[str, Any], expected: str
) -> None:
    assert event_id(event, "customerio", "track") == expected


def test_another_part_event_time_or_destination_has_another_id() -> None:
    ids = {
        event_id(EVENT, "customerio", "track"),
        event_id(EVENT, "customerio", "page"),
        event_id(EVENT, "second", "track"),
        event_id({**EVENT, "id": "e2"}, "customerio", "track"),
        event_id({**EVENT, "timestamp": 1_700_000_000_124}, "customerio", "track"),
    }
    assert len(ids) == 5


def test_event_without_an_id_gets_none() -> None:
    assert event_id({"timestamp": 1}, "customerio", "track") is None


def test_time_that_a_ulid_cannot_hold_is_bounded() -> None:
    late = event_id({"id": "e", "timestamp": 1e30}, "customerio", "track")
    early = event_id({"id": "e", "timestamp": -5}, "customerio", "track")
    timeless = event_id({"id": "e"}, "customerio", "track")
    assert late is not None
    assert late.startswith("7ZZZZZZZZZ")
    assert str(early).startswith("0000000000")
    assert str(timeless).startswith("0000000000")
