"""The part of the contract that holds in memory as well: events accepted once, and dead letters."""

import threading
from collections.abc import Sequence

import pytest

from tests.support import join
from walker_collector.errors import Overtaken, SpoolError
from walker_collector.spool import (
    DeliveryState,
    Entry,
    EntryRun,
    NewEvent,
    SpoolUpdate,
    State,
    UpdateKind,
)
from walker_collector.spool.base import RECENT
from walker_collector.spool.engine_protocol import EventStore
from walker_collector.spool.repeats import Unstored, mark_of_id

WAITING, HELD, DEAD = State.WAITING, State.HELD, State.DEAD


def event(person: str = "id:a", body: bytes = b"{}", id_: str = "", at: int = 1_000) -> NewEvent:
    return NewEvent(person, at, body, {"crm": WAITING}, mark=mark_of_id(id_) if id_ else b"")


def append(store: EventStore, *events: NewEvent) -> list[Entry]:
    """Append events; return the entries of those that were stored."""
    taken: list[Entry] = []

    def take(runs: Sequence[EntryRun]) -> None:
        taken.extend(entry for entries, _ in runs for entry in entries)

    seqs = store.append(events, take)
    assert [entry[0] for entry in taken] == list(seqs)
    return taken


def bury(store: EventStore, entry: Entry, reason: str = "no", error: str = "") -> None:
    attempt = DeliveryState(3, reason=reason, parts={"a": "done", "b": "begun"}, error=error)
    store.settle("crm", [SpoolUpdate(entry, UpdateKind.DEAD, attempt, at=5_000)])


def test_committed_entries_are_handed_over_before_append_returns(event_store: EventStore) -> None:
    given: list[tuple[list[Entry], dict[str, State]]] = []

    def take(runs: Sequence[EntryRun]) -> None:
        given.extend((found, dict(states)) for found, states in runs)

    events = [event(), event(body=b"[]"), event(), event()]
    events[2].states, events[3].states = {"crm": HELD}, {"file": WAITING}
    first, *_ = event_store.append(events, take)
    assert given == [
        ([(first, "id:a", 1_000, b"{}"), (first + 1, "id:a", 1_000, b"[]")], {"crm": WAITING}),
        ([(first + 2, "id:a", 1_000, b"{}")], {"crm": HELD}),
        ([(first + 3, "id:a", 1_000, b"{}")], {"file": WAITING}),
    ]


def test_events_of_many_threads_are_handed_over_in_the_order_of_their_numbers(
    event_store: EventStore,
) -> None:
    given: list[int] = []

    def take(runs: Sequence[EntryRun]) -> None:
        given.extend(entry[0] for entries, _ in runs for entry in entries)

    def push() -> None:
        for _ in range(20):
            event_store.append([event()] * 3, take)

    threads = [threading.Thread(target=push) for _ in range(4)]
    for thread in threads:
        thread.start()
    join(*threads)
    assert given == list(range(1, 241))


def test_an_id_that_comes_twice_is_stored_once(event_store: EventStore) -> None:
    events = [event(id_=id_) for id_ in ("a", "b", "a", "a")]
    assert [entry[0] for entry in append(event_store, *events)] == [1, 2]
    assert [item.repeats for item in events] == [0, 0, 1, 1]
    assert append(event_store, again := event(id_="b")) == []
    assert again.repeats == 2
    assert [entry[0] for entry in append(event_store, event(), event())] == [3, 4]


def test_ids_are_forgotten_after_their_time(event_store: EventStore) -> None:
    append(event_store, event(id_="a", at=1_000))
    assert append(event_store, event(id_="a", at=1_000 + RECENT)) == []
    assert len(append(event_store, event(id_="a", at=1_001 + RECENT))) == 1
    assert append(event_store, event(id_="a", at=1_002 + RECENT)) == []


def test_a_mark_may_come_without_an_event(event_store: EventStore) -> None:
    mark = mark_of_id("command")
    assert not event_store.came_before([mark], 1_000)
    event_store.keep_mark(mark, 1_000)
    assert event_store.came_before([mark], 2_000)
    assert not event_store.came_before([mark], 1_001 + RECENT)
    event_store.keep_unstored([Unstored(mark_of_id("x"), 1_000, {"crm": "ignored"})])
    assert event_store.size() == 0


def test_dead_letters_are_kept_until_they_are_replayed_or_deleted(event_store: EventStore) -> None:
    entries = append(event_store, event(), event("id:b"), event("id:c"))
    for entry in entries:
        bury(event_store, entry)
    one, two, three = event_store.dead("crm")
    assert (one.seq, one.person, one.body) == (entries[0][0], "id:a", b"{}")
    assert (one.reason, one.attempts, one.accepted_at, one.died_at) == ("no", 3, 1_000, 5_000)
    assert event_store.dead("file") == []
    assert event_store.dead(None, 2) == [one, two]
    assert (event_store.counts(), event_store.size()) == ({"crm": {DEAD: 3}}, 3)
    (again,) = event_store.requeue([one], without=["b"])
    assert again.entry == entries[0]
    assert again.delivery.parts == {"a": "done", "b": "done"}
    assert event_store.requeue([one]) == []
    assert event_store.delete_dead([two, two]) == 1
    assert event_store.delete_dead([two]) == 0
    assert event_store.dead() == [three]


def test_the_text_of_an_exception_stays_until_the_next_attempt(event_store: EventStore) -> None:
    (entry,) = append(event_store, event())
    bury(event_store, entry, error="no total in ines@example.org")
    (letter,) = event_store.dead()
    assert letter.error == "no total in ines@example.org"
    assert "ines" not in repr(letter)
    event_store.requeue([letter])
    bury(event_store, entry)
    assert [letter.error for letter in event_store.dead()] == [""]


def test_an_erasure_removes_the_dead_letters_of_its_people(event_store: EventStore) -> None:
    for entry in append(event_store, event("id:a"), event("session:s"), event("id:b")):
        bury(event_store, entry)
    before = event_store.erasures
    erased = event_store.erase(["id:a", "session:s"])
    assert (erased.seqs, erased.counts) == ({1, 2}, {("crm", DEAD): 2})
    assert [letter.person for letter in event_store.dead()] == ["id:b"]
    assert event_store.erasures != before


def test_an_event_whose_person_was_erased_meanwhile_is_refused(event_store: EventStore) -> None:
    before = event_store.erasures
    event_store.erase(["id:a"])
    late = event()
    late.as_of = before
    with pytest.raises(Overtaken):
        append(event_store, late)
    late.as_of = event_store.erasures
    assert len(append(event_store, late)) == 1


def test_a_closed_store_accepts_nothing(event_store: EventStore) -> None:
    assert not event_store.is_full
    event_store.close()
    with pytest.raises(SpoolError, match="closed"):
        append(event_store, event())
