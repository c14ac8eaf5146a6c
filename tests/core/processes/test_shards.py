"""Shards: where a person's events are delivered, the same in every process and version."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walker_collector.config import SpoolConfig
from walker_collector.errors import SpoolError
from walker_collector.spool import NewEvent, PeopleUpdate, State
from walker_collector.spool.shards import shard_of
from walker_collector.spool.sqlite import SqliteSpool


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


def spool(path: Path, shards: int | None) -> SqliteSpool:
    return SqliteSpool(SpoolConfig(path=str(path)), shards=shards)


def test_a_spool_keeps_the_number_of_shards_that_it_was_made_with(tmp_path: Path) -> None:
    with closing(spool(tmp_path / "spool.db", 8)) as made:
        assert made.shards == 8
        with closing(spool(tmp_path / "spool.db", None)) as other:
            assert other.shards == 8
        for wrong in (1, 4):
            with pytest.raises(SpoolError, match=r"made with 8 .* set collector.shards to 8, or"):
                spool(tmp_path / "spool.db", wrong)
    with closing(spool(tmp_path / "spool.db", 8)) as again:
        assert again.shards == 8
    with closing(spool(tmp_path / "one.db", None)) as one:
        assert one.shards == 1


def accept(made: SqliteSpool, *people: str, learned: PeopleUpdate | None = None) -> None:
    made.append(
        [NewEvent(person, 1, b"{}", {"crm": State.WAITING}) for person in people],
        lambda runs: None,
        learned,
    )


def there(made: SqliteSpool, shard: int) -> list[str]:
    return [item.entry[1] for item in made.load("crm", 0, 100, shards={shard})]


def test_an_event_is_in_the_shard_of_the_person_whom_its_key_belongs_to(tmp_path: Path) -> None:
    with closing(spool(tmp_path / "spool.db", 64)) as made:
        accept(made, "session:s-1", "id:ines", "device:d-1")
        assert there(made, 36) == ["id:ines"]
        assert there(made, 5) == ["session:s-1"]
        # With the merge, or after it by a process that does not know of it yet.
        accept(made, "session:s-1", learned=PeopleUpdate(aliases={"session:s-1": "id:ines"}))
        accept(made, "session:s-1")
        assert there(made, 5) == []
        assert there(made, 36) == ["session:s-1", "id:ines", "session:s-1", "session:s-1"]
        found = made.of_person("crm", "id:ines", up_to=4)
        assert [item.entry[0] for item in found] == [1, 2, 4]


def test_events_with_a_shard_that_there_is_not_are_put_into_their_persons(tmp_path: Path) -> None:
    with closing(spool(tmp_path / "spool.db", 8)) as made:
        accept(made, "id:ines", "session:s-1", "")
    with closing(sqlite3.connect(tmp_path / "spool.db")) as db, db:
        db.execute("UPDATE events SET shard = seq * 8")
    with closing(spool(tmp_path / "spool.db", 8)) as made:
        assert there(made, shard_of("id:ines", 1, 8)) == ["id:ines"]
        assert there(made, shard_of("session:s-1", 2, 8)) == ["session:s-1"]
        assert there(made, 3) == [""]
