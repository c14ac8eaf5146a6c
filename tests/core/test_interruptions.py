"""A signal handler at any moment: nothing hangs, nothing is lost, nothing is done by half."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.core.interruptions import Interruption, at_moment
from tests.core.support import (
    MARKETING,
    PATIENCE,
    Record,
    config,
    event,
    flow,
    plugin,
    running,
    surely,
)
from tests.forms import form
from walker_collector import Collector, CollectorClosed, PushResult, Rejected, SpoolError
from walker_collector.interrupts import Notifier
from walker_collector.people.consent import ConsentStore


class Shop:
    """A collector with three destinations, one of which wants consent; and what they were given."""

    def __init__(self, spool: Path | None, **settings: Any) -> None:
        self.spool = spool
        self.records = {"one": Record(), "other": Record(), "consenting": Record()}
        configs = {"consenting": config(consent=MARKETING)}
        self.collector = Collector(
            flow(
                {
                    id_: (
                        plugin(push_batch=record.push_batch, linger=0),
                        configs.get(id_, config()),
                    )
                    for id_, record in self.records.items()
                },
                spool,
                **settings,
            )
        )

    def delivered(self, destination: str) -> Counter[int]:
        return Counter(self.records[destination].numbers)

    def check(self) -> None:
        """See to it that nothing is locked, that everything goes out, and that figures add up."""
        done: list[bool] = []

        def use() -> None:
            self.collector.push(event(-1, "somebody"))
            self.collector.consent(MARKETING, user={"id": "somebody"})
            done.append(self.collector.flush(PATIENCE))

        thread = threading.Thread(target=use, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert done == [True], self.collector.status()
        status = self.collector.status()
        for figures in status.destinations.values():
            assert (figures.waiting, figures.in_flight, figures.unrecorded) == (0, 0, 0)
        if self.spool:
            assert status.stored == status.destinations["consenting"].held
        assert self.delivered("one") == self.delivered("other")
        for destination in self.records:
            twice = [n for n, times in self.delivered(destination).items() if times > 1 and n >= 0]
            assert not twice


@pytest.fixture(params=[False, True], ids=["memory", "durable"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path / "spool.db" if request.param else None)
    yield shop
    assert shop.collector.close(PATIENCE)


def moments(call: Callable[[int], object], raised: type[BaseException]) -> Iterator[int]:
    """Interrupt a call at each of its moments by an exception; yield how many there were so far."""

    def handler() -> None:
        raise raised

    for number in count(1):
        try:
            if not at_moment(number, handler, lambda number=number: call(number)):
                return
        except raised:
            pass
        yield number


class Stopped(Exception):
    """What some handlers raise, as the time limits of task queues do."""


raised = pytest.mark.parametrize("raised", [Interruption, Stopped])


@raised
def test_event_is_accepted_as_a_whole_or_not_at_all(
    raised: type[BaseException], shop: Shop
) -> None:
    for _ in moments(lambda n: shop.collector.push(event(n, consent=MARKETING)), raised):
        shop.check()
    shop.check()  # the last one, too
    assert len(shop.delivered("one")) > 10
    assert shop.delivered("consenting") == shop.delivered("one")


@raised
def test_event_with_an_id_is_accepted_and_remembered_or_neither(
    raised: type[BaseException], spool: Path | None
) -> None:
    shop = Shop(spool, recent=60_000)

    def push(n: int) -> None:
        shop.collector.push(event(n, id=f"e{n}"))

    for number in moments(push, raised):
        push(number)  # again, as a sender does that got no answer
        shop.check()
        assert shop.delivered("one")[number] == 1
    assert shop.collector.close(PATIENCE)


@raised
def test_what_a_handler_raises_is_raised_by_the_call_it_interrupts(
    raised: type[BaseException], shop: Shop
) -> None:
    odd = {"price": Decimal("1.5"), "at": datetime(2024, 1, 1, tzinfo=UTC), "tags": {"a", "b"}}

    def handler() -> None:
        raise raised

    for number in count(1):
        try:
            came = at_moment(number, handler, lambda: shop.collector.push(event(1, custom=odd)))
        except raised:
            continue
        assert not came, f"lost at moment {number}"
        return


@raised
def test_every_event_of_a_group_is_accepted_as_a_whole_or_not_at_all(
    raised: type[BaseException], shop: Shop
) -> None:
    def push(n: int) -> None:
        shop.collector.push_many([event(10 * n + i, f"u{i}", consent=MARKETING) for i in range(3)])

    for _ in moments(push, raised):
        shop.check()
    shop.check()  # the last ones, too
    assert shop.delivered("consenting") == shop.delivered("one")


@pytest.mark.long
@raised
def test_sign_in_is_learned_as_a_whole_or_not_at_all(
    raised: type[BaseException], shop: Shop
) -> None:
    def user(n: int) -> dict[str, str]:
        return {"id": f"u{n}", "session": f"s{n}"}

    def sign_in(n: int) -> None:
        shop.collector.push(event(3 * n + 1, user=user(n)))

    # In the short form, the two kinds take turns.
    for n in count(1 + 2 * (raised is Stopped), form(4, 1)):
        shop.collector.push(event(3 * n, user={"session": f"s{n}"}))
        shop.collector.consent({"other": True}, user={"session": f"s{n}"})
        more = broken_off(lambda n=n: sign_in(n), n, raised)
        # What was learned shows in what the next statement is about.
        shop.collector.consent(MARKETING, user={"id": f"u{n}"})
        consents = shop.collector._life.runtime.consents
        joined = consents.canonical(f"session:s{n}") == f"id:u{n}"
        if shop.spool:
            fresh = ConsentStore(shop.collector._life.runtime.spool, {}, 100, lambda: 0)
            assert (fresh.canonical(f"session:s{n}") == f"id:u{n}") == joined
            assert fresh.decide({}, f"session:s{n}") == consents.decide({}, f"session:s{n}")
        shop.check()
        assert (3 * n in shop.delivered("consenting")) == joined
        shop.collector.consent(MARKETING, user=user(n))
        assert surely(consents.keys_of(user(n))) == {f"id:u{n}", f"session:s{n}"}
        if not more:
            break
    assert shop.collector.flush(PATIENCE)
    assert shop.delivered("consenting") == shop.delivered("one")


def broken_off(call: Callable[[], object], number: int, raised: type[BaseException]) -> bool:
    """Call something, broken off at its moment of that number; return whether there is one."""

    def handler() -> None:
        raise raised

    try:
        return at_moment(number, handler, call)
    except raised:
        return True


@raised
def test_what_a_person_agrees_to_is_held_or_delivered(
    raised: type[BaseException], shop: Shop
) -> None:
    def agree(n: int) -> None:
        shop.collector.consent(MARKETING, user={"id": f"u{n}"})

    number = 0
    shop.collector.push(event(1, "u1"))
    for number in moments(agree, raised):
        shop.check()
        again = threading.Thread(target=agree, args=(number,))
        again.start()
        again.join(PATIENCE)
        shop.collector.push(event(number + 1, f"u{number + 1}"))
    shop.check()
    assert sorted(set(shop.records["consenting"].numbers) - {-1}) == [*range(1, number + 2)]


@raised
def test_event_is_held_as_a_whole_or_not_at_all(raised: type[BaseException], shop: Shop) -> None:
    for _ in moments(lambda n: shop.collector.push(event(n, f"u{n % 3}")), raised):
        shop.check()
    shop.collector.consent(MARKETING)
    shop.check()
    assert {*shop.delivered("consenting")} == {*shop.delivered("one")}
    assert not shop.collector.status_of("consenting").held


@raised
def test_erasure_is_complete_when_it_returns_and_stops_nothing_where_it_does_not(
    raised: type[BaseException], shop: Shop
) -> None:
    for number in moments(lambda n: shop.collector.forget({"id": "ines"}), raised):
        shop.check()
        shop.collector.push(event(number, "ines"))
        shop.check()
        assert number in shop.delivered("one")
    assert not shop.collector.status_of("consenting").held


@raised
def test_dead_letter_is_replayed_once(raised: type[BaseException], tmp_path: Path) -> None:
    record = Record()

    def push(event: dict[str, Any], context: Any) -> None:
        if not event["data"]["n"]:
            raise Rejected("no")
        record.push(event, context)

    for durable in (False, True):
        path = tmp_path / "spool.db" if durable else None
        with running(flow(plugin(push), path)) as collector:

            def replay(n: int, collector: Collector = collector) -> None:
                collector.replay(collector.dead())

            collector.push(event(0))
            for _ in moments(replay, raised):
                assert collector.flush(PATIENCE)
                assert collector.status_of("there").waiting == 0
                assert len(collector.dead()) == collector.status_of("there").dead == 1
            collector.push(event(1))
            assert collector.flush(PATIENCE)


@raised
def test_flush_that_is_interrupted_leaves_everything_to_the_next(
    raised: type[BaseException], shop: Shop
) -> None:
    def flush(n: int) -> None:
        shop.collector.flush(PATIENCE)

    for number in moments(flush, raised):
        shop.check()
        shop.collector.push(event(number))


# --- handlers that close -------------------------------------------------------------------------


def _push(collector: Collector, **options: Any) -> list[int]:
    return [10] if collector.push(event(10), **options).ok else []


def _push_many(collector: Collector) -> list[int]:
    results = collector.push_many([event(n, f"u{n}") for n in (10, 11, 12)])
    return [n for n, result in enumerate(results, 10) if isinstance(result, PushResult)]


def _nothing(call: Callable[[Collector], object]) -> Callable[[Collector], list[int]]:
    def run(collector: Collector) -> list[int]:
        call(collector)
        return []

    return run


CALLS: Mapping[str, Callable[[Collector], list[int]]] = {
    "push": _push,
    "push and wait": lambda collector: _push(collector, wait=True),
    "push_many": _push_many,
    "consent": _nothing(lambda it: it.consent(MARKETING, user={"id": "ines"})),
    "consent of all": _nothing(lambda it: it.consent(MARKETING)),
    "flush": _nothing(lambda it: it.flush(PATIENCE)),
    "close": _nothing(lambda it: it.close(PATIENCE)),
    "forget": _nothing(lambda it: it.forget({"id": "ines"})),
    "status": _nothing(lambda it: it.status()),
    "log": _nothing(lambda it: logging.getLogger("application").warning("busy")),
    "dead": _nothing(lambda it: it.bury(it.dead())),
}


@pytest.mark.long
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
@pytest.mark.parametrize(
    ("call", "leaves"),
    [
        pytest.param(call, leaves, id=f"{call}, {'raises' if leaves else 'returns'}")
        for call in CALLS
        for leaves in (False, True)
        if not (call == "log" and leaves)  # the logging module itself stays locked then
    ],
)
def test_handler_may_close_during_any_call(
    call: str,
    leaves: bool,
    durable: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A handler closes the collector, and may raise then, while its thread is inside a call."""
    caplog.set_level(logging.INFO)  # closing and deliveries log, whose locks the call may hold
    step = form(18 if durable else 2 if call == "push" else 6, 1)
    # In the short form, a handler that raises takes the moments between those of one that returns.
    for number in count(1 + leaves * step // 2, step):
        shop = Shop(tmp_path / f"{number}.db" if durable else None)
        collector = shop.collector
        accepted = [n for n in (1, 2, 3) if collector.push(event(n, consent=MARKETING)).ok]
        collector.push(event(4, "ines"))

        def handler(collector: Collector = collector) -> None:
            collector.close(PATIENCE)
            if leaves:
                raise Interruption

        def run(shop: Shop = shop, accepted: list[int] = accepted) -> None:
            accepted += CALLS[call](shop.collector)

        began = time.monotonic()
        try:
            came = at_moment(number, handler, run)
        except (CollectorClosed, Interruption, SpoolError):  # by the end of the call it is
            came = True
        assert collector.close(PATIENCE) or not came
        assert time.monotonic() - began < PATIENCE / 2
        for destination in ("one", "other"):
            missing = {*accepted} - {*shop.records[destination].numbers}
            assert not missing, (number, missing)
        if not came:
            return


def test_what_nobody_tells_of_is_seen_by_looking_again() -> None:
    looks = count()
    assert Notifier().wait_for(lambda: next(looks) > 50, time.monotonic() + 20, poll=0.001)
