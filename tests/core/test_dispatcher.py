"""One batch on its way: what is sent, in which calls, and what is said of each event."""

import logging
import threading
from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs
import pytest
from attrs import Factory, define
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import Clock, Record, config, flow, plugin
from walker_collector import (
    MISSING,
    DestinationDown,
    Item,
    NotAttempted,
    NothingToSend,
    PathSpec,
    Rejected,
    RetryLater,
    SpoolError,
    hookimpl,
)
from walker_collector.config import BatchConfig, BreakerConfig, ObjectSpec, RuleConfig
from walker_collector.delivery.destination import Destination, build_destinations
from walker_collector.delivery.dispatcher import Dispatcher
from walker_collector.delivery.hook_calls import HookCalls
from walker_collector.delivery.outcome import Outcome
from walker_collector.delivery.preparation import Preparation
from walker_collector.delivery.progress import EntryProgress
from walker_collector.events import Bounds, encode
from walker_collector.people.basis import Basis
from walker_collector.people.consent import ConsentStore
from walker_collector.people.identity import identifiers
from walker_collector.spool import FRESH, DeliveryState, Entry
from walker_collector.spool.memory import MemorySpool


def entry(n: int, person: str = "u1", name: str = "order complete", **parts: Any) -> Entry:
    user = {"id": person} if person else {}
    event = {"name": name, "data": {"n": n}, "user": user, **parts}
    return (n, (identifiers(event["user"]) or [""])[0], 0, encode(event, Bounds()))


class Turns:
    """Threads that stop once there is no turn any more."""

    abandoned = False

    def __init__(self, turns: Callable[[], bool]) -> None:
        self.turns = turns

    @property
    def stopping(self) -> bool:
        return not self.turns()

    def sleep(self, seconds: float) -> bool:
        return not self.stopping


def dispatcher(
    destination: Destination,
    consents: ConsentStore,
    attempts: Mapping[int, DeliveryState],
    turns: Callable[[], bool],
    erasing: Any,
) -> Dispatcher:
    calls = HookCalls(destination)
    state: Any = None  # nobody records progress here
    preparation = Preparation(destination, attempts, partial(EntryProgress, state), calls)
    return Dispatcher(
        destination,
        consents,
        preparation,
        calls,
        None,
        Turns(turns),
        lambda seq, person: True,
        erasing,
    )


@define(eq=False)
class Bench:
    """A dispatch with everything around it, and what its plugin was given."""

    cls: type
    settings: Mapping[str, Any]
    consents: ConsentStore = Factory(lambda: ConsentStore(MemorySpool(), {}, 100, Clock()))
    turns: Callable[[], bool] = lambda: True
    attempt: DeliveryState = FRESH
    revoked: set[int] = Factory(set)
    blocked: set[str] = Factory(set)
    overtaking: set[int] = Factory(set)

    def run(self, *entries: Entry) -> list[Outcome]:
        (destination,) = build_destinations(flow({"there": (self.cls, config(**self.settings))}))
        attempts = {entry[0]: self.attempt for entry in entries}
        dispatch = dispatcher(destination, self.consents, attempts, self.turns, self)
        return dispatch.run(entries, self.consents.snapshot({entry[1] for entry in entries}))

    def may_proceed(self, entry: Entry) -> bool:
        return entry[0] not in self.revoked

    def kinds(self, *entries: Entry) -> list[str]:
        return [outcome.kind for outcome in self.run(*entries)]


def bench(push: Any = None, push_batch: Any = None, consent: Any = None, **settings: Any) -> Bench:
    return Bench(plugin(push, push_batch, consent=consent), settings)


def failing(*failures: Exception | None) -> tuple[Record, Callable[[Any, Any], None]]:
    """Return a push that raises these, in turn, and the record of what it took."""
    record, rest = Record(), iter(failures)

    def push(event: Any, context: Any) -> None:
        failure = next(rest, None)
        if failure is not None:
            raise failure
        record.push(event, context)

    return record, push


# --- one by one ------------------------------------------------------------------------------


def test_events_are_pushed_in_order_with_what_the_mapping_made_of_them() -> None:
    seen: list[Any] = []
    rules = {"order": {"complete": RuleConfig(name="purchase", data=PathSpec("data.n"))}}

    class Keeps:
        @hookimpl
        def push(self, event: Any, data: Any, rule: Any, context: Any) -> None:
            seen.append((event["name"], data, rule and rule.key, context.attempt, context.id))

    made = Bench(Keeps, {"mapping": rules}, attempt=DeliveryState(count=2))
    assert made.kinds(entry(1), entry(2, name="page view")) == ["delivered", "delivered"]
    assert seen == [
        ("purchase", 1, "order complete", 3, "there"),
        ("page view", MISSING, None, 3, "there"),
    ]


def test_ignored_event_is_not_pushed() -> None:
    record, push = failing()
    rules = {"order": {"complete": RuleConfig(ignore=True)}}
    assert bench(push, mapping=rules).kinds(entry(1), entry(2, name="a b")) == [
        "ignored",
        "delivered",
    ]
    assert record.numbers == [2]


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (Rejected("bad mail"), Outcome("rejected", "bad mail")),
        (RetryLater("busy", after=2.5), Outcome("retry", "busy", after=2.5)),
        (RetryLater(""), Outcome("retry", "RetryLater")),
        (DestinationDown("key"), Outcome("unavailable", "key", down=True)),
        (DestinationDown(""), Outcome("unavailable", "DestinationDown", down=True)),
        (SpoolError("disk"), Outcome("retry", "disk")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_push_raises_says_what_becomes_of_the_event(
    failure: Exception, outcome: Outcome
) -> None:
    assert bench(failing(failure)[1]).run(entry(1)) == [outcome]


@pytest.mark.parametrize("failure", [ValueError("no such key"), SystemExit("bye")])
def test_unexpected_exception_is_a_bug_with_type_and_place(failure: BaseException) -> None:
    def push(event: Any, context: Any) -> None:
        raise failure

    (outcome,) = bench(push).run(entry(1))
    assert outcome.kind == "bug"
    assert outcome.reason.startswith(f"push raised {type(failure).__name__} at {__file__}:")
    assert str(failure) not in outcome.reason


def test_log_of_a_bug_does_not_quote_the_exception(caplog: pytest.LogCaptureFixture) -> None:
    def push(event: Any, context: Any) -> None:
        raise ValueError(event["user"]["email"])

    with caplog.at_level(logging.ERROR):
        bench(push).run(entry(1, user={"id": "u1", "email": "ann@example.org"}))
    assert "destination there: push raised ValueError at" in caplog.text
    assert "ann@example.org" not in caplog.text


def test_bugs_are_logged_once_in_a_while_with_the_id_of_an_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def push(event: Any, context: Any) -> None:
        raise ValueError

    entries = [entry(n, f"u{n}", id=f"e{n}") for n in range(20)]
    assert set(bench(push).kinds(*entries)) == {"bug"}
    (record,) = caplog.records
    assert record.name == "walker_collector.destinations.there"
    assert "(event e0); -vv or WALKER_DEBUG=1 shows" in record.getMessage()


@pytest.mark.parametrize("body", [b"torn", b"{}", b"[]"])
def test_event_that_cannot_be_read_is_logged_by_its_number(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert bench(failing()[1]).kinds((7, "", 0, body)) == ["bug"]
    assert "(event number 7)" in caplog.text


def test_retry_holds_back_later_events_of_that_person_only() -> None:
    record, push = failing(RetryLater("busy"))
    kinds = bench(push).kinds(entry(1, "a"), entry(2, "b"), entry(3, "a"), entry(4, ""))
    assert kinds == ["retry", "delivered", "not_attempted", "delivered"]
    assert record.numbers == [2, 4]


def test_rejected_event_holds_back_nobody() -> None:
    record, push = failing(Rejected("no"))
    assert bench(push).kinds(entry(1), entry(2)) == ["rejected", "delivered"]
    assert record.numbers == [2]


def test_person_is_who_the_event_was_accepted_for_whatever_a_policy_writes() -> None:
    _, push = failing(RetryLater("busy"))
    policy = {"user": ObjectSpec(value="nobody"), "name": ObjectSpec()}
    kinds = bench(push, policy=policy).kinds(entry(1, "a"), entry(2, "b"), entry(3, "a"))
    assert kinds == ["retry", "delivered", "not_attempted"]


def test_destination_that_is_down_is_not_tried_again_in_the_batch() -> None:
    record, push = failing(None, DestinationDown("key"))
    outcomes = bench(push).run(entry(1, "a"), entry(2, "b"), entry(3, "c"))
    assert [o.kind for o in outcomes] == ["delivered", "unavailable", "not_attempted"]
    assert [o.reason for o in outcomes] == ["", "key", ""]
    assert record.numbers == [1]


def test_failures_in_a_row_short_of_the_breakers_threshold_are_enough() -> None:
    tried: list[int] = []

    def push(event: Any, context: Any) -> None:
        tried.append(event["data"]["n"])
        if event["data"]["n"] != 2:
            raise RetryLater("busy")

    entries = [entry(n, f"u{n}") for n in range(1, 9)]
    kinds = bench(push, breaker=BreakerConfig(threshold=5)).kinds(*entries)
    assert tried == [1, 2, 3, 4, 5]
    assert kinds == ["retry", "delivered", *["retry"] * 3, *["not_attempted"] * 3]


def test_event_that_cannot_be_mapped_holds_back_its_persons_later_ones() -> None:
    record, push = failing()
    made = bench(push)
    (destination,) = build_destinations(flow({"there": (made.cls, config())}))
    mapper = destination.mapper

    def broken(event: Any, scope: Any) -> Any:
        if event["data"]["n"] == 1:
            raise SystemError("broken mapping")
        return mapper(event, scope)

    destination = attrs.evolve(destination, mapper=broken)
    dispatch = dispatcher(destination, made.consents, {}, lambda: True, made)
    entries = [entry(1, "a"), entry(2, "b"), entry(3, "a")]
    outcomes = dispatch.run(entries, made.consents.snapshot({e[1] for e in entries}))
    assert [o.kind for o in outcomes] == ["bug", "delivered", "not_attempted"]
    assert record.numbers == [2]


def test_no_call_is_made_without_a_turn() -> None:
    record, push = failing()
    made = bench(push)
    turns = iter([True, True, False])
    made.turns = lambda: next(turns)
    assert made.kinds(*(entry(n, f"u{n}") for n in range(4))) == [
        "delivered",
        "delivered",
        "not_attempted",
        "not_attempted",
    ]
    assert record.numbers == [0, 1]


def test_mock_stands_for_every_call() -> None:
    record, push = failing(RetryLater("never"))
    assert bench(push, mock=None).kinds(entry(1), entry(2)) == ["delivered", "delivered"]
    assert record.events == []


# --- consent ---------------------------------------------------------------------------------


def test_event_is_held_or_dropped_without_consent() -> None:
    record, push = failing()
    required = {"marketing": True}
    assert bench(push, consent=None, queue=True).kinds(entry(1)) == ["delivered"]
    held = Bench(plugin(push), {"consent": required})
    assert held.run(entry(1)) == [Outcome("held", "consent not granted")]
    dropped = Bench(plugin(push), {"consent": required, "queue": False})
    assert dropped.kinds(entry(1)) == ["dropped"]
    assert held.kinds(entry(2, consent={"marketing": True})) == ["delivered"]
    assert record.numbers == [1, 2]
    assert record.events[1]["consent"] == {"marketing": True}


def test_rules_consent_is_enforced() -> None:
    _, push = failing()
    rules = {"order": {"complete": RuleConfig(consent={"ads": True})}}
    made = Bench(plugin(push), {"mapping": rules})
    assert made.kinds(entry(1), entry(2, name="page view")) == ["held", "delivered"]
    made.consents.record_consent({"ads": True}, {"id": "u1"})
    assert made.kinds(entry(1)) == ["delivered"]


def withdrawing(made: Bench, at: int, record: Record, grant_at: int | None = None) -> Any:
    """Return a push during whose call of number `at` consent is withdrawn, and maybe granted."""

    def push(event: Any, context: Any) -> None:
        record.push(event, context)
        if event["data"]["n"] == at:
            made.consents.record_consent({"marketing": False}, {"id": "u1"})
        if event["data"]["n"] == grant_at:
            made.consents.record_consent({"marketing": True}, {"id": "u1"})

    return push


def test_withdrawal_counts_for_the_next_call() -> None:
    record = Record()
    made = Bench(plugin(), {"consent": {"marketing": True}})
    made.cls = plugin(withdrawing(made, 1, record))
    made.consents.record_consent({"marketing": True}, {"id": "u1"})
    made.consents.record_consent({"marketing": True}, {"id": "u2"})
    kinds = made.kinds(entry(1), entry(2), entry(3, "u2"), entry(4))
    assert kinds == ["delivered", "held", "delivered", "not_attempted"]
    assert record.numbers == [1, 3]


def test_grant_after_a_withdrawal_lets_nothing_overtake_what_it_held() -> None:
    record = Record()
    made = Bench(plugin(), {"consent": {"marketing": True}})
    made.cls = plugin(withdrawing(made, 1, record, grant_at=3))
    made.consents.record_consent({"marketing": True}, {"id": "u1"})
    made.consents.record_consent({"marketing": True}, {"id": "u2"})
    kinds = made.kinds(entry(1), entry(2), entry(3, "u2"), entry(4))
    assert kinds == ["delivered", "held", "delivered", "not_attempted"]


def test_withdrawal_holds_back_a_batch_that_waits_for_its_turn() -> None:
    record = Record()
    made = Bench(plugin(None, record.push_batch), {"consent": {"marketing": True}})
    made.consents.record_consent({"marketing": True}, {"id": "u1"})

    def turn() -> bool:
        made.consents.record_consent({"marketing": False}, {"id": "u1"})
        return True

    made.turns = turn
    assert made.kinds(entry(1), entry(2, "u2", consent={"marketing": True}), entry(3)) == [
        "held",
        "delivered",
        "not_attempted",
    ]
    assert record.numbers == [2]


class Unreadable(ConsentStore):
    """A consents whose spool can't be read after somebody said something."""

    broken = False

    def basis(self, person: str) -> Basis:
        if self.broken:
            raise SpoolError("disk")
        return super().basis(person)


def test_nothing_is_sent_while_consent_cannot_be_read() -> None:
    consents = Unreadable(MemorySpool(), {}, 100, Clock())

    def push(event: Any, context: Any) -> None:
        consents.record_consent({"a": True}, {"id": "u1"})
        consents.broken = True

    outcomes = Bench(plugin(push), {}, consents).run(entry(1), entry(2, "u2"), entry(3, "u3"))
    assert outcomes == [
        Outcome("delivered"),
        Outcome("unavailable", "disk"),
        Outcome("unavailable", "disk"),
    ]


def test_change_of_consent_is_told_to_those_who_listen() -> None:
    told: list[Any] = []
    record, push = failing()
    made = bench(push, consent=lambda *said: told.append(said))
    change = entry(
        1, name="walker consent", data={"a": True}, custom={"a": True, "b": False}, user={"id": 7}
    )
    default = (
        2,
        "",
        0,
        encode({"name": "walker consent", "data": {"a": False}, "custom": {}}, Bounds()),
    )
    assert made.kinds(change, default, entry(3)) == ["notified", "notified", "delivered"]
    assert told[0][:2] == ({"a": True}, {"a": True, "b": False})
    assert (told[0][2].id, told[0][2].device) == ("7", None)
    assert told[1] == ({"a": False}, {}, None)
    assert record.numbers == [3]


# --- batches ---------------------------------------------------------------------------------


@define(eq=False)
class Batches:
    """Keeps the numbers of every batch; `answer` says what comes of one."""

    answer: Callable[[Sequence[Item]], Any] = lambda batch: None
    calls: list[list[int]] = Factory(list)

    def __call__(self, batch: Sequence[Item]) -> Any:
        self.calls.append([item.event["data"]["n"] for item in batch])
        return self.answer(batch)


def entries(count: int, people: int = 10**6) -> list[Entry]:
    return [entry(n, f"u{n % people}") for n in range(count)]


def test_batch_is_one_call() -> None:
    batches = Batches()
    assert bench(None, batches).kinds(*entries(3)) == ["delivered"] * 3
    assert batches.calls == [[0, 1, 2]]


def test_failures_are_named_by_their_place_in_the_batch() -> None:
    batches = Batches(lambda batch: {0: Rejected("no"), 2: RetryLater("busy")})
    outcomes = bench(None, batches).run(*entries(3))
    assert outcomes == [
        Outcome("rejected", "no"),
        Outcome("delivered"),
        Outcome("retry", "busy"),
    ]


@pytest.mark.parametrize("failure", [RetryLater("busy", 3), DestinationDown("key")])
def test_batch_that_fails_as_a_whole_comes_back_whole(failure: Any) -> None:
    def answer(batch: Sequence[Item]) -> None:
        raise failure

    batches = Batches(answer)
    outcomes = bench(None, batches).run(*entries(3))
    assert len(batches.calls) == 1
    down = isinstance(failure, DestinationDown)
    expected = Outcome("unavailable", failure.reason, getattr(failure, "after", None), down)
    assert outcomes == [expected] * 3


def test_destination_that_says_of_one_event_that_it_is_down_is_down() -> None:
    rule = RuleConfig(batch=BatchConfig(size=2))
    batches = Batches(lambda batch: {1: DestinationDown("key")})
    kinds = bench(None, batches, mapping={"order": {"complete": rule}}).kinds(*entries(4))
    assert kinds == ["delivered", "unavailable", "not_attempted", "not_attempted"]
    assert batches.calls == [[0, 1]]


def poisoned(batch: Sequence[Item]) -> None:
    if any(item.event["data"]["n"] == 1 for item in batch):
        raise KeyError("poison")


def test_event_that_breaks_its_batch_is_found_by_sending_each_alone() -> None:
    batches = Batches(poisoned)
    outcomes = bench(None, batches).run(*entries(4))
    assert [outcome.kind for outcome in outcomes] == ["delivered", "bug", "delivered", "delivered"]
    assert "push_batch raised KeyError at" in outcomes[1].reason
    assert batches.calls == [[0, 1, 2, 3], [0], [1], [2], [3]]


def test_persons_later_events_wait_behind_the_one_that_broke_the_batch() -> None:
    assert bench(None, Batches(poisoned)).kinds(*entries(5, people=2)) == [
        "delivered",
        "bug",
        "delivered",
        "not_attempted",
        "delivered",
    ]


def test_batch_of_one_that_breaks_is_not_sent_twice() -> None:
    batches = Batches(poisoned)
    assert bench(None, batches).kinds(entry(1)) == ["bug"]
    assert batches.calls == [[1]]


def test_destination_that_goes_down_while_each_is_sent_alone_is_left_alone() -> None:
    def answer(batch: Sequence[Item]) -> Any:
        if len(batch) > 1:
            raise KeyError("poison")
        if batch[0].event["data"]["n"] == 1:
            raise DestinationDown("key")
        return {0: Rejected("no")}

    batches = Batches(answer)
    kinds = bench(None, batches).kinds(*entries(3))
    assert kinds == ["rejected", "unavailable", "not_attempted"]
    assert len(batches.calls) == 3


@pytest.mark.parametrize("answer", [[0, 1], {0: "no"}, "failed"], ids=str)
def test_answer_that_breaks_the_contract_is_a_bug(answer: Any) -> None:
    outcomes = bench(None, Batches(lambda batch: answer)).run(*entries(2))
    assert {outcome.kind for outcome in outcomes} == {"bug"}
    assert "return None, or a dict of exceptions" in outcomes[0].reason


RULES = {
    "order": {"complete": RuleConfig(batch=BatchConfig(size=2))},
    "cart": {"add": RuleConfig(batch=BatchConfig(size=3))},
    "page": {"view": RuleConfig()},
    "cart_": {"view": RuleConfig(ignore=True)},
}


def test_rules_with_a_batch_of_their_own_go_apart() -> None:
    names = {0: "order complete", 1: "cart_ view", 2: "page view", 3: "page view"}
    batches = Batches()
    mixed = [entry(n, f"u{n}", names.get(n, "order complete")) for n in range(8)]
    bench(None, batches, mapping=RULES).kinds(*mixed)
    assert sorted(batches.calls) == [[0, 4], [2, 3], [5, 6], [7]]


STEPS = st.tuples(
    st.sampled_from(["order complete", "cart add", "page view", "cart_ view", "walker consent"]),
    st.sampled_from(["a", "b", "c", ""]),
)


@given(steps=st.lists(STEPS, max_size=20))
def test_however_a_batch_is_split_every_person_gets_theirs_in_order(
    steps: list[tuple[str, str]],
) -> None:
    calls: list[list[int]] = []

    def took(batch: Sequence[Item]) -> None:
        calls.append([item.event["data"]["n"] for item in batch])
        rules = {item.rule.key for item in batch if item.rule}
        assert len(rules) <= 1
        assert len(batch) <= {"order complete": 2, "cart add": 3}.get(batch[0].event["name"], 99)

    made = bench(None, took, consent=lambda said, *_: calls.append([said["n"]]), mapping=RULES)
    kinds = made.kinds(
        *(entry(n, person, name, custom={}) for n, (name, person) in enumerate(steps))
    )
    sent = [n for call in calls for n in call]
    assert sorted(sent) == [n for n, kind in enumerate(kinds) if kind in ("delivered", "notified")]
    for person in "abc":
        theirs = [n for n in sent if steps[n][1] == person]
        assert theirs == sorted(theirs)


def test_retry_in_one_run_holds_back_that_person_in_the_next() -> None:
    rules = {"order": {"complete": RuleConfig(batch=BatchConfig(size=2))}}
    batches = Batches(
        lambda batch: {0: RetryLater("busy")} if batch[0].event["data"]["n"] == 0 else None
    )
    kinds = bench(None, batches, mapping=rules).kinds(*entries(6, people=3))
    assert kinds == ["retry", "delivered", "delivered", "not_attempted", "delivered", "delivered"]
    assert batches.calls == [[0, 1], [2], [4, 5]]


def test_changes_of_consent_split_a_batch() -> None:
    batches, told = Batches(), []
    made = bench(None, batches, consent=lambda *said: told.append(said))
    change = entry(1, name="walker consent", custom={})
    assert made.kinds(entry(0), change, entry(2)) == ["delivered", "notified", "delivered"]
    assert batches.calls == [[0], [2]]
    assert len(told) == 1


# --- time limits -----------------------------------------------------------------------------


def test_batch_is_asked_again_before_each_call_of_its_own() -> None:
    """A plugin that works a batch off call by call sends nothing after a withdrawal."""
    made = Bench(plugin(), {"consent": {"marketing": True}})
    sent: list[int] = []

    def push_batch(batch: Sequence[Item]) -> Any:
        failures: dict[int, Exception] = {}
        for at, item in enumerate(batch):
            if not item.context.destination.may_proceed(item):
                failures[at] = NotAttempted()
                continue
            sent.append(item.event["data"]["n"])
            if at == 0:
                made.consents.record_consent({"marketing": False}, {"id": "u2"})
        return failures

    made.cls = plugin(None, push_batch)
    for person in ("u1", "u2", "u3"):
        made.consents.record_consent({"marketing": True}, {"id": person})
    kinds = made.kinds(entry(1, "u1"), entry(2, "u2"), entry(3, "u3"), entry(4, "u2"))
    assert sent == [1, 3]
    assert kinds == ["delivered", "not_attempted", "delivered", "not_attempted"]


def test_nothing_of_a_person_goes_out_once_their_erasure_began() -> None:
    made = Bench(plugin(), {})
    asked: list[tuple[int, bool]] = []
    made.revoked.add(3)

    def push_batch(batch: Sequence[Item]) -> None:
        made.revoked.add(2)
        asked.extend(
            (item.event["data"]["n"], item.context.destination.may_proceed(item)) for item in batch
        )

    made.cls = plugin(None, push_batch)
    kinds = made.kinds(entry(1, "a"), entry(2, "b"), entry(3, "c"))
    assert asked == [(1, True), (2, False)]
    assert kinds[2] == "not_attempted"


def test_batch_is_asked_about_with_one_question() -> None:
    made = Bench(plugin(), {"consent": {"marketing": True}})
    asked: list[bool | list[bool]] = []

    def push_batch(batch: Sequence[Item]) -> None:
        context = batch[0].context.destination
        asked.append(context.may_all_proceed(batch))
        made.consents.record_consent({"marketing": False}, {"id": "u2"})
        asked.append(context.may_all_proceed(batch))
        asked.append([context.may_proceed(item) for item in batch])

    made.cls = plugin(None, push_batch)
    for person in ("u1", "u2"):
        made.consents.record_consent({"marketing": True}, {"id": person})
    made.kinds(entry(1, "u1"), entry(2, "u2"))
    assert asked == [True, False, [True, False]]


def test_batch_with_an_erased_person_may_not_go_as_a_whole() -> None:
    made = Bench(plugin(), {})
    asked: list[bool] = []

    def push_batch(batch: Sequence[Item]) -> None:
        context = batch[0].context.destination
        asked.append(context.may_all_proceed(batch))
        made.revoked.add(2)
        asked.append(context.may_all_proceed(batch))
        asked.append(context.may_all_proceed(()))

    made.cls = plugin(None, push_batch)
    made.kinds(entry(1, "a"), entry(2, "b"))
    assert asked == [True, False, True]


@pytest.mark.parametrize("hook", ["push", "returned", "raised", "consent"])
def test_call_that_attempts_nothing_without_a_cause_has_failed(hook: str) -> None:
    later = NotAttempted("later")

    def fail(*_: Any) -> None:
        raise later

    made = {
        "push": bench(fail),
        "returned": bench(None, lambda batch: dict.fromkeys(range(len(batch)), later)),
        "raised": bench(None, fail),
        "consent": bench(fail, None, fail),
    }[hook]
    name = "walker consent" if hook == "consent" else "order complete"
    outcomes = made.run(*(entry(n, f"u{n}", name, custom={}) for n in range(2)))
    assert [outcome.kind for outcome in outcomes] == ["retry", "retry"]
    assert outcomes[0].reason == "not attempted, though nothing came in between: later"
    assert outcomes[0].counted


@pytest.mark.parametrize("other", [None, RetryLater("busy"), Rejected("400")])
def test_what_a_batch_leaves_out_after_it_attempted_another_event_has_not_failed(
    other: Exception | None,
) -> None:
    failures = {1: NotAttempted("waits"), 2: NotAttempted("waits")}
    found = {**failures, **({} if other is None else {0: other})}
    kinds = bench(None, lambda batch: found).kinds(*(entry(n) for n in range(3)))
    assert kinds[1:] == ["not_attempted", "not_attempted"]


def test_batch_that_may_not_proceed_has_not_failed_for_anybody() -> None:
    """The event after it waits for its person, and was not asked about."""
    made = Bench(plugin(), {})

    def push_batch(batch: Sequence[Item]) -> dict[int, Exception]:
        made.revoked.add(1)
        assert not batch[0].context.destination.may_proceed(batch[0])
        return {at: NotAttempted() for at in range(len(batch))}

    made.cls = plugin(None, push_batch)
    assert made.kinds(entry(1), entry(2)) == ["not_attempted", "not_attempted"]


def test_event_that_asks_nothing_is_empty() -> None:
    _, push = failing(NothingToSend("no device token"))
    (outcome,) = bench(push).run(entry(1))
    assert (outcome.kind, outcome.reason) == ("empty", "no device token")


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, KeyboardInterrupt, CancelledError])
def test_mapping_function_that_raises_anything_is_a_bug(kind: type[BaseException]) -> None:
    def condition(value: Any, *rest: Any) -> bool:
        raise kind("stop")

    rule = RuleConfig(condition=condition)
    outcomes = bench(Record().push, mapping={"order": {"complete": rule}}).run(entry(1))
    assert [outcome.kind for outcome in outcomes] == ["bug"]


class _Mute(Rejected):
    def __init__(self) -> None:
        pass  # no reason, whatever the base class says


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise SystemExit("even so")


@pytest.mark.parametrize(
    ("failure", "kind", "reason"),
    [
        (_Mute(), "rejected", "_Mute"),
        (Rejected("half a \ud800 pair"), "rejected", "half a ? pair"),
        (RetryLater("busy", after="soon"), "retry", "busy"),  # type: ignore[arg-type]  # on purpose
        (RetryLater(""), "retry", "RetryLater"),
        (_Unspeakable(), "bug", "push raised _Unspeakable at "),
    ],
)
def test_whatever_an_exception_says_is_an_outcome(
    failure: Exception, kind: str, reason: str
) -> None:
    (outcome,) = bench(failing(failure)[1]).run(entry(1))
    assert outcome.kind == kind
    assert outcome.reason.startswith(reason)
    outcome.reason.encode()


def test_call_that_hangs_is_left_behind_and_tried_later() -> None:
    release = threading.Event()

    def push(event: Any, context: Any) -> None:
        if event["data"]["n"] == 1:
            release.wait(30)

    kinds = bench(push, timeout=30).run(entry(1, "a"), entry(2, "b"))
    assert kinds == [Outcome("retry", "no answer within 30 ms (timeout)"), Outcome("delivered")]
    release.set()


def test_destination_whose_calls_keep_hanging_is_down() -> None:
    release = threading.Event()
    made = Bench(plugin(lambda event, context: release.wait(30)), {"timeout": 5})
    outcomes = made.run(*entries(10))
    assert [outcome.kind for outcome in outcomes[:8]] == ["retry"] * 8
    assert outcomes[8].down
    assert "8 calls have not returned within 0.005 s" in outcomes[8].reason
    release.set()


def test_exception_within_the_time_limit_is_the_plugins() -> None:
    assert bench(failing(Rejected("no"))[1], timeout=5_000).run(entry(1)) == [
        Outcome("rejected", "no")
    ]
