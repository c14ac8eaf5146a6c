"""Whatever fails, in whatever order: every event arrives once, and each person's in order."""

import random
from collections import Counter
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

from attrs import Factory, define
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import PATIENCE, Record, config, event, flow, in_threads, one, plugin
from tests.forms import examples
from walker_collector import Collector, DestinationDown, Item, Rejected, RetryLater
from walker_collector.config import BatchConfig, BreakerConfig, DestinationConfig, RuleConfig

PEOPLE = ("a", "b", "c", None)


@define(eq=False)
class Unsteady:
    """A destination that fails in an order that a seed decides, now for one, now for all."""

    chance: random.Random
    trouble: float
    record: Record = Factory(Record)
    rejected: set[int] = Factory(set)

    def fails(self) -> bool:
        return self.chance.random() < self.trouble

    def push(self, event: dict[str, Any], context: Any) -> None:
        if event["data"]["n"] % 13 == 12:
            self.rejected.add(event["data"]["n"])
            raise Rejected("unlucky")
        if self.fails():
            failures = (RetryLater("busy"), RetryLater("wait", after=0.001), KeyError("bug"))
            raise self.chance.choices(failures, (5, 5, 1))[0]
        self.record.push(event, context)

    def push_batch(self, batch: Sequence[Item]) -> dict[int, Exception]:
        if self.fails() and self.fails():
            raise self.chance.choice((RetryLater("all busy"), KeyError("bug in all")))
        failures: dict[int, Exception] = {}
        waiting: set[Any] = set()
        for index, item in enumerate(batch):
            person = item.event["user"].get("id")
            if person in waiting:
                failures[index] = RetryLater("behind another")
                continue
            try:
                self.push(item.event, item.context)
            except Exception as error:
                failures[index] = error
                if person is not None and not isinstance(error, Rejected):
                    waiting.add(person)
        return failures


def check(unsteady: Unsteady, pushed: Sequence[tuple[int, Any]], dead: Counter[int]) -> None:
    """Every event was delivered once or is a dead letter; each person's came in order."""
    arrived = unsteady.record.numbers
    assert Counter(arrived) + dead == Counter(n for n, _ in pushed)
    assert unsteady.rejected <= set(dead)
    for person in PEOPLE[:3]:
        theirs = unsteady.record.of(person)
        assert theirs == sorted(theirs)


def there(batched: bool, concurrency: int, size: int) -> DestinationConfig:
    rules = {"order": {"*": RuleConfig(batch=BatchConfig(size=3) if batched else None)}}
    return config(
        concurrency=concurrency,
        batch=BatchConfig(size=size, wait=0),
        mapping=rules,
        breaker=BreakerConfig(threshold=4, cooldown=1),
    )


def numbers_of(collector: Collector) -> Counter[int]:
    import orjson

    return Counter(orjson.loads(letter.body)["data"]["n"] for letter in collector.dead())


EVENTS = st.lists(st.tuples(st.sampled_from(PEOPLE), st.booleans()), min_size=1, max_size=60)


@examples(25)
@given(
    events=EVENTS,
    seed=st.integers(0, 2**32),
    trouble=st.sampled_from([0.0, 0.1, 0.4]),
    batched=st.booleans(),
    concurrency=st.integers(1, 4),
    size=st.integers(1, 10),
    window=st.sampled_from([3, 10, 10_000]),
    restarts=st.lists(st.integers(0, 60), max_size=2),
    durable=st.booleans(),
)
def test_every_event_arrives_once_and_each_persons_in_order(
    events: list[tuple[Any, bool]],
    seed: int,
    trouble: float,
    batched: bool,
    concurrency: int,
    size: int,
    window: int,
    restarts: list[int],
    durable: bool,
) -> None:
    from walker_collector.delivery import window as spool_window

    unsteady = Unsteady(random.Random(seed), trouble)
    cls = plugin(None, unsteady.push_batch, linger=0) if batched else plugin(unsteady.push)
    before, spool_window.WINDOW = spool_window.WINDOW, window  # type: ignore[misc]  # only ever larger in life
    try:
        with TemporaryDirectory() as folder:
            spool = f"{folder}/spool.db" if durable else None
            the_flow = flow({"there": (cls, there(batched, concurrency, size))}, spool)
            collector = Collector(the_flow)
            pushed = []
            for n, (person, alone) in enumerate(events):
                if durable and n in restarts:
                    collector.close(timeout=0)
                    collector = Collector(the_flow)
                name = "page view" if alone else "order complete"
                collector.push({**event(n, person), "name": name})
                pushed.append((n, person))
            assert collector.flush(PATIENCE)
            check(unsteady, pushed, numbers_of(collector))
            status = collector.status().destinations["there"]
            assert (status.waiting, status.in_flight, status.held) == (0, 0, 0)
            assert status.dead == len(collector.dead())
            assert collector.status().stored == status.dead
            assert collector.close(timeout=PATIENCE)
    finally:
        spool_window.WINDOW = before  # type: ignore[misc]  # as above


@examples(25)
@given(
    seed=st.integers(0, 2**32),
    batched=st.booleans(),
    durable=st.booleans(),
    concurrency=st.integers(1, 4),
)
def test_pushers_consents_and_logins_at_once_keep_every_promise(
    seed: int, batched: bool, durable: bool, concurrency: int
) -> None:
    unsteady = Unsteady(random.Random(seed), 0.1)
    cls = plugin(None, unsteady.push_batch, linger=0) if batched else plugin(unsteady.push)
    chance = random.Random(seed)
    with TemporaryDirectory() as folder:
        spool = f"{folder}/spool.db" if durable else None
        settings: dict[str, Any] = {"consent": {"marketing": True}, "concurrency": concurrency}
        collector = Collector(one(cls, spool, **settings))
        pushed: list[tuple[int, Any]] = []

        def visit(person: str, first: int) -> None:
            for n in range(first, first + 25):
                user: dict[str, Any] = {"id": person}
                if n % 5 == 0:
                    user["session"] = f"s{person}{n % 3}"
                collector.push(event(n, user=user))
                pushed.append((n, person))

        def decide(person: str) -> None:
            for _ in range(8):
                collector.consent({"marketing": chance.random() < 0.5}, user={"id": person})

        work: list[Any] = []
        for at, person in enumerate(PEOPLE[:3]):
            work += [
                lambda p=person, a=at: visit(p, 100 * a),
                lambda p=person: decide(p),
            ]
        in_threads(*work)
        for person in PEOPLE[:3]:
            collector.consent({"marketing": True}, user={"id": person})
        assert collector.flush(PATIENCE)
        check(unsteady, pushed, numbers_of(collector))
        status = collector.status().destinations["there"]
        assert (status.waiting, status.held, status.dead) == (0, 0, len(collector.dead()))
        assert collector.close(timeout=PATIENCE)


def test_outages_of_one_destination_are_no_other_ones_business() -> None:
    good, bad = Record(), Unsteady(random.Random(1), 0.0)
    down = [True]

    def push(event: dict[str, Any], context: Any) -> None:
        if down[0]:
            raise DestinationDown("no key")
        bad.push(event, context)

    destinations = {"good": (plugin(good.push), config()), "bad": (plugin(push), config())}
    collector = Collector(flow(destinations))
    for n in range(100):
        collector.push(event(n))
    good.wait_for(100)
    assert collector.status().destinations["bad"].waiting == 100
    collector.close(timeout=0)
