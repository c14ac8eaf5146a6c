"""Whatever fails, and however a request is taken apart then: nothing overtakes, nothing is lost,
no message is sent twice.
"""

from collections.abc import Sequence
from typing import Any, Literal

from attrs import Factory, define
from hypothesis import given
from hypothesis import strategies as st

from tests.customerio.scripted import FAULTS, Scripted
from tests.customerio.support import Memory, settings_of
from tests.forms import examples
from walker_collector import Rejected
from walker_dest_customerio.clients import open_clients
from walker_dest_customerio.delivery import Delivery
from walker_dest_customerio.event_delivery import EventDelivery
from walker_dest_customerio.operations import (
    AddDevice,
    Identify,
    Merge,
    Message,
    Operation,
    SendEmail,
    SendPush,
    Track,
)
from walker_dest_customerio.plan import Plan

PEOPLE = ("ana", "bob", "eva", "kim")
KINDS = ("identify", "link", "cut", "merge", "device", "email", "push", "track", "large")
"""In the order in which one event asks for them."""
PART = {"link": "identify", "cut": "identify", "large": "track"}
POISON = ("item", "blind", "whole", "server")


def operation(kind: str, person: str, n: int) -> Operation:
    """Make an operation with a number that its request shows."""
    named = {"message_data": {"n": n}, "identifiers": {"id": person}}
    made: dict[str, Operation] = {
        "identify": Identify(person, {"n": n}),
        "link": Identify(person, {"n": n, "id": PEOPLE[n % len(PEOPLE)]}),
        "cut": Identify(person, {"n": n, "cio_relationships": {"action": "delete_relationships"}}),
        "merge": Merge("id", person, "id", f"m{n}"),
        "device": AddDevice(person, "token", "ios", {"n": n}),
        "email": SendEmail(named),
        "push": SendPush(named),
        "track": Track(person, "seen", {"n": n}),
        "large": Track(person, "seen", {"n": n, "text": "x" * 33_000}),
    }
    return made[kind]


@define(eq=False)
class Event:
    """One event of a person, and what it asks for; what became of it, over its attempts."""

    person: str
    operations: list[Operation]
    numbers: list[int]
    progress: Memory = Factory(Memory)
    error: Exception | None = None
    is_over: bool = False

    @property
    def named(self) -> list[tuple[int, Operation]]:
        return list(zip(self.numbers, self.operations, strict=True))


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    asked = draw(
        st.lists(
            st.tuples(st.sampled_from(PEOPLE), st.sets(st.sampled_from(KINDS), max_size=4)),
            min_size=1,
            max_size=12,
        )
    )
    made = []
    for at, (person, kinds) in enumerate(asked):
        # One part of each name.
        chosen = list({PART.get(kind, kind): kind for kind in KINDS if kind in kinds}.values())
        numbers = [at * 10 + KINDS.index(kind) + 1 for kind in chosen]
        operations = [operation(kind, person, n) for kind, n in zip(chosen, numbers, strict=True)]
        made.append(Event(person, operations, numbers))
    return made


scripts = st.lists(st.sampled_from(("", *FAULTS)), max_size=14)


def deliver_all(delivery: Delivery, given_events: Sequence[Event], cuts: Sequence[int]) -> None:
    """Deliver as the collector does: what is not over comes again, each person's in order."""
    for attempt in range(60):
        left = [event for event in given_events if not event.is_over]
        if not left:
            return
        cut = cuts[attempt] if attempt < len(cuts) else len(left)
        batch = left[: max(1, cut)]
        jobs = [
            EventDelivery(Plan(event.operations, person=event.person), event.progress)
            for event in batch
        ]
        delivery.deliver(jobs)
        for event, job in zip(batch, jobs, strict=True):
            event.error = job.error
            event.is_over = job.error is None or isinstance(job.error, Rejected)
            for done in job.done:
                event.progress.finish(done.part)
    raise AssertionError("it does not come to an end")


def check_order(server: Scripted, given_events: Sequence[Event]) -> None:
    first = {number: at for at, number in reversed(list(enumerate(server.arrived)))}
    for person in PEOPLE:
        theirs = [pair for event in given_events if event.person == person for pair in event.named]
        for is_message in (False, True):
            found = [
                first[number]
                for number, operation in theirs
                if isinstance(operation, Message) is is_message and number in first
            ]
            assert found == sorted(found), f"{person}: {found}"
        changes: list[int] = []
        for number, operation in theirs:
            if isinstance(operation, Message):
                assert all(at < first[number] for at in changes if number in first)
            elif number in first and not isinstance(operation, Track):
                changes.append(first[number])


def check_order_of_linked_people(server: Scripted, given_events: Sequence[Event]) -> None:
    first = {number: at for at, number in reversed(list(enumerate(server.arrived)))}
    for key in (f"id:{person}" for person in PEOPLE):
        found = [
            first[number]
            for event in given_events
            for number, operation in event.named
            if key in (f"id:{event.person}", *operation.people)
            if number in first and not isinstance(operation, Message)
        ]
        assert found == sorted(found), f"{key}: {found}"


def check_fates(server: Scripted, given_events: Sequence[Event]) -> None:
    for event in given_events:
        for number, operation in event.named:
            state = event.progress.state(operation.part)
            times = server.arrived.count(number)
            if isinstance(operation, Message):
                assert times <= 1
                assert state in ("done", "rejected", "begun")
                assert times == 1 or state != "done"
            else:
                assert state in ("done", "rejected")
                assert times >= 1 or state != "done"
        wrong = [p for p, state in event.progress.parts.items() if state != "done"]
        assert isinstance(event.error, Rejected) is bool(wrong)


@examples(100)
@given(
    events(),
    scripts,
    st.dictionaries(st.integers(1, 128), st.sampled_from(POISON[:3]), max_size=3),
    st.lists(st.integers(1, 12), max_size=6),
    st.sampled_from(["batch", "single"]),
)
def test_nothing_overtakes_nothing_is_lost_no_message_is_sent_twice(
    given_events: list[Event],
    script: list[str],
    poison: dict[int, str],
    cuts: list[int],
    mode: Literal["batch", "single"],
) -> None:
    server = Scripted(script, poison)
    clients = server.into(open_clients(settings_of(rateLimit=1e9, appRateLimit=1e9)))
    deliver_all(Delivery(clients, mode), given_events, cuts)
    check_order(server, given_events)
    check_fates(server, given_events)


@examples(70)
@given(
    events(),
    scripts,
    st.dictionaries(st.integers(1, 128), st.sampled_from(POISON), max_size=3),
    st.sampled_from(["batch", "single"]),
)
def test_nothing_overtakes_within_one_delivery_among_people_who_are_one(
    given_events: list[Event], script: list[str], poison: dict[int, str], mode: Any
) -> None:
    server = Scripted(script, poison)
    clients = server.into(open_clients(settings_of(rateLimit=1e9, appRateLimit=1e9)))
    jobs = [EventDelivery(Plan(event.operations, person=event.person)) for event in given_events]
    Delivery(clients, mode).deliver(jobs)
    check_order_of_linked_people(server, given_events)
