"""The spool that keeps nothing on disk: numbers, dead letters, forgetting."""

from collections.abc import Sequence

import pytest

from tests.core.support import in_threads
from walker_collector.spool import Attempt, Change, Entry, Record, Run, State
from walker_collector.spool.memory import MemorySpool


def numbers_of(runs: Sequence[Run]) -> list[int]:
    return [entry[0] for entries, _ in runs for entry in entries]


def record(person: str = "id:u1", body: bytes = b"{}") -> Record:
    return Record(person, 5, body, {"there": State.WAITING})


def entry_of(spool: MemorySpool, person: str = "id:u1") -> Entry:
    offered: list[Entry] = []
    spool.append([record(person)], lambda runs: offered.extend(e for run, _ in runs for e in run))
    return offered[0]


def bury_alive(spool: MemorySpool, entry: Entry, destination: str = "there") -> None:
    attempt = Attempt(3, reason="no", parts={"a": "done", "b": "begun"}, consent={"x": True})
    spool.settle(destination, [Change(entry, State.DEAD, attempt, at=9)])


def test_events_are_numbered_and_offered_in_order_from_many_threads() -> None:
    spool = MemorySpool()
    offered: list[int] = []

    def push() -> None:
        for _ in range(200):
            spool.append(
                [record()] * 3, lambda runs: offered.extend(e[0] for run, _ in runs for e in run)
            )

    in_threads(*[push] * 4)
    assert offered == list(range(1, 2_401))


def test_nothing_is_read_back_but_dead_letters() -> None:
    spool = MemorySpool()
    entry_of(spool)
    assert (spool.load("there", 0, 9), spool.held("there"), spool.counts()) == ([], [], {})
    assert (spool.told("id:u1"), spool.link("id:u1")) == ({}, (None, None))
    assert (spool.aliases_of("id:u1"), spool.last_stamp()) == ([], 0)
    assert not spool.durable
    assert not spool.any_told()


def test_dead_letter_says_what_why_and_when() -> None:
    spool = MemorySpool()
    entry = entry_of(spool)
    bury_alive(spool, entry)
    (letter,) = spool.dead("there")
    assert (letter.seq, letter.person, letter.body) == (entry[0], "id:u1", b"{}")
    assert (letter.reason, letter.attempts, letter.consent) == ("no", 3, {"x": True})
    assert (letter.accepted_at, letter.died_at) == (5, 9)
    assert spool.dead("elsewhere") == []
    assert spool.counts() == {"there": {State.DEAD: 1}}
    assert spool.size() == 1


def test_revived_letter_is_an_entry_again_once_without_what_was_done() -> None:
    spool = MemorySpool()
    entry = entry_of(spool)
    bury_alive(spool, entry)
    letters = spool.dead()
    (stored,) = spool.revive(letters)
    assert stored.entry == entry
    assert stored.attempt == Attempt(parts={"a": "done"})
    assert spool.revive(letters) == []
    assert spool.dead() == []


def test_buried_letters_are_gone() -> None:
    spool = MemorySpool()
    for _ in range(3):
        bury_alive(spool, entry_of(spool))
    assert [letter.seq for letter in spool.dead(limit=2)] == [1, 2]
    assert spool.bury(spool.dead(limit=2)) == 2
    assert [letter.seq for letter in spool.dead()] == [3]


@pytest.mark.parametrize("people", [["id:u1"], ["id:u1", "session:s"]])
def test_forgotten_person_has_no_letters(people: list[str]) -> None:
    spool = MemorySpool()
    for person in ("id:u1", "id:u2"):
        bury_alive(spool, entry_of(spool, person))
    bury_alive(spool, entry_of(spool), "elsewhere")
    forgotten = spool.forget(people)
    assert forgotten.seqs == {1, 3}
    assert forgotten.counts == {("there", State.DEAD): 1, ("elsewhere", State.DEAD): 1}
    assert [letter.person for letter in spool.dead()] == ["id:u2"]
