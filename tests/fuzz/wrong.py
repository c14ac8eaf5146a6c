"""A destination that does everything wrong, and a record of what reached it."""

import random
import threading
import time
from asyncio import CancelledError
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from attrs import Factory, define

from walker_collector import (
    DestinationDown,
    Item,
    NotAttempted,
    NothingToSend,
    Rejected,
    RetryLater,
)

GIVEN_UP: Final = 0.2
"""Seconds after which a collector that closes waits for no call any more."""
LIMIT: Final = 0.3
"""Seconds that a destination gives each call."""
HANG: Final = 2 * LIMIT
"""Seconds that a hanging call takes."""


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise CancelledError("even so")


class Begun(NamedTuple):
    """A call that began: when (monotonic s), at which destination, for which event of whom."""

    at: float
    destination: str
    n: int
    person: str


@define(eq=False)
class Deliveries:
    """What began and what succeeded, at all destinations."""

    begun: list[Begun] = Factory(list)
    succeeded: dict[str, list[tuple[int, str]]] = Factory(lambda: defaultdict(list))
    empty: dict[str, set[int]] = Factory(lambda: defaultdict(set))
    """Events that gave a destination nothing to send."""
    late: set[int] = Factory(set)
    """Events that succeeded when the collector may have given their call up already."""


PASSING: Final[Sequence[Callable[[], BaseException]]] = (
    lambda: RetryLater("busy"),
    lambda: RetryLater("wait", after=0.001),
    lambda: RetryLater("\udfff", after=float("nan")),
    lambda: RetryLater("", after=-1e308),
    lambda: DestinationDown("no key"),
    lambda: NotAttempted("not now"),
    lambda: KeyError("bug"),
    lambda: ValueError("half a \ud800 pair"),
    lambda: ValueError("x" * 10**5),
    lambda: SystemExit(1),
    lambda: KeyboardInterrupt(),
    lambda: GeneratorExit(),
    lambda: CancelledError(),
    lambda: MemoryError(),
    lambda: RecursionError(),
    lambda: StopIteration(),
    lambda: Unspeakable(),
    lambda: BaseExceptionGroup("several", [SystemExit(), KeyboardInterrupt()]),
)
"""Makers of exceptions after which an event may still arrive."""
FINAL: Final[Sequence[Callable[[], BaseException]]] = (
    lambda: Rejected("refused"),
    lambda: Rejected("half a \ud800 pair"),
    lambda: NothingToSend("no token"),
)
"""Makers of exceptions that end an event."""
ANSWERS: Final[Sequence[Any]] = (
    5,
    [RetryLater("a list")],
    {10**6: RetryLater("no such index")},
    {-1: RetryLater("from behind")},
    {0: "text"},
    {"0": RetryLater("text for an index")},
    {True: RetryLater("a truth for an index")},
    Ellipsis,
)
"""Answers of `push_batch` that are none."""


@define(eq=False)
class Wrong:
    """Fails in an order that a seed decides, now for one event, now for all.

    `inside` is called now and then from inside a hook. After `mend` every event succeeds.
    """

    name: str
    deliveries: Deliveries
    chance: random.Random
    inside: Callable[[], object]
    trouble: float = 0.3
    hangs: bool = False
    _lock: threading.Lock = Factory(threading.Lock)
    _over: threading.Event = Factory(threading.Event)

    def mend(self) -> None:
        """Do nothing wrong any more."""
        with self._lock:
            self.trouble = 0.0
        self._over.set()

    def init(self, context: Any) -> None:
        if self._happens(0.3):
            raise self._one_of(PASSING)

    def shutdown(self) -> None:
        if self._happens(0.5):
            raise self._one_of(PASSING)

    def consent(self, *_: Any) -> None:
        if self._happens(0.3):
            raise self._one_of(PASSING)

    def push(self, event: dict[str, Any], context: Any) -> Any:
        with self._timed():
            return self._push(event, context)

    def push_batch(self, batch: Sequence[Item]) -> Any:
        with self._timed():
            return self._push_batch(batch)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Note the events of a call that took so long that nobody may have waited for its end."""
        before, began = len(self.deliveries.succeeded[self.name]), time.monotonic()
        yield
        if time.monotonic() - began > GIVEN_UP:
            # Those of other calls of this time, too: on a machine that stood still they are late.
            self.deliveries.late |= {n for n, _ in self.deliveries.succeeded[self.name][before:]}

    def _push(self, event: dict[str, Any], context: Any) -> Any:
        if not self._begin(event, context):
            raise NotAttempted
        failure = self._failure(event)
        if failure is not None:
            raise failure
        self._succeed(event)
        return random.choice((None, 0, "odd", {}))

    def _push_batch(self, batch: Sequence[Item]) -> Any:
        if self._happens(0.15):
            raise self._one_of(PASSING + FINAL[:1])
        if self._happens(0.1):
            with self._lock:
                return self.chance.choice(ANSWERS)
        failures: dict[int, BaseException] = {}
        behind: set[str] = set()
        for index, item in enumerate(batch):
            person = item.event["data"]["person"]
            goes = person not in behind and self._begin(item.event, item.context)
            failure = self._failure(item.event) if goes else NotAttempted()
            if failure is None:
                self._succeed(item.event)
                continue
            failures[index] = failure
            if not isinstance(failure, Rejected | NothingToSend):
                behind.add(person)
        return failures or None

    def _begin(self, event: dict[str, Any], context: Any) -> bool:
        """Return whether an event may be sent, as everybody has to ask before a call."""
        if self._happens(0.02):
            self.inside()
        if self._happens(0.3):
            self._over.wait(0.005)  # others withdraw, or erase, meanwhile
        data, now = event["data"], time.monotonic()
        may = context.proceed is None or context.proceed()
        if may:
            self.deliveries.begun.append(Begun(now, self.name, data["n"], data["person"]))
        return bool(may)

    def _failure(self, event: dict[str, Any]) -> BaseException | None:
        if self.hangs and self._happens(0.004):
            self._over.wait(HANG)
            return RetryLater("nobody listens any more")
        if self._happens(0.1):
            failure = self._one_of(FINAL)
            if isinstance(failure, NothingToSend):
                self.deliveries.empty[self.name].add(event["data"]["n"])
            return failure
        return self._one_of(PASSING) if self._happens(1.0) else None

    def _succeed(self, event: dict[str, Any]) -> None:
        data = event["data"]
        self.deliveries.succeeded[self.name].append((data["n"], data["person"]))

    def _happens(self, share: float) -> bool:
        with self._lock:
            return self.chance.random() < share * self.trouble

    def _one_of(self, makers: Sequence[Callable[[], BaseException]]) -> BaseException:
        with self._lock:
            return self.chance.choice(makers)()


@contextmanager
def short_pauses() -> Iterator[None]:
    """Have a destination that is down tried again after milliseconds."""
    from walker_collector.delivery import backoff

    before = backoff.DOWN_BASE, backoff.DOWN_CAP
    backoff.DOWN_BASE, backoff.DOWN_CAP = 10, 50
    try:
        yield
    finally:
        backoff.DOWN_BASE, backoff.DOWN_CAP = before


@contextmanager
def erasures_that_wait(seconds: float) -> Iterator[None]:
    """Have erasures wait so long for deliveries in flight."""
    from walker_collector.people import erasure

    before = erasure.IN_FLIGHT_WAIT
    erasure.IN_FLIGHT_WAIT = seconds  # type: ignore[misc]  # it is 1 s in life
    try:
        yield
    finally:
        erasure.IN_FLIGHT_WAIT = before  # type: ignore[misc]  # as above
