"""Shards: where a person's events are delivered, the same in every process and version."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from walker_collector.spool.processes.shards import shard_of


def test_a_key_has_the_same_shard_in_every_version() -> None:
    keys = ("id:ines", "device:d-1", "session:s-1", "id:ünï", "id:\ud800")
    assert [shard_of(key, 7, 64) for key in keys] == [36, 19, 5, 51, 3]


@given(st.text(min_size=1), st.integers(0), st.integers(0), st.integers(1, 256))
def test_a_person_has_one_shard_whatever_the_event(
    person: str, one: int, other: int, shards: int
) -> None:
    assert shard_of(person, one, shards) == shard_of(person, other, shards) < shards


def test_people_and_events_without_a_person_are_spread_evenly() -> None:
    people = Counter(shard_of(f"id:{n}", 0, 8) for n in range(8_000))
    nobody = Counter(shard_of("", n, 8) for n in range(8_000))
    assert set(nobody.values()) == {1_000}
    assert len(people) == 8
    assert min(people.values()) > 800
