"""Who an event is of, at the collector: signing in, shared browsers, statements, erasure."""

import signal
import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.core.people_model import USERS, Model
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
    one,
    plugin,
    running,
    until,
)
from tests.forms import examples, form
from tests.support import join
from walker_collector import (
    Collector,
    DestinationDown,
    EventError,
    Item,
    Rejected,
    RetryLater,
    SpoolError,
    SpoolFull,
)
from walker_collector.config import FlowConfig, RuleConfig, SpoolConfig
from walker_collector.people.identity import IdentityGraph, identifiers

S = {"session": "s"}
AGES = 100 * 365 * 86_400_000
"""Milliseconds that no clock here passes."""


# --- one person under several identifiers ----------------------------------------------------


def test_events_of_one_person_are_told_as_such_whichever_identifier_they_name() -> None:
    people: dict[int, str] = {}
    gate = threading.Event()

    def push_batch(batch: Sequence[Item]) -> None:
        people.update((item.event["data"]["n"], item.context.person) for item in batch)

    cls = plugin(None, push_batch, init=lambda context: gate.wait(PATIENCE), linger=0)
    with running(one(cls)) as collector:
        collector.push(event(0, "first"))
        collector.push(event(1, user=S))
        collector.push(event(2, user={"id": "ines", **S}))
        collector.push(event(3, "ines"))
        collector.push(event(4, user={}))
        gate.set()
        assert collector.flush(PATIENCE)
    assert people == {0: "id:first", 1: "id:ines", 2: "id:ines", 3: "id:ines", 4: ""}


# --- somebody else in the same browser -------------------------------------------------------


def test_what_a_session_did_is_of_the_first_who_signs_in_and_of_nobody_later(
    spool: Path | None,
) -> None:
    record = Record()
    with running(guarded(record, spool)) as collector:
        collector.push(event(1, user=S))
        collector.push(event(2, user={"id": "ana", **S}))
        collector.push(event(3, user={"id": "bob", **S}))
        collector.push(event(4, user=S))
        collector.consent(MARKETING, user={"id": "bob"})
        assert collector.flush(PATIENCE)
        assert record.numbers == [3, 4]
        assert held(collector) == 2
        assert collector.forget({"id": "ana"}) == 2
        collector.consent(MARKETING)
        assert collector.flush(PATIENCE)
        assert record.numbers == [3, 4]


def test_what_a_session_did_is_erased_with_its_person_after_a_restart_too(tmp_path: Path) -> None:
    record, spool = Record(), tmp_path / "spool.db"
    with running(guarded(record, spool)) as collector:
        for n, user in enumerate([S, {"id": "ana", **S}, {"id": "bob", **S}, S]):
            collector.push(event(n, user=user))
    with running(guarded(record, spool)) as collector:
        collector.push(event(4, user=S))
        assert collector.forget({"id": "ana"}) == 2
        collector.consent(MARKETING, user={"id": "bob"})
        assert collector.flush(PATIENCE)
        assert record.numbers == [2, 3, 4]
        assert held(collector) == 0


def test_what_waits_of_a_session_is_of_the_first_who_signs_in(spool: Path | None) -> None:
    clock, record, busy = Clock(), Record(), [True]

    def push(event: dict[str, Any], context: Any) -> None:
        if busy[0]:
            raise RetryLater("busy", after=60)
        record.push(event, context)

    with running(one(plugin(push), spool, consent=MARKETING), now=clock) as collector:
        collector.consent(MARKETING, user=S)
        for n in (1, 2):
            collector.push(event(n, user=S))
        until(lambda: collector.status().destinations["there"].due == 1)
        collector.push(event(3, user={"id": "ana", **S}))
        collector.push(event(4, user={"id": "bob", **S}))
        collector.consent(WITHDRAWN, user={"id": "ana"})
        busy[0] = False
        clock.advance(400_000)
        assert collector.flush(PATIENCE)
        assert record.numbers == []
        assert held(collector) == 4
        collector.consent(MARKETING, user={"id": "bob"})
        assert collector.flush(PATIENCE)
        assert record.numbers == [4]


def test_session_of_a_person_who_said_no_stays_theirs_when_a_device_comes(
    spool: Path | None,
) -> None:
    record = Record()
    with running(guarded(record, spool)) as collector:
        collector.consent(MARKETING)
        collector.consent(WITHDRAWN, user={"id": "ines", **S})
        users: list[dict[str, str]] = [S, {"device": "d", **S}, S, {"device": "d"}]
        for n, user in enumerate(users):
            assert collector.push(event(n, user=user)).destinations == {"there": "held"}
        collector.consent(MARKETING, user={"id": "ines"})
        assert collector.flush(PATIENCE)
        assert record.numbers == [0, 1, 2, 3]
        collector.consent(WITHDRAWN, user={"device": "d"})
        collector.push(event(4, user=S))
        assert collector.forget({"id": "ines"}) == 1


class Browsers(RuleBasedStateMachine):
    """People come, sign in where others did, say yes and no, are erased; events are refused and
    replayed; the clock jumps; the process restarts. What was sent, what is held and what is dead
    is what the model says, and each person's events came in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.model = Model()
        self.clock = Clock()
        self.visits = self.statements = self.sent = 0
        self.record = Record()
        self.accepted_now: set[int] = set()
        """Refused events that were replayed, and are accepted from then on."""

    @initialize(durable=st.booleans(), people_max=st.sampled_from([1, 1_000]))
    def begin(self, durable: bool, people_max: int) -> None:
        self.durable = durable
        spool = f"{self.folder.name}/spool.db" if durable else None
        destinations = {"there": (plugin(self.push), config(consent=MARKETING, queue_age=AGES))}
        people = people_max if durable else 1_000
        self.flow = flow(destinations, spool, people_max=people, oldest=None, max_ahead=AGES)
        self.collector = Collector(self.flow, now=self.clock)

    def push(self, event: dict[str, Any], context: Any) -> None:
        if self.is_refused(event["data"]["n"]):
            raise Rejected("not this one")
        self.record.push(event, context)

    def is_refused(self, n: int) -> bool:
        return n % 4 == 3 and n not in self.accepted_now

    @rule(user=USERS, own=st.none() | st.none() | st.booleans())
    def visit(self, user: dict[str, str], own: bool | None) -> None:
        person = self.model.identify(identifiers(user))
        self.model.filed.append((str(self.visits), person))
        parts: dict[str, Any] = {}
        if own is not None:
            self.model.own[str(self.visits)] = own
            parts = {"consent": {"marketing": own}}
        self.collector.push(event(self.visits, user=user, **parts))
        self.visits += 1
        self.settle()

    @rule(user=USERS, granted=st.booleans())
    def say(self, user: dict[str, str], granted: bool) -> None:
        self.statements += 1
        self.model.say(self.model.identify(identifiers(user)), granted, self.statements)
        self.collector.consent({"marketing": granted}, user=user)
        self.settle()

    @rule(granted=st.booleans())
    def say_by_default(self, granted: bool) -> None:
        self.model.default = granted
        self.collector.consent({"marketing": granted})
        self.settle()

    @rule(user=USERS)
    def forget(self, user: dict[str, str]) -> None:
        addressed = self.model.addressed(identifiers(user))
        gone = [whose for _, whose in self.model.filed + self.model.dead if whose in addressed]
        assert self.collector.forget(user) == len(gone)
        self.model.erase(addressed)
        self.settle()

    @rule(mended=st.booleans())
    def replay(self, mended: bool) -> None:
        """Refused events are delivered if somebody has mended them, and if consent still allows."""
        if mended:
            self.accepted_now.update(int(n) for n, _ in self.model.dead)
        assert self.collector.replay(self.collector.dead()) == len(self.model.dead)
        self.model.filed += self.model.dead
        self.model.dead = []
        self.settle()

    @rule(hours=st.sampled_from([-10_000, -24, -1, 1, 24, 10_000]))
    def jump(self, hours: int) -> None:
        self.clock.advance(hours * 3_600_000)
        self.settle()

    @precondition(lambda self: self.durable)
    @rule()
    def restart(self) -> None:
        self.collector.close(timeout=PATIENCE)
        self.collector = Collector(self.flow, now=self.clock)
        self.settle()

    def settle(self) -> None:
        """Have the model send what may go, and compare."""
        due = [item for item in self.model.filed if self.model.allows(item)]
        assert self.collector.flush(PATIENCE)
        refused = [item for item in due if self.is_refused(int(item[0]))]
        sent = [int(n) for n, person in due if (n, person) not in refused]
        came = self.record.numbers[self.sent :]
        assert sorted(came) == sorted(sent)
        whose = {int(n): person for n, person in due}
        for person in {*whose.values()}:
            theirs = [n for n in came if whose[n] == person and n not in self.accepted_now]
            assert theirs == sorted(theirs)
        self.sent += len(sent)
        self.model.filed = [item for item in self.model.filed if item not in due]
        self.model.dead += refused
        status = self.collector.status_of("there")
        assert status.held == len(self.model.filed)
        assert status.dead == len(self.collector.dead()) == len(self.model.dead)

    def teardown(self) -> None:
        if hasattr(self, "collector"):
            self.collector.close(timeout=0)
        self.folder.cleanup()


TestBrowsers = Browsers.TestCase
TestBrowsers.settings = examples(25, stateful_step_count=form(20, 50))


# --- signing in ------------------------------------------------------------------------------


def test_sessions_grant_releases_what_is_held_of_the_person_at_the_join(
    spool: Path | None,
) -> None:
    record = Record()
    with running(guarded(record, spool)) as collector:
        collector.push(event(1, "ana"))
        collector.consent(MARKETING, user=S)
        collector.push(event(2, user={"id": "ana", **S}))
        assert collector.flush(PATIENCE)
        assert record.numbers == [1, 2]


def test_later_events_wait_for_what_the_session_has_under_way_though_others_see_the_join_first(
    spool: Path | None,
) -> None:
    record, begun, gate = Record(), threading.Event(), threading.Event()
    failed: list[int] = []

    def push(event: dict[str, Any], context: Any) -> None:
        if event["data"]["n"] == 1 and not failed:
            begun.set()
            gate.wait(PATIENCE)
            failed.append(1)
            raise RetryLater("busy")
        record.push(event, context)

    with running(one(plugin(push), spool, concurrency=3)) as collector:
        collector.push(event(1, user=S))
        assert begun.wait(PATIENCE)
        # The join is known, and whoever learned it has yet to do anything about it.
        collector._life.runtime.consents.identify({"id": "ana", **S})
        collector.push(event(2, "ana"))
        collector.push(event(3, "other"))
        record.wait_for(1)
        assert record.numbers == [3]
        gate.set()
        assert collector.flush(PATIENCE)
    assert record.numbers == [3, 1, 2]


def test_people_keep_their_order_while_they_sign_in_and_deliveries_fail(
    spool: Path | None,
) -> None:
    record, lock = Record(), threading.Lock()
    tried: set[int] = set()

    def push(event: dict[str, Any], context: Any) -> None:
        n = event["data"]["n"]
        with lock:
            first = n not in tried
            tried.add(n)
        if first and n % 3 == 0:
            raise RetryLater("busy", after=0.001)
        record.push(event, context)

    people = 40
    with running(one(plugin(push), spool, concurrency=4)) as collector:

        def visit(thread: int) -> None:
            for person in range(thread, people, 4):
                for n in range(8):
                    user = {"session": f"s{person}"} | ({"id": f"u{person}"} if n >= 3 else {})
                    collector.push(event(person * 100 + n, user=user))

        in_threads(*(lambda t=t: visit(t) for t in range(4)))
        assert collector.flush(PATIENCE)
    for person in range(people):
        theirs = [n for n in record.numbers if n // 100 == person]
        assert theirs == sorted(theirs)
        assert len(theirs) == 8


def test_person_with_many_sessions_costs_no_more_for_each(spool: Path | None) -> None:
    with running(guarded(Record(), spool)) as collector:
        for n in range(300):
            collector.push(event(n, user={"id": "ana", "session": f"s{n}"}))
        joins = [it.pending.holds.joins for it in collector._life.runtime.workers.values()]
        until(lambda: not any(joins))
        looked_at: list[Any] = []
        graph = collector._life.runtime.consents._identities
        lookup = graph._lookup
        graph._lookup = lambda key: looked_at.append(key) or lookup(key)  # type: ignore[method-assign,func-returns-value]  # counts
        collector.push(event(300, user={"id": "ana", "session": "new"}))
        assert set(looked_at) == {"session:new"}
        assert held(collector) == 301


def test_session_of_a_person_who_said_no_does_not_look_at_all_that_is_held(
    spool: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(guarded(Record(), spool)) as collector:
        collector.consent(WITHDRAWN, user={"id": "ana"})
        for n in range(100):
            collector.push(event(n, user={"id": "ana", "session": f"s{n}"}))
        released: list[Any] = []
        workers = collector._life.runtime.workers
        monkeypatch.setattr(workers, "release", released.append)
        collector.push(event(100, user={"id": "ana", "session": "new"}))
        collector.push(event(101, user={"id": "ana", "session": "new"}))
        assert released == [set()]  # only what was filed under the new session
        assert held(collector) == 102


def test_what_two_collectors_learn_of_one_spool_is_one_person(tmp_path: Path) -> None:
    record = Record()
    the_flow = guarded(record, tmp_path / "spool.db")
    users = [{"device": "a", **S}, {"device": "b", **S}]
    with running(the_flow) as first, running(the_flow) as second:
        for n, user in enumerate(users):
            first.push(event(n, user=user))
        for n, user in enumerate(reversed(users)):
            second.push(event(10 + n, user=user))
        second.consent(WITHDRAWN, user=S)
    with running(the_flow) as collector:
        assert held(collector) == 4
        collector.push(event(20, user={"device": "b"}))
        assert held(collector) == 5
        collector.consent(MARKETING, user={"device": "a"})
        assert collector.flush(PATIENCE)
        assert sorted(record.numbers) == [0, 1, 10, 11, 20]
        collector.consent(WITHDRAWN, user={"device": "b"})
        collector.push(event(21, user=S))
        assert collector.forget({"device": "a"}) == 1


# --- identifiers -----------------------------------------------------------------------------


def test_identifier_of_any_type_is_the_person_it_is_sent_as(spool: Path | None) -> None:
    record = Record()
    with running(guarded(record, spool)) as collector:
        collector.consent(MARKETING)
        collector.consent(WITHDRAWN, user={"id": 42})
        for n, id_ in enumerate([Decimal("42"), 42.0, "42", Decimal("42.0")]):
            assert collector.push(event(n, user={"id": id_})).destinations == {"there": "held"}
        assert collector.forget({"id": Decimal("42")}) == 4


@pytest.mark.parametrize("id_", [["u"], {"u": 1}, [], {}])
def test_event_whose_identifier_is_a_list_or_an_object_is_refused(id_: Any) -> None:
    with running(guarded(Record())) as collector:
        for call in (
            lambda: collector.push(event(1, user={"id": id_})),
            lambda: collector.consent(MARKETING, user={"id": id_}),
            lambda: collector.forget({"id": id_}),
        ):
            with pytest.raises(EventError, match=r"user\.id: must be text or a number"):
                call()
        assert collector.status().accepted == 0


@pytest.mark.parametrize(
    "user", [{"id": 2**70}, {"id": "\ud800"}, {"id": 10**5_000}, {"id": "u", "x": {1: object()}}]
)
def test_statement_about_a_user_that_no_event_could_carry_is_refused_whole(
    user: Any, spool: Path | None
) -> None:
    told: list[Any] = []
    cls = plugin(Record().push, consent=lambda update, state, person: told.append(update))
    with running(one(cls, spool, consent=MARKETING)) as collector:
        for call in (
            lambda: collector.consent(MARKETING, user=user),
            lambda: collector.forget(user),
        ):
            with pytest.raises(EventError):
                call()
        assert collector.push(event(1)).destinations == {"there": "held"}
        assert collector._life.runtime.consents.version == 0
        assert told == []


# --- all or nothing --------------------------------------------------------------------------


def full(spool: Path | None, told: list[Any]) -> FlowConfig:
    """Return a flow with room for two events, one destination of which listens to consent."""

    def never(event: Any, context: Any) -> None:
        raise RetryLater("busy", after=3_600)

    there = plugin(never, consent=lambda update, state, person: told.append(update))
    destinations = {"there": (there, config()), "held": (plugin(never), config(consent=MARKETING))}
    if spool is None:
        return flow(destinations, queue_wait=20, queue_max=2)
    made = flow(destinations, spool, queue_wait=20)
    small = SpoolConfig(path=str(spool), max_events=2)
    return attrs.evolve(made, collector=attrs.evolve(made.collector, spool=small))


def attempts(update: dict[str, bool]) -> list[Callable[[Collector], None]]:
    return [
        lambda collector: collector.consent(update, user={"id": "u1"}),
        lambda collector: collector.consent(update),
    ]


@pytest.mark.parametrize("way", [0, 1], ids=["of a person", "by default"])
def test_statement_for_which_there_is_no_room_is_not_made(way: int, spool: Path | None) -> None:
    told: list[Any] = []
    with running(full(spool, told)) as collector:
        for n in range(2):
            collector.push(event(n))
        state = attempts(MARKETING)[way]
        with pytest.raises(SpoolFull):
            state(collector)
        assert collector.status().destinations["held"].held == 2
        assert collector._life.runtime.consents.default == {}
        assert collector._life.runtime.consents.state("id:u1") == {}
        collector.bury(collector.dead())
        assert collector.forget({"id": "u1"}) == 2
        state(collector)
        assert collector._life.runtime.consents.decide({}, "id:u1") == MARKETING


def test_statement_that_the_disk_refuses_is_not_made(tmp_path: Path) -> None:
    told: list[Any] = []
    cls = plugin(Record().push, consent=lambda update, state, person: told.append(update))
    with running(one(cls, tmp_path / "spool.db", consent=MARKETING)) as collector:
        collector.push(event(1))
        spool: Any = collector._life.runtime.spool
        spool.core.commits.connection.execute("DROP TABLE consents")
        with pytest.raises(SpoolError):
            collector.consent(MARKETING, user={"id": "u1"})
        assert collector.push(event(2)).destinations == {"there": "held"}
        assert collector.flush(PATIENCE)
        assert (held(collector), told) == (2, [])
        assert collector.status().stored == 2


def test_statement_that_a_signal_breaks_off_is_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Stop(BaseException):
        pass

    def stop(*args: object) -> None:
        raise Stop

    record = Record()
    with running(guarded(record, tmp_path / "spool.db")) as collector:
        collector.push(event(1))
        spool: Any = collector._life.runtime.spool
        learn = spool.learn

        def interrupted(*args: Any) -> None:
            learn(*args)
            signal.raise_signal(signal.SIGUSR1)

        monkeypatch.setattr(spool, "learn", interrupted)
        before = signal.signal(signal.SIGUSR1, stop)
        try:
            with pytest.raises(Stop):
                collector.consent(MARKETING, user={"id": "u1"})
        finally:
            signal.signal(signal.SIGUSR1, before)
        record.wait_for(1)
        assert collector.push(event(2)).destinations == {"there": "accepted"}


def test_two_statements_in_one_millisecond_hold_in_their_order(spool: Path | None) -> None:
    clock, record = Clock(), Record()
    with running(guarded(record, spool), now=clock) as collector:
        for n in range(50):
            collector.consent(MARKETING, user={"id": f"u{n}"})
            collector.consent(WITHDRAWN, user={"session": f"s{n}"})
            result = collector.push(event(n, user={"id": f"u{n}", "session": f"s{n}"}))
            assert result.destinations == {"there": "held"}
            assert collector.push(event(n, f"u{n}")).destinations == {"there": "held"}


# --- erasure ---------------------------------------------------------------------------------


def test_erasure_finds_what_a_key_filed_that_joins_while_it_waits(spool: Path | None) -> None:
    record, gate, under_way = Record(), threading.Event(), threading.Event()

    def push(event: dict[str, Any], context: Any) -> None:
        under_way.set()
        gate.wait(PATIENCE)
        record.push(event, context)

    destinations = {
        "there": (plugin(push), config(mapping={"page": {"*": RuleConfig(ignore=True)}})),
        "held": (plugin(record.push), config(consent=MARKETING)),
    }
    with running(flow(destinations, spool)) as collector:
        collector.push(event(1, "ana"))
        assert under_way.wait(PATIENCE)
        collector.push({**event(2, user=S), "name": "page view"})
        erased: list[int] = []
        forgetting = threading.Thread(target=lambda: erased.append(collector.forget({"id": "ana"})))
        forgetting.start()
        # It has looked who the person is, and waits for what is under way.
        window = collector._life.runtime.workers["held"].pending.state.window
        until(lambda: window._refill_pauses > 0)
        collector.push({**event(3, user={"id": "ana", **S}), "name": "page view"})
        gate.set()
        forgetting.join(PATIENCE)
        assert not forgetting.is_alive()
        assert collector.status().destinations["held"].held == 0
        assert collector.status().stored == 0
    assert record.numbers == [1]


@pytest.mark.parametrize("user", [S, {"id": "ana", **S}], ids=["session", "both"])
@pytest.mark.parametrize("many", [False, True], ids=["push", "push_many"])
def test_event_stored_after_an_erasure_that_began_when_its_person_was_found_is_its_sessions(
    many: bool, user: dict[str, Any], spool: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(guarded(Record(), spool)) as collector:
        store: Any = collector._life.runtime.spool
        append = store.append

        def append_later(*args: Any) -> Any:
            monkeypatch.setattr(store, "append", append)
            in_threads(lambda: collector.forget({"id": "ana"}))
            return append(*args)

        collector.push(event(1, user={"id": "ana", **S}))
        monkeypatch.setattr(store, "append", append_later)
        if many:
            collector.push_many([event(2, user=user), event(3, "bob")])
        else:
            collector.push(event(2, user=user))
            collector.push(event(3, "bob"))
        assert held(collector) == 2
        assert collector.forget(S) == 1
        assert held(collector) == 1
        assert collector.status().accepted == 3


def test_event_that_comes_while_its_persons_keys_are_being_erased_is_its_sessions(
    spool: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, erase = threading.Event(), IdentityGraph.erase
    with running(guarded(Record(), spool)) as collector:
        store: Any = collector._life.runtime.spool
        append = store.append
        consents = collector._life.runtime.consents
        refresh = consents.refresh
        pushing = threading.Thread(target=collector.push, args=(event(2, user=S),))

        def append_and_tell(*args: Any) -> Any:
            try:
                return append(*args)
            finally:
                tried.set()

        def refresh_and_tell(**options: Any) -> None:
            tried.set()  # with a durable spool the push waits here for the erasure
            refresh(**options)

        def push_and_erase(graph: IdentityGraph, people: set[str]) -> None:
            monkeypatch.setattr(store, "append", append_and_tell)
            monkeypatch.setattr(consents, "refresh", refresh_and_tell)
            pushing.start()
            assert tried.wait(PATIENCE)
            erase(graph, people)

        collector.push(event(1, user={"id": "ana", **S}))
        monkeypatch.setattr(IdentityGraph, "erase", push_and_erase)
        assert collector.forget({"id": "ana"}) == 1
        join(pushing)
        monkeypatch.undo()
        assert held(collector) == 1
        assert collector.forget(S) == 1
        assert held(collector) == 0


def test_event_overtaken_by_an_erasure_goes_by_the_consent_that_is_left(
    monkeypatch: pytest.MonkeyPatch, spool: Path | None
) -> None:
    record = Record()
    with running(guarded(record, spool)) as collector:
        store: Any = collector._life.runtime.spool
        append = store.append

        def append_later(*args: Any) -> Any:
            monkeypatch.setattr(store, "append", append)
            in_threads(lambda: collector.forget({"id": "ana"}))
            return append(*args)

        collector.push(event(1, user={"id": "ana", **S}))
        collector.consent(MARKETING, user={"id": "ana"})
        record.wait_for(1)
        assert collector.flush(PATIENCE)
        monkeypatch.setattr(store, "append", append_later)
        assert collector.push(event(2, user=S)).destinations == {"there": "accepted"}
        assert collector.flush(PATIENCE)
        assert held(collector) == 1  # what the person had granted is erased, too
        collector.consent(MARKETING, user=S)
        record.wait_for(2)


def test_statement_for_which_there_is_no_room_releases_what_its_identifiers_join() -> None:
    record = Record()

    def down(context: Any) -> None:
        raise DestinationDown("no key")

    ignoring = config(mapping={"order": {"*": RuleConfig(ignore=True)}})
    destinations = {
        "there": (plugin(record.push), config(consent=MARKETING)),
        "full": (plugin(record.push, init=down, consent=lambda *_: None), ignoring),
    }
    with running(flow(destinations, queue_max=1, queue_wait=0)) as collector:
        collector.consent(MARKETING, user={"id": "ana"})
        assert collector.push(event(1, user=S)).destinations["there"] == "held"
        with pytest.raises(SpoolFull):
            collector.consent({"analytics": True}, user={"id": "ana", **S})
        until(lambda: record.numbers == [1])
        assert collector._life.runtime.consents.state("id:ana") == MARKETING


def test_erasure_ends_although_events_name_the_person_with_ever_new_keys(
    spool: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record()
    with running(one(plugin(record.push), spool)) as collector:
        erasures = collector._life.runtime.workers["there"].pending.erasures
        erase, numbers = erasures.erase, count(1)

        def erase_and_push(people: set[str], deadline: float) -> set[int]:
            gone = erase(people, deadline)
            n = next(numbers)
            assert n < 10, "it would go on for ever"
            pusher = threading.Thread(
                target=collector.push, args=(event(n, user={"id": "ana", "session": f"s{n}"}),)
            )
            pusher.start()
            pusher.join(PATIENCE)
            assert not pusher.is_alive()
            return gone

        monkeypatch.setattr(erasures, "erase", erase_and_push)
        collector.forget({"id": "ana"})
        monkeypatch.undo()
        assert collector.flush(PATIENCE)
        assert collector.forget({"id": "ana"}) == 0


@pytest.mark.parametrize("error", [RetryLater("busy"), Rejected("no"), KeyError("bug")])
def test_event_that_fails_while_its_person_is_erased_is_gone(
    error: Exception, spool: Path | None
) -> None:
    gate, under_way = threading.Event(), threading.Event()

    def push(event: dict[str, Any], context: Any) -> None:
        under_way.set()
        gate.wait(PATIENCE)
        raise error

    with running(one(plugin(push), spool)) as collector:
        collector.push(event(1, "ana"))
        assert under_way.wait(PATIENCE)
        erased: list[int] = []
        forgetting = threading.Thread(target=lambda: erased.append(collector.forget({"id": "ana"})))
        forgetting.start()
        until(lambda: bool(collector._life.runtime.workers["there"].pending.erasures.revoked))
        gate.set()
        forgetting.join(PATIENCE)
        assert erased == [1]
        assert collector.flush(PATIENCE)
        there = collector.status().destinations["there"]
        assert (there.waiting, there.dead, there.held) == (0, 0, 0)
        assert (collector.dead(), collector.status().stored) == ([], 0)


def erasing_during(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, method: str, other: Callable[[], object]
) -> None:
    """Erase Ana while another call is between the spool's record and memory; return when both
    have.
    """
    spool: Any = collector._life.runtime.spool
    done, inside = getattr(spool, method), threading.Event()
    forgetting = threading.Thread(target=lambda: collector.forget({"id": "ana"}))

    def slowly(*args: Any) -> Any:
        inside.set()
        until(collector._life.runtime.erasure._lock.locked)
        forgetting.join(0.2)  # it waits for this; else it has all the time it needs
        result = done(*args)
        forgetting.join(0.2)
        return result

    monkeypatch.setattr(spool, method, slowly)
    calling = threading.Thread(target=other)
    calling.start()
    assert inside.wait(PATIENCE)
    forgetting.start()
    for thread in (calling, forgetting):
        thread.join(PATIENCE)
        assert not thread.is_alive()
    monkeypatch.undo()


def test_grant_and_erasure_at_once_leave_nothing_that_waits(
    monkeypatch: pytest.MonkeyPatch, spool: Path | None
) -> None:
    record = Record()
    with running(guarded(record, spool)) as collector:
        collector.push(event(1, "other"))
        with collector._life.runtime.workers["there"].pending.erasures.erasing({"id:ana"}):
            for n in (2, 3):
                collector.push(event(n, "ana"))
            erasing_during(
                collector,
                monkeypatch,
                "settle",
                lambda: collector.consent(MARKETING, user={"id": "ana"}),
            )
        assert collector.flush(PATIENCE)
        there = collector.status().destinations["there"]
        assert (there.waiting, there.held, record.numbers) == (0, 1, [])
        assert collector.status().stored == (1 if spool else 0)


def test_nothing_that_is_replayed_begins_after_its_person_was_erased(
    monkeypatch: pytest.MonkeyPatch, spool: Path | None
) -> None:
    record, refuse = Record(), [True]

    def push(event: dict[str, Any], context: Any) -> None:
        if refuse[0]:
            raise Rejected("no")
        record.push(event, context)

    with running(one(plugin(push), spool)) as collector:
        collector.push(event(1, "ana"))
        until(lambda: len(collector.dead()) == 1)
        refuse[0] = False
        letters = collector.dead()
        with collector._life.runtime.workers["there"].pending.erasures.erasing({"id:ana"}):
            erasing_during(collector, monkeypatch, "requeue", lambda: collector.replay(letters))
        assert collector.flush(PATIENCE)
        there = collector.status().destinations["there"]
        assert (there.waiting, there.dead, record.numbers) == (0, 0, [])
        assert collector.replay(letters) == 0


def test_push_that_has_something_to_write_does_not_hold_up_an_erasure_that_waits_for_it(
    tmp_path: Path,
) -> None:
    with running(guarded(Record(), tmp_path / "spool.db", queue_max=1)) as collector:
        runtime: Any = collector._life.runtime
        collector.push(event(0, user={"id": "ana", "session": "s"}))
        erased = threading.Event()

        def erase() -> None:
            with runtime.workers["there"].pending.erasures.in_step():
                pushing.start()
                until(lambda: collector.status().destinations["there"].dropped == 1)
                runtime.consents.erase({"id:ana"})
            erased.set()

        # Of a new person, so it is learned from; the first event has to go, which is to be written.
        newcomer = {"id": "tom", "session": "t"}
        pushing = threading.Thread(
            target=lambda: collector.push(event(1, user=newcomer)), daemon=True
        )
        threading.Thread(target=erase, daemon=True).start()
        assert erased.wait(PATIENCE)
        join(pushing)


def test_figures_add_up_when_grants_withdrawals_and_erasures_run_together(
    spool: Path | None,
) -> None:
    record = Record()
    with running(guarded(record, spool, concurrency=2)) as collector:

        def visit() -> None:
            for n in range(150):
                collector.push(event(n, user={"id": "ana", "session": f"s{n % 7}"}))
                collector.push(event(n, user={"session": f"t{n % 5}"}))

        def decide() -> None:
            for n in range(60):
                collector.consent({"marketing": n % 2 == 0}, user={"id": "ana"})
                collector.consent({"marketing": n % 2 == 1}, user={"session": f"t{n % 5}"})

        def erase() -> None:
            for n in range(30):
                collector.forget({"id": "ana"} if n % 2 else {"session": f"t{n % 5}"})

        in_threads(visit, decide, erase)
        assert collector.flush(PATIENCE)
        for user in ({"id": "ana"}, *({"session": f"t{n}"} for n in range(5))):
            collector.forget(user)
        there = collector.status().destinations["there"]
        assert (there.waiting, there.held, there.in_flight) == (0, 0, 0)
        assert collector.status().stored == 0
