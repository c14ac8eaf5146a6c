"""Claims: what untrusted senders say of people counts for events of such senders only."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import (
    MARKETING,
    WITHDRAWN,
    Clock,
    Record,
    event,
    guarded,
    held,
    one,
    plugin,
    running,
)
from tests.forms import examples
from walker_collector import Collector, NotTrusted, PushResult, Received
from walker_collector.config import SpoolConfig
from walker_collector.people.consent import ConsentStore
from walker_collector.people.identity import KINDS
from walker_collector.spool.memory import MemorySpool
from walker_collector.spool.sqlite import SqliteSpool

U1, S1 = {"id": "u1"}, {"session": "s1"}
NOW = 1_700_000_000_000


@pytest.fixture(params=["memory", "durable"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "spool.db" if request.param == "durable" else None


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def shop(spool: Path | None, record: Record, clock: Clock) -> Iterator[Collector]:
    with running(guarded(record, spool), now=clock) as collector:
        yield collector


def order(n: int, user: dict[str, str], **parts: Any) -> dict[str, Any]:
    return event(n, None) | {"user": user} | parts


def claim(collector: Collector, *events: dict[str, Any], learn: bool = True) -> list[Any]:
    """Have an untrusted sender send events; return the results."""
    return collector.push_many(Received(item, trusted=False, learn=learn) for item in events)


def consent(update: dict[str, bool], user: dict[str, str]) -> dict[str, Any]:
    return {"name": "walker consent", "data": update, "user": user}


def numbers(collector: Collector, record: Record) -> list[int]:
    assert collector.flush(10)
    return record.numbers


# --- trust ---------------------------------------------------------------------------------


def test_a_claimed_grant_releases_claimed_events_only(shop: Collector, record: Record) -> None:
    shop.push(order(1, S1))
    claim(shop, order(2, S1))
    assert held(shop) == 2
    claim(shop, consent(MARKETING, S1))
    assert numbers(shop, record) == [2]
    shop.consent(MARKETING, S1)
    assert numbers(shop, record) == [2, 1]


def test_the_consent_of_a_claimed_event_releases_claimed_events_only(
    shop: Collector, record: Record
) -> None:
    shop.push(order(1, U1))
    claim(shop, order(2, U1), order(3, U1, consent=MARKETING))
    assert numbers(shop, record) == [2, 3]
    assert held(shop) == 1


def test_a_grant_of_the_process_releases_claimed_events(shop: Collector, record: Record) -> None:
    claim(shop, order(1, U1), order(2, S1))
    shop.consent(MARKETING, U1)
    assert numbers(shop, record) == [1]
    shop.push(order(3, {**U1, **S1}))  # the session is theirs, for sure
    assert sorted(numbers(shop, record)) == [1, 2, 3]


def test_a_claimed_link_gives_the_grants_of_one_to_claimed_events_only(
    shop: Collector, record: Record
) -> None:
    shop.push(order(1, U1))
    shop.push(order(2, S1))
    claim(shop, order(3, {**U1, **S1}))
    shop.consent(MARKETING, S1)  # by whoever has the session
    assert sorted(numbers(shop, record)) == [2, 3]
    assert held(shop) == 1
    shop.push(order(4, S1))
    shop.push(order(5, U1))
    assert sorted(numbers(shop, record)) == [2, 3, 4]


def test_claims_of_one_person_are_linked_with_each_other(shop: Collector, record: Record) -> None:
    claim(shop, order(1, S1), order(2, {"device": "d1"}))
    claim(shop, order(3, {**S1, "device": "d1"}))
    claim(shop, order(4, {**U1, **S1}, consent=MARKETING))
    assert numbers(shop, record) == [1, 2, 3, 4]


def test_a_claimed_withdrawal_counts_for_all(shop: Collector, record: Record) -> None:
    shop.consent(MARKETING, U1)
    claim(shop, order(1, {**U1, **S1}))
    assert numbers(shop, record) == [1]
    claim(shop, consent(WITHDRAWN, S1))
    shop.push(order(2, U1))
    claim(shop, order(3, U1))
    assert numbers(shop, record) == [1]
    claim(shop, consent(MARKETING, S1))
    assert numbers(shop, record) == [1, 3]
    shop.consent(MARKETING, U1)
    assert numbers(shop, record) == [1, 3, 2]


def test_a_denial_in_a_claimed_event_counts_for_all(shop: Collector, record: Record) -> None:
    shop.consent(MARKETING, U1)
    claim(shop, order(1, U1, consent=WITHDRAWN, timestamp=NOW + 1_000))
    shop.push(order(2, U1))
    assert numbers(shop, record) == []


def test_claimed_and_other_events_of_a_person_are_in_order(spool: Path | None) -> None:
    record = Record()
    failures = iter([Exception, Exception])

    def push(item: dict[str, Any], context: Any) -> None:
        if failure := next(failures, None):
            raise failure
        record.push(item, context)

    with running(one(plugin(push), spool)) as shop:
        claim(shop, order(1, U1))
        shop.push(order(2, U1))
        claim(shop, order(3, U1))
        assert numbers(shop, record) == [1, 2, 3]


@pytest.mark.parametrize(
    "command",
    [
        consent(MARKETING, U1),
        consent(MARKETING, {**U1, **S1}),
        {"name": "walker consent", "data": MARKETING},
        {"name": "walker user", "data": {"id": "x"}},
        {"name": "walker globals", "data": {"a": 1}},
    ],
)
def test_untrusted_senders_state_only_the_consent_of_their_session_or_device(
    shop: Collector, command: dict[str, Any]
) -> None:
    shop.push(order(1, U1))
    first, second, third = claim(shop, order(2, S1), command, order(3, S1))
    assert isinstance(second, NotTrusted)
    assert isinstance(first, PushResult)
    assert isinstance(third, PushResult)
    assert held(shop) == 3


def test_an_erasure_takes_claims_too(shop: Collector, record: Record) -> None:
    claim(shop, order(1, U1), order(2, {**U1, **S1}), order(3, S1))
    shop.push(order(4, {**U1, "session": "s2"}))
    claim(shop, order(5, {"session": "s2"}), order(6, {"session": "s3"}))
    assert held(shop) == 6
    assert shop.forget(U1) == 5
    assert held(shop) == 1
    claim(shop, order(7, {"session": "s3"}, consent=MARKETING))
    assert numbers(shop, record) == [6, 7]


def test_claims_outlive_the_process(tmp_path: Path, clock: Clock) -> None:
    record = Record()
    with running(guarded(record, tmp_path / "s.db"), now=clock) as shop:
        shop.push(order(1, U1))
        claim(shop, order(2, S1), order(3, {**U1, **S1}))
    with running(guarded(record, tmp_path / "s.db"), now=clock) as shop:
        assert held(shop) == 3
        claim(shop, order(4, U1, consent=MARKETING))
        assert numbers(shop, record) == [2, 3, 4]
    with running(guarded(record, tmp_path / "s.db"), now=clock) as shop:
        claim(shop, order(5, S1))
        shop.push(order(6, U1))
        assert numbers(shop, record) == [2, 3, 4, 5]
        assert held(shop) == 2


# --- the consent of events -----------------------------------------------------------------


def trusted(collector: Collector, *events: dict[str, Any]) -> None:
    assert not [
        item
        for item in collector.push_many(Received(item, learn=True) for item in events)
        if isinstance(item, Exception)
    ]


def test_the_consent_of_an_event_is_remembered_for_its_person(
    shop: Collector, record: Record
) -> None:
    trusted(shop, order(1, U1), order(2, U1, consent=MARKETING), order(3, U1))
    shop.push(order(4, U1))
    assert numbers(shop, record) == [1, 2, 3, 4]


def test_it_is_not_where_nothing_is_learned(shop: Collector, record: Record) -> None:
    shop.push(order(1, U1))
    shop.push(order(2, U1, consent=MARKETING))
    claim(shop, order(3, U1, consent=MARKETING), order(4, U1), learn=False)
    assert numbers(shop, record) == [2, 3]


def test_a_key_that_an_event_lacks_takes_back_what_was_learned(
    shop: Collector, record: Record
) -> None:
    trusted(shop, order(1, U1, consent=MARKETING))
    trusted(shop, order(2, U1, consent={"other": True}, timestamp=NOW + 1))
    shop.push(order(3, U1))
    assert numbers(shop, record) == [1]
    trusted(shop, order(4, U1, consent=MARKETING, timestamp=NOW + 2))
    assert numbers(shop, record) == [1, 2, 3, 4]


def test_an_event_without_consent_says_nothing(shop: Collector, record: Record) -> None:
    trusted(shop, order(1, U1, consent=MARKETING), order(2, U1, timestamp=NOW + 1))
    shop.push(order(3, U1))
    assert numbers(shop, record) == [1, 2, 3]


def test_an_empty_consent_grants_nothing(shop: Collector, record: Record) -> None:
    trusted(shop, order(1, U1, consent=MARKETING), order(2, U1, consent={}, timestamp=NOW + 1))
    shop.push(order(3, U1))
    assert numbers(shop, record) == [1]


def test_an_older_event_overturns_nothing(shop: Collector, record: Record, clock: Clock) -> None:
    clock.advance(10_000)
    trusted(shop, order(1, U1, consent={}, timestamp=NOW + 5_000))
    trusted(shop, order(2, U1, consent=MARKETING, timestamp=NOW))  # a retry, sent at last
    shop.push(order(3, U1))
    assert numbers(shop, record) == [2]


def test_a_statement_and_an_event_are_in_the_order_of_their_dates(
    shop: Collector, record: Record, clock: Clock
) -> None:
    shop.consent(WITHDRAWN, U1)
    trusted(shop, order(1, U1, consent=MARKETING, timestamp=NOW - 1_000))  # before the withdrawal
    shop.push(order(2, U1))
    assert numbers(shop, record) == [1]
    clock.advance(1_000)
    trusted(shop, order(3, U1, consent=MARKETING, timestamp=NOW + 1_000))
    assert numbers(shop, record) == [1, 2, 3]
    clock.advance(1_000)
    shop.consent(WITHDRAWN, U1)
    shop.push(order(4, U1))
    assert numbers(shop, record) == [1, 2, 3]


def test_the_date_of_an_event_is_not_after_its_receipt(
    shop: Collector, record: Record, clock: Clock
) -> None:
    trusted(shop, order(1, U1, consent=MARKETING, timestamp=NOW + 60_000))
    clock.advance(1_000)
    shop.consent(WITHDRAWN, U1)
    shop.push(order(2, U1))
    assert numbers(shop, record) == [1]


def test_for_an_event_only_its_own_consent_counts_and_what_is_granted_later(
    spool: Path | None, record: Record, clock: Clock
) -> None:
    with running(guarded(record, spool), now=clock) as shop:
        shop.consent(MARKETING)  # by default
        shop.consent(MARKETING, U1)
        clock.advance(1_000)
        trusted(shop, order(1, U1, consent={"other": True}, timestamp=NOW + 1_000))
        trusted(shop, order(2, S1, consent={"other": True}, timestamp=NOW + 1_000))
        shop.push(order(3, U1))
        assert numbers(shop, record) == [3]
    with running(guarded(record, spool), now=clock) as shop:
        if spool is None:
            return
        assert held(shop) == 2  # as before the restart
        clock.advance(1_000)
        shop.consent(MARKETING, U1)
        assert numbers(shop, record) == [3, 1]
        assert held(shop) == 1


def test_a_consent_that_stays_the_same_is_stored_seldom(tmp_path: Path) -> None:
    clock = Clock(NOW)
    with closing(SqliteSpool(SpoolConfig(path=str(tmp_path / "s.db")))) as spool:
        store = ConsentStore(spool, {}, 100, clock)
        learned = [
            store.learn_consent(MARKETING, U1, (NOW + ms) * 1_000, lambda *_: None)
            for ms in (0, 1_000, 59_000, 61_000, 62_000)
        ]
    assert learned == [True, False, False, True, False]


# --- the same, wherever it is kept ----------------------------------------------------------

USERS = st.fixed_dictionaries(
    {}, optional={kind: st.sampled_from(["a", "b"]) for kind in KINDS}
).filter(bool)
STEPS = st.tuples(
    st.sampled_from(["identify", "say", "learn", "forget"]),
    USERS,
    st.booleans(),  # by an untrusted sender
    st.dictionaries(st.sampled_from(["a", "b"]), st.booleans(), max_size=2),
    st.integers(0, 9),
)


class World:
    """A store of consent, and the keys under which events were filed in it."""

    def __init__(self, store: ConsentStore, clock: Clock) -> None:
        self.store = store
        self.clock = clock

    def do(self, step: tuple[str, dict[str, str], bool, dict[str, bool], int]) -> None:
        what, user, claim, update, at = step
        store = self.store
        store.refresh()
        if what == "identify":
            store.identify(user, claim=claim)
        elif what == "say" and update:
            store.record_consent(update, user, claim=claim)
        elif what == "learn":
            store.identify(user, claim=claim)
            stamp = min(NOW + at, self.clock()) * 1_000
            store.learn_consent(
                update, user, stamp, lambda change, *_: self.keep(change), claim=claim
            )
        elif what == "forget":
            store.erase(store.keys_of(user))

    def keep(self, change: Any) -> None:
        self.store._records.store(change)

    def seen(self) -> dict[str, Any]:
        self.store.refresh()
        keys = [f"{mark}{kind}:{name}" for mark in ("", "~") for kind in KINDS for name in "ab"]
        return {key: (self.store.canonical(key), self.store.base(key)) for key in keys}


@given(st.lists(STEPS, max_size=12))
@examples(60)
def test_memory_disk_and_two_processes_know_the_same(steps: list[Any]) -> None:
    with TemporaryDirectory() as folder, ExitStack() as stack:
        clocks = [Clock(NOW) for _ in range(3)]
        config = [SpoolConfig(path=f"{folder}/{name}.db") for name in ("one", "two", "two")]
        disks = [stack.enter_context(closing(SqliteSpool(item))) for item in config]
        memory = World(ConsentStore(MemorySpool(), {}, 1_000, clocks[0]), clocks[0])
        disk = World(ConsentStore(disks[0], {}, 2, clocks[1]), clocks[1])
        two = [World(ConsentStore(item, {}, 100, clocks[2]), clocks[2]) for item in disks[1:]]
        for n, step in enumerate(steps):
            for clock in clocks:
                clock.advance(1)
            for world in (memory, disk, two[n % 2]):
                world.do(step)
            expected = memory.seen()
            assert disk.seen() == expected
            assert two[0].seen() == expected
            assert two[1].seen() == expected


@given(st.lists(STEPS, max_size=15))
@examples(150)
def test_nothing_claimed_grants_or_links_anything_for_sure(steps: list[Any]) -> None:
    clock = Clock(NOW)
    with_claims, without = (
        World(ConsentStore(MemorySpool(), {}, 1_000, clock), clock) for _ in range(2)
    )
    for step in steps:
        clock.advance(1)
        with_claims.do(step)
        if not step[2] or step[0] == "forget":
            without.do(step)
        everything, surely = with_claims.seen(), without.seen()
        for key, (person, consent) in surely.items():
            if key.startswith("~"):
                continue
            assert everything[key][0] == person
            granted = {name for name, given in everything[key][1].items() if given}
            assert granted <= {name for name, given in consent.items() if given}


def test_words_of_strangers_are_not_logged(
    shop: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    claim(shop, order(1, S1, **{"ines@post.example": 1}))
    assert "ines" not in caplog.text
