"""The trace of events that came with an id lately: where they were delivered, and where not."""

import json

from tests.core.spool_contract.conftest import Store
from tests.core.spool_contract.engines import Process
from walker_collector.spool import DeliveryState, NewEvent, SpoolUpdate, State, UpdateKind
from walker_collector.spool.base import RECENT
from walker_collector.spool.repeats import RecentEvent, RecentOutcome, Unstored, mark_of_id

NOW = 5_000_000
BOTH = {"crm": State.WAITING, "shop": State.WAITING}


def event(id_: str, *, trusted: bool = True, person: str = "id:a") -> NewEvent:
    body = json.dumps({"id": id_}).encode()
    return NewEvent(person, NOW, body, BOTH, mark=mark_of_id(id_, trusted=trusted))


def accept(process: Process, *events: NewEvent) -> None:
    process.spool.append(events, lambda runs: None)


def finish(process: Process, destination: str, *outcomes: str) -> None:
    """Acknowledge the events that wait for a destination, each with an outcome."""
    entries = [item.entry for item in process.spool.load(destination, 0, 100)]
    updates = [
        SpoolUpdate(
            entry, UpdateKind.ACKED, DeliveryState(reason=f"why {outcome}"), NOW + 5, outcome
        )
        for entry, outcome in zip(entries, outcomes, strict=True)
    ]
    process.spool.settle(destination, updates)


def trace(process: Process, id_: str, now: int = NOW) -> RecentEvent | None:
    return process.spool.recent_event(id_, now)


def test_a_delivered_event_is_known_by_its_id_and_destinations(store: Store) -> None:
    process = store.open()
    accept(process, event("a"))
    for destination in BOTH:
        finish(process, destination, "")
    assert process.spool.size() == 0
    process.close()
    assert trace(store.open(), "a") == RecentEvent(NOW, 1, frozenset(BOTH), {})


def test_other_outcomes_are_noted_by_destination(process: Process, other: Process) -> None:
    accept(process, event("a"), event("b", trusted=False), event("c"))
    finish(process, "crm", "ignored", "empty", "")
    finish(other, "shop", "", "dropped", "dropped")
    ignored, empty, dropped = (
        RecentOutcome(kind, NOW + 5, f"why {kind}") for kind in ("ignored", "empty", "dropped")
    )
    assert trace(process, "a") == RecentEvent(NOW, 1, frozenset(BOTH), {"crm": ignored})
    found = trace(process, "b")
    assert found is not None
    assert found.outcomes == {"crm": empty, "shop": dropped}
    assert trace(other, "c") == RecentEvent(NOW, 3, frozenset(BOTH), {"shop": dropped})


def test_a_destination_that_leaves_an_event_out_is_noted_as_it_is_stored(process: Process) -> None:
    some = event("a")
    some.states, some.left_out = {"crm": State.WAITING}, {"shop": "ignored"}
    accept(process, event("b"), some)
    found = RecentEvent(NOW, 2, frozenset({"crm"}), {"shop": RecentOutcome("ignored", NOW)})
    assert trace(process, "a") == found


def test_an_event_that_nobody_takes_is_known_and_may_come_again(process: Process) -> None:
    ignored = Unstored(mark_of_id("a"), NOW, {"crm": "ignored"})
    process.spool.keep_unstored([ignored])
    process.spool.write_unstored()
    assert trace(process, "a") == RecentEvent(
        NOW, -1, frozenset(), {"crm": RecentOutcome("ignored", NOW)}
    )
    assert not process.spool.came_before([mark_of_id("a")], NOW)
    accept(process, event("a"))  # the flow has changed since
    stored = RecentEvent(NOW, 1, frozenset(BOTH), {})
    assert trace(process, "a") == stored
    process.spool.keep_unstored([ignored])
    process.spool.write_unstored()  # it was accepted, whatever the flow says now
    assert trace(process, "a") == stored


def test_dead_letters_that_are_deleted_and_erased_events_are_noted(process: Process) -> None:
    accept(process, event("a"), event("b", person="id:b"))
    first = process.spool.load("crm", 0, 1)[0].entry
    process.spool.settle("crm", [SpoolUpdate(first, UpdateKind.DEAD)])
    process.spool.delete_dead(process.spool.dead())
    process.spool.erase(["id:b"])
    deleted, erased = trace(process, "a"), trace(process, "b")
    assert deleted is not None
    assert erased is not None
    assert {id_: item.kind for id_, item in deleted.outcomes.items()} == {"crm": "deleted"}
    assert {item.kind for item in erased.outcomes.values()} == {"erased"}
    assert erased.outcomes.keys() == BOTH.keys()


def test_traces_end_with_their_ids(process: Process) -> None:
    accept(process, event("a"))
    finish(process, "crm", "ignored")
    assert trace(process, "a", NOW + RECENT) is not None
    assert trace(process, "a", NOW + RECENT + 1) is None
    assert trace(process, "b") is None
