"""Consent at the collector: who is held, who is released, in which order, and who is forgotten."""

import threading
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.core.support import (
    MARKETING,
    PATIENCE,
    WITHDRAWN,
    Clock,
    Record,
    config,
    event,
    flow,
    guarded,
    held,
    in_threads,
    is_erasing,
    once,
    one,
    plugin,
    running,
    until,
)
from tests.forms import examples
from walker_collector import Collector, DestinationDown, Rejected, RetryLater
from walker_collector.config import RuleConfig

# --- holding and releasing -------------------------------------------------------------------


def test_held_event_is_released_for_its_person_only(spool: Path | None) -> None:
    record = Record()
    with running(guarded(record, spool)) as collector:
        for n, person in enumerate("abab"):
            assert collector.push(event(n, person)).destinations == {"there": "held"}
        collector.consent(MARKETING, user={"id": "b"})
        assert collector.flush(PATIENCE)
        assert record.numbers == [1, 3]
        assert held(collector) == 2


def test_what_each_event_says_itself_decides_of_it_alone(spool: Path | None) -> None:
    record = Record()
    # More different ones than are known again; half of them grant.
    own = [{f"purpose{n}": True, "marketing": n % 2 == 0} for n in range(1_200)]
    with running(guarded(record, spool)) as collector:
        results = collector.push_many([event(n, consent=each) for n, each in enumerate(own)])
        expected = [{"there": "accepted" if each["marketing"] else "held"} for each in own]
        assert [result.destinations for result in results] == expected
        assert collector.flush(PATIENCE)
        assert record.numbers == list(range(0, 1_200, 2))


def test_released_events_come_before_newer_ones_of_the_person(spool: Path | None) -> None:
    record, gate, begun = Record(), threading.Event(), threading.Event()

    def push(event: dict[str, Any], context: Any) -> None:
        begun.set()
        gate.wait(PATIENCE)
        record.push(event, context)

    with running(one(plugin(push), spool, consent=MARKETING)) as collector:
        collector.push(event(0, "other", consent=MARKETING))
        assert begun.wait(PATIENCE)  # so that what comes next is under way no more than this
        for n in (1, 2):
            collector.push(event(n, "a"))
        for n in (3, 4):
            collector.push(event(n, "a", consent=MARKETING))
        collector.consent(MARKETING, user={"id": "a"})
        collector.push(event(5, "a"))
        gate.set()
        assert collector.flush(PATIENCE)
        assert record.of("a") == [1, 2, 3, 4, 5]


def test_default_consent_releases_all_but_those_who_said_no(spool: Path | None) -> None:
    record = Record()
    with running(guarded(record, spool)) as collector:
        collector.consent(WITHDRAWN, user={"id": "no"})
        for n, person in enumerate(["a", "no", None, "b"]):
            collector.push(event(n, person))
        collector.push(event(9, "a", consent=WITHDRAWN))
        collector.consent(MARKETING)
        assert collector.flush(PATIENCE)
        assert record.numbers == [0, 2, 3]
        assert held(collector) == 2


def test_own_denial_is_never_overwritten_by_a_grant(spool: Path | None) -> None:
    record = Record()
    with running(guarded(record, spool)) as collector:
        collector.push(event(1, consent=WITHDRAWN))
        collector.consent(MARKETING, user={"id": "u1"})
        collector.push(event(2, consent=WITHDRAWN))
        collector.push(event(3))
        assert collector.flush(PATIENCE)
        assert record.numbers == [3]


def test_events_that_a_rule_ignores_do_not_push_out_what_is_held(spool: Path | None) -> None:
    record = Record()
    rules = {"page": {"*": RuleConfig(ignore=True)}}
    with running(guarded(record, spool, queue_max=100, mapping=rules)) as collector:
        collector.push(event(0, "a"))
        for n in range(1, 201):
            result = collector.push({**event(n, "ab"[n % 2]), "name": "page view"}, wait=True)
            assert result.destinations == {"there": "ignored"}
        there = collector.status().destinations["there"]
        assert (there.held, there.ignored, there.dropped, there.accepted) == (1, 200, 0, 201)
        assert collector.status().accepted == 201
        assert collector.status().stored == (1 if spool else 0)
        collector.consent(MARKETING, user={"id": "a"})
        assert collector.flush(PATIENCE)
        assert record.numbers == [0]


def test_event_that_one_destination_ignores_waits_for_the_others(spool: Path | None) -> None:
    record, other = Record(), Record()
    ignoring = config(mapping={"*": {"*": RuleConfig(ignore=True)}})
    destinations = {"there": (plugin(record.push), config()), "no": (plugin(other.push), ignoring)}
    with running(flow(destinations, spool)) as collector:
        for result in collector.push_many([event(1), event(2)]):
            assert result.destinations == {"there": "accepted", "no": "ignored"}
        assert collector.flush(PATIENCE)
    assert (record.numbers, other.numbers) == ([1, 2], [])


def test_event_that_a_condition_has_ignored_is_not_held(spool: Path | None) -> None:
    record = Record()
    ignore = RuleConfig(ignore=True, condition=lambda value: value["data"]["n"] == 1)
    rules = {"order": {"*": [ignore, RuleConfig()]}}
    with running(guarded(record, spool, mapping=rules)) as collector:
        assert collector.push(event(1)).destinations == {"there": "ignored"}
        assert collector.push(event(2)).destinations == {"there": "held"}
        assert collector.status().destinations["there"].ignored == 1


def test_event_that_is_ignored_by_what_is_granted_is_held_and_looked_at_when_released(
    spool: Path | None,
) -> None:
    record = Record()
    condition = lambda value: "sales" not in value["consent"]  # noqa: E731 - short as in a flow
    ignore = RuleConfig(ignore=True, condition=condition)
    rules = {"order": {"*": [ignore, RuleConfig()]}}
    with running(guarded(record, spool, mapping=rules)) as collector:
        assert collector.push(event(1)).destinations == {"there": "held"}
        assert collector.push(event(2, consent={"sales": True})).destinations == {"there": "held"}
        collector.consent(MARKETING, user={"id": "u1"})
        assert collector.flush(PATIENCE)
        assert record.numbers == [2]
        assert collector.status().destinations["there"].ignored == 1


def test_flood_of_one_person_costs_nobody_else_what_is_held(spool: Path | None) -> None:
    record = Record()
    with running(guarded(record, spool, queue_max=10)) as collector:
        collector.push(event(0, "a"))
        collector.push_many([event(n, "flood") for n in range(1, 101)])
        there = collector.status().destinations["there"]
        assert (there.held, there.dropped) == (10, 91)
        collector.consent(MARKETING)
        assert collector.flush(PATIENCE)
        assert record.numbers == [0, *range(92, 101)]


@pytest.mark.parametrize("own", [None, {"statistics": True}])
def test_decision_follows_a_change_of_the_default(
    own: dict[str, bool] | None, spool: Path | None
) -> None:
    record = Record()
    parts = {} if own is None else {"consent": own}
    with running(guarded(record, spool)) as collector:
        for n, granted in enumerate([None, True, False, True, False]):
            if granted is not None:
                collector.consent({"marketing": granted})
            expected = {"there": "accepted" if granted else "held"}
            for _ in range(2):
                assert collector.push(event(n, **parts)).destinations == expected


def test_decision_follows_the_first_and_every_later_word_of_a_person(spool: Path | None) -> None:
    record = Record()
    with running(guarded(record, spool)) as collector:
        assert collector.push(event(0)).destinations == {"there": "held"}
        for n, granted in enumerate([True, False, True, False], 1):
            collector.consent({"marketing": granted}, user={"id": "u1"})
            for _ in range(2):
                result = collector.push(event(n)).destinations
                assert result == {"there": "accepted" if granted else "held"}
            assert collector.push(event(n, "other")).destinations == {"there": "held"}


def test_consent_the_flow_starts_with_is_the_default() -> None:
    record = Record()
    destinations = {"there": (plugin(record.push), config(consent=MARKETING))}
    with running(flow(destinations, consent=MARKETING)) as collector:
        collector.push(event(1))
        assert collector.flush(PATIENCE)
        collector.consent(WITHDRAWN)
        collector.push(event(2))
        assert collector.flush(PATIENCE)
        assert record.numbers == [1]


def test_all_of_the_keys_are_asked_for_where_the_flow_says_so() -> None:
    record = Record()
    both = {"marketing": True, "ads": True}
    with running(guarded(record, consent=both, consent_mode="all")) as collector:
        collector.consent(MARKETING, user={"id": "u1"})
        collector.push(event(1))
        assert held(collector) == 1
        collector.consent({"ads": True}, user={"id": "u1"})
        assert collector.flush(PATIENCE)
        assert record.numbers == [1]


def test_nothing_that_waits_is_sent_after_a_withdrawal(spool: Path | None) -> None:
    record, gate, under_way = Record(), threading.Event(), threading.Event()

    def push(event: dict[str, Any], context: Any) -> None:
        record.push(event, context)
        under_way.set()
        gate.wait(PATIENCE)

    with running(one(plugin(push), spool, consent=MARKETING)) as collector:
        collector.consent(MARKETING, user={"id": "u1"})
        collector.push_many([event(n) for n in range(20)])
        assert under_way.wait(PATIENCE)
        collector.consent(WITHDRAWN, user={"id": "u1"})
        gate.set()
        assert collector.flush(PATIENCE)
        assert record.numbers == [0]
        assert held(collector) == 19
        collector.consent(MARKETING, user={"id": "u1"})
        assert collector.flush(PATIENCE)
        assert record.numbers == list(range(20))


def test_retry_is_not_sent_after_a_withdrawal(spool: Path | None) -> None:
    clock, record = Clock(), Record()

    def push(event: dict[str, Any], context: Any) -> None:
        record.push(event, context)
        raise RetryLater("busy", after=60)

    with running(one(plugin(push), spool, consent=MARKETING), now=clock) as collector:
        collector.consent(MARKETING, user={"id": "u1"})
        collector.push(event(1))
        until(lambda: collector.status().destinations["there"].due == 1)
        collector.consent(WITHDRAWN, user={"id": "u1"})
        clock.advance(400_000)
        assert collector.flush(PATIENCE)
        assert (record.numbers, held(collector)) == ([1], 1)


# --- logging in ------------------------------------------------------------------------------


def test_what_a_session_granted_holds_after_login(spool: Path | None) -> None:
    record = Record()
    with running(guarded(record, spool)) as collector:
        collector.consent(MARKETING, user={"session": "s"})
        collector.push(event(1, user={"session": "s", "id": "a"}))
        collector.push(event(2, "a"))
        assert collector.flush(PATIENCE)
        assert record.numbers == [1, 2]


def test_login_releases_what_was_held_for_the_session(spool: Path | None) -> None:
    record = Record()
    with running(guarded(record, spool)) as collector:
        collector.push(event(1, user={"device": "d"}))
        collector.push(event(2, user={"session": "s", "device": "d"}))
        collector.consent(MARKETING, user={"id": "a"})
        assert held(collector) == 2
        collector.push(event(3, user={"session": "s", "device": "d", "id": "a"}))
        assert collector.flush(PATIENCE)
        assert record.numbers == [1, 2, 3]


def test_login_during_a_retry_waits_for_the_session(spool: Path | None) -> None:
    clock, record, busy = Clock(), Record(), [True]

    def push(event: dict[str, Any], context: Any) -> None:
        if busy[0]:
            raise RetryLater("busy", after=60)
        record.push(event, context)

    with running(one(plugin(push), spool), now=clock) as collector:
        collector.push(event(1, user={"session": "s"}))
        until(lambda: collector.status().destinations["there"].due == 1)
        busy[0] = False
        collector.push(event(2, user={"session": "s", "id": "a"}))
        collector.push(event(3, "other"))
        record.wait_for(1)
        assert record.numbers == [3]
        clock.advance(400_000)
        assert collector.flush(PATIENCE)
        assert record.numbers == [3, 1, 2]


def test_consent_is_remembered_over_a_restart(tmp_path: Path) -> None:
    record, spool = Record(), tmp_path / "spool.db"
    with running(guarded(record, spool)) as collector:
        collector.consent(MARKETING, user={"session": "s"})
        collector.push(event(1, user={"session": "s", "id": "a"}))
        collector.push(event(2, "b"))
        assert collector.flush(PATIENCE)
    with running(guarded(record, spool)) as collector:
        collector.push(event(3, user={"session": "s"}))
        collector.push(event(4, "a"))
        assert collector.flush(PATIENCE)
        assert held(collector) == 1
        collector.consent(MARKETING, user={"id": "b"})
        assert collector.flush(PATIENCE)
    assert record.numbers == [1, 3, 4, 2]


# --- telling destinations --------------------------------------------------------------------


def test_change_of_consent_is_told_in_order_with_the_persons_events(spool: Path | None) -> None:
    told: list[Any] = []
    cls = plugin(
        lambda event, context: told.append(event["data"]["n"]),
        consent=lambda update, state, person: told.append((update, state, person and person.id)),
    )
    with running(one(cls, spool)) as collector:
        collector.push(event(1))
        collector.consent({"a": True}, user={"id": "u1"})
        collector.push(event(2))
        collector.consent({"b": False}, user={"id": "u1"})
        assert collector.flush(PATIENCE)
        collector.consent({"c": True})
        assert collector.flush(PATIENCE)
    assert told == [
        1,
        ({"a": True}, {"a": True}, "u1"),
        2,
        ({"b": False}, {"a": True, "b": False}, "u1"),
        ({"c": True}, {"c": True}, None),
    ]


def test_person_is_addressed_as_known_by_now() -> None:
    people: list[Any] = []
    cls = plugin(Record().push, consent=lambda update, state, person: people.append(person))
    with running(flow(cls)) as collector:
        collector.push(event(1, user={"session": "s", "id": "a"}))
        collector.consent(MARKETING, user={"session": "s"})
        assert collector.flush(PATIENCE)
    assert [(person.id, person.session) for person in people] == [("a", "s")]


# --- races -----------------------------------------------------------------------------------


def test_no_grant_is_missed_by_an_event_that_is_being_accepted(spool: Path | None) -> None:
    record = Record()
    with running(guarded(record, spool)) as collector:

        def visit(thread: int) -> None:
            for n in range(60):
                collector.push(event(n, f"u{thread}-{n}"))

        def grant(thread: int) -> None:
            for n in range(60):
                collector.consent(MARKETING, user={"id": f"u{thread}-{n}"})

        work: list[Any] = []
        for thread in range(3):
            work += [lambda t=thread: visit(t), lambda t=thread: grant(t)]
        in_threads(*work)
        assert collector.flush(PATIENCE)
        assert held(collector) == 0
    assert len(record.numbers) == 180


def test_grants_and_withdrawals_from_many_threads_keep_every_persons_order(
    spool: Path | None,
) -> None:
    record = Record()
    people = 4
    with running(guarded(record, spool, concurrency=3)) as collector:

        def visit(person: int) -> None:
            for n in range(120):
                collector.push(event(person * 1_000 + n, f"u{person}"))

        def decide(person: int) -> None:
            for n in range(60):
                collector.consent({"marketing": n % 2 == 0}, user={"id": f"u{person}"})

        work: list[Any] = []
        for person in range(people):
            work += [lambda p=person: visit(p), lambda p=person: decide(p)]
        in_threads(*work)
        for person in range(people):
            collector.consent(MARKETING, user={"id": f"u{person}"})
        assert collector.flush(PATIENCE)
    for person in range(people):
        assert record.of(f"u{person}") == list(range(person * 1_000, person * 1_000 + 120))


# --- forgetting ------------------------------------------------------------------------------


def test_forgotten_person_has_nothing_anywhere(spool: Path | None) -> None:
    clock, record = Clock(), Record()

    def push(event: dict[str, Any], context: Any) -> None:
        if event["data"]["n"] == 1:
            raise Rejected("no")
        if event["data"]["n"] == 2:
            raise RetryLater("busy", after=60)
        record.push(event, context)

    rules = {"ad": {"*": RuleConfig(consent={"ads": True})}}
    with running(one(plugin(push), spool, mapping=rules), now=clock) as collector:
        collector.consent(MARKETING, user={"id": "a", "session": "s"})
        collector.push({**event(7, user={"session": "s"}), "name": "ad click"})
        collector.push({**event(8, "b"), "name": "ad click"})
        until(lambda: held(collector) == 2)
        for n, person in enumerate(["a", "a", "a", "a", "b", "b"]):
            collector.push(event(n, person))
        until(lambda: collector.status().destinations["there"].due == 1)
        assert collector.forget({"session": "s"}) == 4  # dead, tried again, parked, held
        assert collector.flush(PATIENCE)
        there = collector.status().destinations["there"]
        assert (there.waiting, there.held, there.dead, collector.dead()) == (0, 1, 0, [])
        clock.advance(10**9)
        assert collector.flush(PATIENCE)
        assert record.numbers == [0, 4, 5]
        assert collector.forget({"id": "a"}) == 0


def test_forgetting_waits_for_what_is_under_way(spool: Path | None) -> None:
    record, gate, under_way = Record(), threading.Event(), threading.Event()

    def push(event: dict[str, Any], context: Any) -> None:
        under_way.set()
        gate.wait(PATIENCE)
        record.push(event, context)

    with running(one(plugin(push), spool)) as collector:
        collector.push(event(1, "a"))
        assert under_way.wait(PATIENCE)
        collector.push(event(2, "a"))
        once(lambda: is_erasing(collector), gate.set)
        assert collector.forget({"id": "a"}) == 1
        assert record.numbers == [1]
        assert collector.flush(PATIENCE)
        collector.push(event(3, "a"))
        assert collector.flush(PATIENCE)
        assert record.numbers == [1, 3]


def test_forgotten_events_beyond_the_part_in_memory_are_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walker_collector.delivery.window.WINDOW", 10)
    record, gate = Record(), threading.Event()
    cls = plugin(record.push, init=lambda context: gate.wait(PATIENCE), batch_size=2)
    with running(one(cls, tmp_path / "spool.db")) as collector:
        for n in range(100):
            collector.push(event(n, "ab"[n % 2]))
        once(lambda: is_erasing(collector), gate.set)
        gone = collector.forget({"id": "a"})
        assert collector.flush(PATIENCE)
        assert len(record.of("a")) == 50 - gone <= 1
        assert record.of("b") == list(range(1, 100, 2))
        assert collector.status().destinations["there"].waiting == 0


def test_forgetting_and_pushing_at_once_keeps_the_figures(spool: Path | None) -> None:
    record = Record()
    with running(one(plugin(record.push), spool, concurrency=2)) as collector:

        def visit() -> None:
            for n in range(100):
                collector.push(event(n, "ab"[n % 2]))

        def forget() -> None:
            for _ in range(20):
                collector.forget({"id": "a"})

        in_threads(visit, visit, forget)
        assert collector.flush(PATIENCE)
        assert collector.status().destinations["there"].waiting == 0
    assert len(record.of("b")) == 100


def test_event_that_comes_just_after_the_spool_has_erased_its_person_is_delivered(
    spool: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record()
    with running(one(plugin(record.push), spool)) as collector:
        collector.push(event(0, "b"))
        assert collector.flush(PATIENCE)
        consents = collector._life.runtime.erasure._consents
        erase = consents.erase

        def erase_and_push(people: set[str]) -> Any:
            removed = erase(people)
            pusher = threading.Thread(target=collector.push, args=(event(1, "a"),))
            pusher.start()
            pusher.join(PATIENCE)
            return removed

        monkeypatch.setattr(consents, "erase", erase_and_push)
        collector.forget({"id": "a"})
        assert collector.flush(PATIENCE)
        assert collector.status().destinations["there"].waiting == 0
    assert record.numbers == ([0, 1] if spool else [0])  # in memory it goes with the others


def test_destination_has_a_person_forgotten_after_its_own_delivery(tmp_path: Path) -> None:
    record = Record()

    def push(event: dict[str, Any], context: Any) -> None:
        record.push(event, context)
        if event["name"] == "profile erase":
            context.destination.forget(event["user"])

    with running(one(plugin(push), tmp_path / "spool.db", consent=MARKETING)) as collector:
        collector.push(event(1, "a"))
        collector.push({**event(2, "a", consent=MARKETING), "name": "profile erase"})
        until(lambda: held(collector) == 0)
        assert collector.flush(PATIENCE)
    assert record.numbers == [2]


# --- any sequence ----------------------------------------------------------------------------


class Visits(RuleBasedStateMachine):
    """People come, grant, withdraw and log in; the process restarts; the model says who may get
    what, and when. Deliveries stop inside the destination, one at a time, until they are let
    through, so that it is known what was under way when somebody said something.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.durable = False
        self.n = 0
        self.granted: dict[str, bool] = {}
        self.default = False
        self.pushed: dict[str, list[int]] = defaultdict(list)
        self.own: dict[int, bool | None] = {}
        self.sent: list[tuple[int, str]] = []
        self.violations: list[str] = []
        self.allowed = threading.Semaphore(0)
        self.inside = threading.Event()
        self.open = False

    @initialize(durable=st.booleans(), batched=st.booleans())
    def begin(self, durable: bool, batched: bool) -> None:
        self.durable = durable
        self.cls = plugin(None, self.push_batch, linger=0) if batched else plugin(self.push)
        self.start()

    def start(self) -> None:
        spool = f"{self.folder.name}/spool.db" if self.durable else None
        self.collector = Collector(one(self.cls, spool, consent=MARKETING))

    def push_batch(self, batch: Any) -> None:
        for item in batch:
            self.note(item.event)
        self.pass_through()

    def push(self, event: dict[str, Any], context: Any) -> None:
        self.note(event)
        self.pass_through()

    def pass_through(self) -> None:
        self.inside.set()
        if not self.open:
            self.allowed.acquire(timeout=PATIENCE)
        self.inside.clear()

    def note(self, event: dict[str, Any]) -> None:
        n, person = event["data"]["n"], event["user"]["id"]
        if not self.may_go(n, person):
            self.violations.append(f"{n} was sent to {person} without consent")
        self.sent.append((n, person))

    def may_go(self, n: int, person: str) -> bool:
        own = self.own[n]
        return own if own is not None else self.granted.get(person, self.default)

    def settle(self) -> None:
        """Wait until the worker stands still: at the door of the destination, or with no work."""
        until(
            lambda: (
                self.inside.is_set() or self.collector.status().destinations["there"].waiting == 0
            )
        )

    @rule(person=st.sampled_from("abc"), own=st.none() | st.booleans(), count=st.integers(1, 3))
    def visit(self, person: str, own: bool | None, count: int) -> None:
        for _ in range(count):
            self.n += 1
            self.own[self.n] = own
            self.pushed[person].append(self.n)
            parts = {} if own is None else {"consent": {"marketing": own}}
            self.collector.push(event(self.n, person, **parts))
        self.settle()

    @rule(person=st.sampled_from("abc"), granted=st.booleans())
    def say(self, person: str, granted: bool) -> None:
        # A grant may show before the call returns, a withdrawal holds when it has returned.
        if granted:
            self.granted[person] = True
        self.collector.consent({"marketing": granted}, user={"id": person})
        self.granted[person] = granted
        self.settle()

    @rule(granted=st.booleans())
    def say_by_default(self, granted: bool) -> None:
        if granted:
            self.default = True
        self.collector.consent({"marketing": granted})
        self.default = granted
        self.settle()

    # No precondition: who is inside is up to threads, and what is tried may not depend on it.
    @rule()
    def let_one_through(self) -> None:
        if not self.inside.is_set():
            return
        before = len(self.sent)
        self.allowed.release()
        until(
            lambda: (
                (self.inside.is_set() and len(self.sent) > before)
                or self.collector.status().destinations["there"].waiting == 0
            )
        )

    @precondition(lambda self: self.durable)
    @rule()
    def restart(self) -> None:
        self.drain()
        self.collector.close(timeout=PATIENCE)
        self.start()
        self.settle()

    def drain(self) -> None:
        self.open = True
        self.allowed.release(1_000)
        assert self.collector.flush(PATIENCE)
        self.open = False
        self.allowed = threading.Semaphore(0)

    def teardown(self) -> None:
        try:
            if not hasattr(self, "collector"):
                return
            self.drain()
            assert self.violations == []
            numbers = [n for n, _ in self.sent]
            assert len(numbers) == len(set(numbers))
            for person, pushed in self.pushed.items():
                owed = {n for n in pushed if self.may_go(n, person)}
                assert owed <= set(numbers), "granted in time, and yet not sent"
        finally:
            self.open = True
            self.allowed.release(1_000)
            if hasattr(self, "collector"):
                self.collector.close(timeout=1)
            self.folder.cleanup()


TestVisits = Visits.TestCase
TestVisits.settings = examples(25, stateful_step_count=20)


def test_event_that_was_held_when_the_process_died_between_grant_and_release_goes(
    tmp_path: Path,
) -> None:
    record, spool = Record(), tmp_path / "spool.db"
    with running(guarded(record, spool)) as collector:
        collector.push(event(1))
        # What a process has done that dies right after the grant is on disk.
        collector._life.runtime.consents.record_consent(MARKETING, {"id": "u1"})
    with running(guarded(record, spool)) as collector:
        assert collector.flush(PATIENCE)
    assert record.numbers == [1]


def test_event_accepted_right_after_a_grant_does_not_overtake_what_that_releases(
    spool: Path | None,
) -> None:
    record = Record()
    with running(guarded(record, spool)) as collector:
        for n in (1, 2):
            collector.push(event(n))
        # The grant is known, and another thread has yet to release what was held.
        collector._life.runtime.consents.record_consent(MARKETING, {"id": "u1"})
        collector.push(event(3))
        assert collector.flush(PATIENCE)
    assert record.numbers == [1, 2, 3]


def test_destination_that_is_down_does_not_keep_consent_from_being_recorded(
    spool: Path | None,
) -> None:
    def down(event: Any, context: Any) -> None:
        raise DestinationDown("no key")

    cls = plugin(down, consent=lambda update, state, person: None)
    with running(one(cls, spool, consent=MARKETING)) as collector:
        collector.push(event(1))
        collector.consent(MARKETING, user={"id": "u1"})
        collector.consent(WITHDRAWN, user={"id": "u1"})
        assert collector._life.runtime.consents.state("id:u1") == WITHDRAWN
