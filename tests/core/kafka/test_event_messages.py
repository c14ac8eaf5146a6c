"""Events as Kafka messages: their key, their headers, and the way back."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from walker_collector import Received, Rejected
from walker_collector.kafka.event_messages import (
    headers_of,
    is_event,
    key_of,
    received_of,
    value_of,
)
from walker_collector.people.identity import identifiers

EVENT = {"name": "order complete", "id": "e1", "user": {"id": "u1"}}
ANYBODY = Received({}, trusted=False)
identifier = st.one_of(
    st.none(),
    st.text(st.characters(codec="utf-8", categories=["L", "N"]), max_size=3),
    st.integers(-9, 10**15),
    st.floats(-1e6, 1e6),
    st.booleans(),
)


@given(st.dictionaries(st.sampled_from(["id", "device", "session", "name"]), identifier))
def test_key_is_the_strongest_identifier_as_the_collector_reads_it(user: dict[str, Any]) -> None:
    event = orjson.loads(orjson.dumps({"user": user}))
    known = identifiers(event["user"])
    assert key_of(event) == (known[0].encode() if known else None)


@pytest.mark.parametrize("event", [{}, {"user": None}, {"user": "u1"}, {"user": {"id": ["u1"]}}])
def test_event_without_a_person_has_no_key(event: dict[str, Any]) -> None:
    assert key_of(event) is None


@given(
    st.sampled_from([(True, False), (False, False), (False, True)]),
    st.booleans(),
    st.none() | st.integers(0, 10**18 - 1),
)
def test_headers_carry_what_was_received(
    trust: tuple[bool, bool], learn: bool, stated_at: int | None
) -> None:
    sent = Received(EVENT, *trust, learn, stated_at=stated_at)
    headers = headers_of(EVENT, sent)
    assert is_event(headers)
    read = received_of(EVENT, headers, ANYBODY)
    assert (read.trusted, read.limited, read.learn, read.stated_at) == (*trust, learn, stated_at)
    assert read.event is EVENT


def test_headers_name_the_event_for_other_readers() -> None:
    headers = dict(headers_of(EVENT, Received(EVENT)))
    assert headers == {
        "walker-schema": b"1",
        "walker-name": b"order complete",
        "walker-id": b"e1",
        "walker-trust": b"trusted",
    }


def test_mapped_data_is_no_event_of_ours() -> None:
    headers = headers_of(EVENT, Received(EVENT), mapped=True)
    assert dict(headers)["walker-name"] == b"order complete"
    assert not is_event(headers)


@pytest.mark.parametrize("headers", [None, [], [("other", b"1")], [("walker-learn", b"1")]])
def test_message_of_another_producer_counts_as_its_reader_says(headers: Any) -> None:
    for sender in (Received({}), ANYBODY, Received({}, trusted=False, limited=True, learn=True)):
        read = received_of(EVENT, headers, sender)
        assert (read.trusted, read.limited, read.learn) == (
            sender.trusted,
            sender.limited,
            sender.learn,
        )
        assert not is_event(headers)


@pytest.mark.parametrize("trust", [b"", b"Trusted", b"admin", b"limited"])
def test_unknown_trust_is_the_least(trust: bytes) -> None:
    read = received_of(EVENT, [("walker-trust", trust)], Received({}))
    assert (read.trusted, read.limited) == (False, True)


@pytest.mark.parametrize("moment", [b"", b"-1", b"1.5", b"x", b"9" * 19, "²".encode()])
def test_unreadable_moment_is_none(moment: bytes) -> None:
    headers = [("walker-trust", b"claimed"), ("walker-stated-at", moment)]
    assert received_of(EVENT, headers, ANYBODY).stated_at is None


def test_value_is_json_on_a_line() -> None:
    assert orjson.loads(value_of(EVENT)) == EVENT
    with pytest.raises(Rejected, match="cannot be written as JSON"):
        value_of({"a": object()})
