from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from walker_dest_customerio.event_ids import event_id

EVENT = {"id": "e1", "timestamp": 1_700_000_000_123}


@given(st.text(), st.text(max_size=20))
def test_id_is_a_ulid_of_a_time_that_has_been(identifier: str, part: str) -> None:
    made = event_id({"id": identifier}, "customerio", part)
    assert made is not None
    assert str(ULID.from_str(made)) == made
    assert ULID.from_str(made).datetime < datetime(2024, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize("when", [0, 1_700_000_000_124, 1_700_000_000_000.5, 1e30, None])
def test_id_of_the_event_decides_alone_whatever_its_time(when: Any) -> None:
    again = {"id": "e1", "timestamp": when, "data": {"total": 1}}
    assert event_id(again, "customerio", "track") == event_id(EVENT, "customerio", "track")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (EVENT, "01J000B16065FB15D069B28654"),
        ({"id": "ü-7"}, "01J000C2487E941B9C77C79DF1"),
        ({"id": 7}, "01J00001A14DA46E5D801F5697"),
    ],
)
def test_id_is_the_one_that_was_sent_before_an_upgrade(
    event: dict[str, Any], expected: str
) -> None:
    assert event_id(event, "customerio", "track") == expected


def test_another_part_event_or_destination_has_another_id() -> None:
    ids = {
        event_id(EVENT, "customerio", "track"),
        event_id(EVENT, "customerio", "page"),
        event_id(EVENT, "second", "track"),
        event_id({**EVENT, "id": "e2"}, "customerio", "track"),
    }
    assert len(ids) == 4


def test_event_without_an_id_gets_none() -> None:
    assert event_id({"timestamp": 1}, "customerio", "track") is None
