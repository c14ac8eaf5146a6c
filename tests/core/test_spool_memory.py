"""The spool that keeps nothing on disk: numbers, dead letters, forgetting."""

from collections.abc import Sequence

import pytest

from tests.core.support import in_threads
from walker_collector.spool import (
    DeliveryState,
    Entry,
    EntryRun,
    NewEvent,
    SpoolUpdate,
    State,
    UpdateKind,
)
from walker_collector.spool.memory import MemorySpool


def numbers_of(runs: Sequence[EntryRun]) -> list[int]:
    return [entry[0] for entries, _ in runs for entry in entries]


def record(person: str = "id:u1", body: bytes = b"{}") -> NewEvent:
    return NewEvent(person, 5, body, {"there": State.WAITING})


def entry_of(spool: MemorySpool, person: str = "id:u1") -> Entry:
    offered: list[Entry] = []
    spool.append([record(person)], lambda runs: offered.extend(e for run, _ in runs for e in run))
    return offered[0]


def make_dead(spool: MemorySpool, entry: Entry, destination: str = "there") -> None:
    attempt = DeliveryState(3, reason="no", parts={"a": "done", "b": "begun"}, consent={"x": True})
    spool.settle(destination, [SpoolUpdate(entry, UpdateKind.DEAD, attempt, at=9)])


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


def test_waiting_events_are_not_kept() -> None:
    spool = MemorySpool()
    entry_of(spool)
    assert (spool.size(), spool.counts(), spool.dead()) == (0, {}, [])
    assert not spool.durable


def test_dead_letter_says_what_why_and_when() -> None:
    spool = MemorySpool()
    entry = entry_of(spool)
    make_dead(spool, entry)
    (letter,) = spool.dead("there")
    assert (letter.seq, letter.person, letter.body) == (entry[0], "id:u1", b"{}")
    assert (letter.reason, letter.attempts, letter.consent) == ("no", 3, {"x": True})
    assert (letter.accepted_at, letter.died_at) == (5, 9)
    assert spool.dead("elsewhere") == []
    assert spool.counts() == {"there": {State.DEAD: 1}}
    assert spool.size() == 1


def test_requeued_letter_is_an_entry_again_once_without_what_was_done() -> None:
    spool = MemorySpool()
    entry = entry_of(spool)
    make_dead(spool, entry)
    letters = spool.dead()
    (stored,) = spool.requeue(letters)
    assert stored.entry == entry
    assert stored.delivery == DeliveryState(parts={"a": "done"})
    assert spool.requeue(letters) == []
    assert spool.dead() == []


def test_buried_letters_are_gone() -> None:
    spool = MemorySpool()
    for _ in range(3):
        make_dead(spool, entry_of(spool))
    assert [letter.seq for letter in spool.dead(limit=2)] == [1, 2]
    assert spool.delete_dead(spool.dead(limit=2)) == 2
    assert [letter.seq for letter in spool.dead()] == [3]


@pytest.mark.parametrize("people", [["id:u1"], ["id:u1", "session:s"]])
def test_forgotten_person_has_no_letters(people: list[str]) -> None:
    spool = MemorySpool()
    for person in ("id:u1", "id:u2"):
        make_dead(spool, entry_of(spool, person))
    make_dead(spool, entry_of(spool), "elsewhere")
    erased = spool.erase(people)
    assert erased.seqs == {1, 3}
    assert erased.counts == {("there", State.DEAD): 1, ("elsewhere", State.DEAD): 1}
    assert [letter.person for letter in spool.dead()] == ["id:u2"]
