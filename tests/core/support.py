"""What the tests of the core are made of: plugins from closures, flows, a clock, a record."""

import resource
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import Factory, define

from tests.support import PATIENCE, join, wait_until
from walker_collector import Collector, Item, PushContext, hookimpl
from walker_collector.config import (
    BreakerConfig,
    CollectorConfig,
    DestinationConfig,
    DestinationEntry,
    FlowConfig,
    RetryConfig,
    SpoolConfig,
)
from walker_collector.spool import Entry

until = wait_until
QUICK = RetryConfig(base=1, cap=5)
UNBREAKABLE = BreakerConfig(threshold=1_000_000)
MARKETING = {"marketing": True}
WITHDRAWN = {"marketing": False}


class Clock:
    """Wall-clock milliseconds that pass only when told to; knows how often each thread looked."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self._now = now
        self.looks: Counter[threading.Thread] = Counter()

    def __call__(self) -> int:
        self.looks[threading.current_thread()] += 1
        return self._now

    def advance(self, ms: int) -> None:
        self._now += ms


@define(eq=False)
class Record:
    """What a destination was given, in order; waits for more of it."""

    events: list[dict[str, Any]] = Factory(list)
    threads: set[str] = Factory(set)
    _more: threading.Condition = Factory(threading.Condition)

    def push(self, event: dict[str, Any], context: PushContext) -> None:
        with self._more:
            self.events.append(event)
            self.threads.add(threading.current_thread().name)
            self._more.notify_all()

    def push_batch(self, batch: Sequence[Item]) -> None:
        for item in batch:
            self.push(item.event, item.context)

    def wait_for(self, count: int) -> None:
        """Wait until that many events have come; fail when they don't."""
        with self._more:
            came = self._more.wait_for(lambda: len(self.events) >= count, PATIENCE)
        assert came, f"{len(self.events)} of {count} events came"

    @property
    def numbers(self) -> list[int]:
        return [event["data"]["n"] for event in self.events]

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]

    def of(self, person: str) -> list[int]:
        """Return the numbers of one person's events, by user id, in the order they came."""
        return [e["data"]["n"] for e in self.events if e["user"].get("id") == person]


Push = Callable[[dict[str, Any], PushContext], Any]
PushBatch = Callable[[Sequence[Item]], Mapping[int, Exception] | None]


def plugin(
    push: Push | None = None,
    push_batch: PushBatch | None = None,
    *,
    init: Callable[[Any], object] | None = None,
    consent: Callable[..., object] | None = None,
    shutdown: Callable[[], object] | None = None,
    **attributes: Any,
) -> type:
    """Make a destination class whose hooks are these functions."""
    members: dict[str, Any] = dict(attributes)

    def add(name: str, hook: Callable[..., Any]) -> None:
        hook.__name__, hook.__qualname__ = name, f"Destination.{name}"
        members[name] = hookimpl(hook)

    if push is not None:
        add("push", lambda self, event, context: push(event, context))
    if push_batch is not None:
        add("push_batch", lambda self, batch: push_batch(batch))
    if init is not None:
        add("init", lambda self, context: init(context))
    if consent is not None:
        add(
            "consent",
            lambda self, update, state, person, context: consent(update, state, person),
        )
    if shutdown is not None:
        add("shutdown", lambda self: shutdown())
    return type("Destination", (), members)


def config(**changes: Any) -> DestinationConfig:
    """Return a destination's configuration that retries at once and never stops."""
    return DestinationConfig(**{"retry": QUICK, "breaker": UNBREAKABLE, **changes})


def flow(
    destinations: Mapping[str, tuple[type, DestinationConfig]] | type,
    spool: Any = None,
    **collector: Any,
) -> FlowConfig:
    """Return a flow of these destinations; a class alone is the destination `there`."""
    if isinstance(destinations, type):
        destinations = {"there": (destinations, config())}
    return FlowConfig(
        collector=CollectorConfig(
            spool=None if spool is None else SpoolConfig(path=str(spool)), **collector
        ),
        destinations={
            name: DestinationEntry(package=name, plugin=cls, config=settings)
            for name, (cls, settings) in destinations.items()
        },
    )


def one(cls: type, spool: Any = None, **settings: Any) -> FlowConfig:
    """Return a flow with the one destination `there`, configured so."""
    return flow({"there": (cls, config(**settings))}, spool)


def guarded(record: Record, spool: Any = None, **settings: Any) -> FlowConfig:
    """Return a flow with the one destination `there`, which wants consent for marketing."""
    return one(plugin(record.push), spool, **{"consent": MARKETING, **settings})


def held(collector: Collector) -> int:
    """Return how many events the destination `there` holds."""
    return collector.status_of("there").held


@contextmanager
def running(flow: FlowConfig, **options: Any) -> Iterator[Collector]:
    """Run a collector; at the end it is closed without waiting for what can't go."""
    collector = Collector(flow, **options)
    try:
        yield collector
    finally:
        collector.close(timeout=0)


def event(n: int, person: str | None = "u1", **parts: Any) -> dict[str, Any]:
    """Return a numbered event of a person, known by user id; None: of nobody."""
    user = {} if person is None else {"id": person}
    return {"name": "order complete", "data": {"n": n}, "user": user, **parts}


def entry(seq: int, person: str = "id:u1", at: int = 0, body: bytes = b"{}") -> Entry:
    return (seq, person, at, body)


def wake_workers(collector: Collector) -> None:
    """Have every worker look at a clock that was moved, and do what is to be done by it.

    Afterwards, what has not happened will not happen before the clock is moved again. The first
    look may be that of a worker that just finishes; only the second surely is for work.
    """
    clock = collector._life.runtime.intake._now
    assert isinstance(clock, Clock), "a clock that passes by itself cannot be waited for"
    for _ in range(2):
        looks = clock.looks.copy()
        collector.flush(timeout=0)
        for worker in _workers(collector):
            _wait_for_a_look(clock, worker, looks[worker])
    wait_until(lambda: _in_flight(collector) == 0, "the end of deliveries")


def _wait_for_a_look(clock: Clock, worker: threading.Thread, looks: int) -> None:
    wait_until(
        lambda: clock.looks[worker] > looks or not worker.is_alive(),
        f"a look of {worker.name} at the clock",
    )


def _in_flight(collector: Collector) -> int:
    return sum(status.in_flight for status in collector.status().destinations.values())


def _workers(collector: Collector) -> list[threading.Thread]:
    workers = collector._life.runtime.workers.values()
    return [thread for worker in workers for thread in list(worker._threads._threads)]


def is_erasing(collector: Collector) -> bool:
    """Tell whether an erasure waits for what is in flight."""
    return any(
        worker.pending.erasures.revoked for worker in collector._life.runtime.workers.values()
    )


def once(holds: Callable[[], object], then: Callable[[], object]) -> None:
    """Do something on another thread as soon as a condition holds, or when it does not in time."""

    def run() -> None:
        try:
            wait_until(holds)
        finally:
            then()

    threading.Thread(target=run, daemon=True).start()


def in_threads(*work: Callable[[], Any]) -> None:
    """Run functions at once, each on a thread of its own; raise what they raise."""
    failures: list[BaseException] = []
    start = threading.Barrier(len(work))

    def run(function: Callable[[], Any]) -> None:
        try:
            start.wait(PATIENCE)
            function()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(item,), daemon=True) for item in work]
    for thread in threads:
        thread.start()
    join(*threads, timeout=3 * PATIENCE)
    if failures:
        raise failures[0]


def surely(keys: Iterable[str]) -> set[str]:
    """Return the keys that are known for sure, without those that untrusted callers name."""
    return {key for key in keys if not key.startswith("~")}


@contextmanager
def no_file_grows_beyond(size: int) -> Iterator[None]:
    """Have the disk look full to this process."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
