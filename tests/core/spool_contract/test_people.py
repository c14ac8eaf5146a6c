"""Identities, consent and erasures: one truth for all processes, with news of each change."""

import pytest

from tests.core.spool_contract.conftest import Store
from tests.core.spool_contract.engines import Process
from tests.support import wait_until
from walker_collector.moments import now_ms
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import (
    NewEvent,
    PeopleChange,
    PeopleUpdate,
    StalePeople,
    State,
    shard_of,
)


def test_every_process_knows_what_one_has_learned(process: Process, other: Process) -> None:
    assert not other.spool.has_consent()
    process.spool.learn(
        PeopleUpdate(
            aliases={"session:s": "id:a", "device:d": "id:a"},
            signed_in={"device:d": "id:b"},
            consents={"id:a": {"marketing": (True, 7), "sales": (False, 9)}},
        )
    )
    assert other.spool.consent_of("id:a") == {"marketing": (True, 7), "sales": (False, 9)}
    assert other.spool.consent_of("id:b") == {}
    assert other.spool.has_consent()
    wait_until(lambda: other.spool.last_stamp() == 9)
    assert other.spool.link("device:d") == ("id:a", "id:b")
    assert other.spool.link("session:unknown") == (None, None)
    assert sorted(other.spool.aliases_of("id:a")) == ["device:d", "session:s"]


def test_news_name_the_people_and_the_merges_since_a_version(
    process: Process, other: Process
) -> None:
    counter, before = other.spool.people_changes, other.version()
    process.spool.learn(PeopleUpdate(consents={"id:a": {"marketing": (True, 7)}}))
    wait_until(lambda: other.spool.people_changes != counter)
    middle = other.spool.people_since(before)
    process.spool.learn(PeopleUpdate(aliases={"session:s": "id:a"}))
    assert middle.changes == [PeopleChange("id:a", None)]
    assert other.spool.people_since(middle.version).changes == [PeopleChange("session:s", "id:a")]
    assert other.spool.people_since(other.version()).changes == []


def test_each_change_counts_once(process: Process) -> None:
    spool, counter = process.spool, process.spool.people_changes
    spool.learn(PeopleUpdate(aliases={"session:s": "id:a"}, signed_in={"device:d": "id:b"}))
    spool.learn(PeopleUpdate(consents={"id:a": {"marketing": (True, 7)}}))
    assert spool.people_changes == counter + 2
    spool.announce()
    assert spool.people_changes == counter + 3


def test_own_changes_are_known_and_those_of_others_are_looked_for(
    process: Process, other: Process
) -> None:
    mine, theirs = (ConsentStore(item.spool, {}, 100, now_ms) for item in (process, other))
    mine.record_consent({"marketing": True}, {"id": "a", "session": "s"})
    assert not mine.is_stale
    wait_until(lambda: theirs.is_stale)
    theirs.refresh()
    assert theirs.state("id:a") == {"marketing": True}
    theirs.record_consent({"marketing": False}, {"id": "a"})
    wait_until(lambda: mine.is_stale)
    mine.record_consent({"sales": True}, {"id": "a"})
    assert mine.state("id:a") == {"marketing": False, "sales": True}


def test_an_update_that_is_based_on_an_older_version_is_refused(
    process: Process, other: Process
) -> None:
    version = process.version()
    other.spool.learn(PeopleUpdate(aliases={"session:s": "id:b"}, based_on=version))
    late = PeopleUpdate(aliases={"session:s": "id:a"}, based_on=version)
    with pytest.raises(StalePeople):
        process.spool.learn(late)
    event = NewEvent("id:a", 1_000, b"{}", {"crm": State.WAITING})
    with pytest.raises(StalePeople):
        process.spool.append([event], lambda runs: None, late)
    assert process.spool.size() == 0
    assert process.spool.link("session:s") == ("id:b", None)


def test_an_erasure_removes_everything_and_names_nobody(process: Process, other: Process) -> None:
    process.accept("id:a", "session:s", "id:b")
    process.accept("id:a", state=State.HELD)
    process.spool.learn(
        PeopleUpdate(
            aliases={"session:s": "id:a"},
            signed_in={"device:d": "id:b"},
            consents={"id:a": {"marketing": (True, 7)}},
        )
    )
    version, erasures = other.version(), other.spool.erasures
    erased = process.spool.erase(["id:a", "session:s", "device:d"])
    assert len(erased.seqs) == 3
    assert erased.counts == {("crm", State.WAITING): 2, ("crm", State.HELD): 1}
    assert erased.versions == (version, other.version())
    wait_until(lambda: other.spool.erasures != erasures)
    news = other.spool.people_since(version)
    assert news.moved
    assert len(news.erased) == 3
    assert news.changes == []
    assert [item.entry[1] for item in other.spool.load("crm", 0, 9, held=True)] == ["id:b"]
    assert other.spool.consent_of("id:a") == {}
    assert other.spool.aliases_of("id:a") == []
    assert other.spool.link("device:d")[0] == "id:b"  # who had signed in there has it now


def test_an_erasure_that_has_ended_early_is_adopted_by_one_process(
    process: Process, other: Process
) -> None:
    erasure = process.spool.begin_erasure()
    process.spool.schedule_erasure(["id:a"], erasure)
    mine, theirs = process.spool.begin_erasure(), other.spool.begin_erasure()
    assert other.spool.adopt_erasures(theirs) == set()  # it is under way
    process.spool.end_erasure(erasure)
    assert other.spool.adopt_erasures(theirs) == {"id:a"}
    assert process.spool.adopt_erasures(mine) == set()
    other.spool.cancel_erasure(theirs)
    assert process.spool.pending_erasures() == set()


def test_events_are_in_the_shard_of_their_person_and_move_with_a_merge(store: Store) -> None:
    store.shards = 64
    process, other = store.open(), store.open()

    def there(person: str) -> list[str]:
        shards = {shard_of(person, 0, 64)}
        found = other.spool.load("crm", 0, 100, held=True, shards=shards)
        held = [item.entry for item in other.spool.held("crm", shards)]
        assert held == [item.entry for item in found if item.held]
        return [item.entry[1] for item in found]

    process.accept("session:s", "id:a")
    process.accept("session:s", state=State.HELD)
    assert (there("session:s"), there("id:a")) == (["session:s"] * 2, ["id:a"])
    other.spool.learn(PeopleUpdate(aliases={"session:s": "id:a"}))
    last, *_ = process.accept("session:s")  # which does not know of the merge yet
    assert (there("session:s"), there("id:a")) == (
        [],
        ["session:s", "id:a", "session:s", "session:s"],
    )
    found = process.spool.of_person("crm", "id:a", up_to=last - 1)
    assert [item.entry[0] for item in found] == [last - 3, last - 2, last - 1]
    assert [item.held for item in found] == [False, False, True]
