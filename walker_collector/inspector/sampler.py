"""The sampler: a watcher that keeps the latest outcomes as samples, and counts rules.

A process that wants to show live events, in itself or for another one, does this:

    sampler = Sampler(per_second=20)          # masked samples, 20 of them a second at most
    with watching(collector, sampler):         # until here, and after it, it costs nothing
        ...
        for sample in sampler.since(number):   # those after the last one that was seen
            row = sample.as_object()            # plain JSON, for a table or a page
            number = sample.number

`watching` is for as long as somebody looks; it may be entered again. `sampler.rules()` has the
hits of each rule while it was entered, `sampler.speed()` the times of the latest calls.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any, Final

from attrs import define, field, frozen

from walker_collector.collector import Collector
from walker_collector.config import MISSING
from walker_collector.delivery.destination import Destination
from walker_collector.delivery.outcome import Outcome
from walker_collector.delivery.task import Task
from walker_collector.events import decode
from walker_collector.hookspecs import Item
from walker_collector.inspector.live_sample import Sample
from walker_collector.inspector.masking import masked, public_values
from walker_collector.inspector.missing_consent import missing_consent
from walker_collector.inspector.plain_json import json_bytes
from walker_collector.inspector.planned_calls import PlannedCalls
from walker_collector.inspector.rule_hits import RuleHits, RuleTally
from walker_collector.moments import now_ms
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import Entry
from walker_collector.spool.person_keys import is_claimed, unclaimed

KEPT: Final = 500
"""Samples that a sampler keeps, the latest ones."""
PER_SECOND: Final = 40
"""Samples that it takes in a second; as many again for events that are not delivered."""
_BYTES: Final = 16_000
"""The JSON of an event that is shown has at most so many bytes."""
_CALLS: Final = 200
"""Calls of each destination that are remembered with their times."""
_OUTCOMES: Final = {
    "rejected": "dead",
    "bug": "retry",
    "not_attempted": "waiting",
    "unavailable": "waiting",
}


@frozen
class Speed:
    """The times (ms) of a destination's latest calls, and of its events from their acceptance."""

    call: float = 0.0
    slowest: float = 0.0
    age: float = 0.0


@define
class _Allowance:
    """Room for a number of samples in each second."""

    most: int
    second: int = 0
    used: int = 0

    def take(self, second: int) -> bool:
        """Return whether there is room for one more."""
        if second != self.second:
            self.second, self.used = second, 0
        self.used += 1
        return self.used <= self.most


@define(eq=False)
class Sampler:
    """Keeps the latest outcomes that it is shown; see `Watcher`. Thread-safe.

    kept: the number of samples in memory. per_second: how many it takes in a second; the others are
    counted as `skipped`. keep_values: also keeps values, for those who may see them.
    """

    kept: int = KEPT
    per_second: int = PER_SECOND
    keep_values: bool = False
    now: Callable[[], int] = now_ms
    seen: int = field(default=0, init=False)
    skipped: int = field(default=0, init=False)
    _number: int = field(default=0, init=False)
    _samples: deque[Sample] = field(init=False)
    _rules: RuleTally = field(factory=RuleTally, init=False)
    _calls: dict[str, deque[tuple[float, int]]] = field(factory=dict, init=False)
    _delivered: _Allowance = field(init=False)
    _others: _Allowance = field(init=False)
    _calls_of: PlannedCalls = field(factory=PlannedCalls, init=False)
    _lock: threading.RLock = field(factory=threading.RLock, init=False)

    def __attrs_post_init__(self) -> None:
        self._samples = deque(maxlen=self.kept)
        self._delivered = _Allowance(self.per_second)
        self._others = _Allowance(self.per_second)

    # --- looking ---------------------------------------------------------------------------

    @property
    def last(self) -> int:
        """The number of the latest sample."""
        return self._number

    def since(self, number: int = 0) -> list[Sample]:
        """Return the samples that are kept and came after the one with this number."""
        with self._lock:
            missing = self._number - number
            return list(self._samples)[-missing:] if missing > 0 else []

    def clear(self) -> None:
        """Drop the samples, as they may name erased people; their numbers go on."""
        with self._lock:
            self._samples.clear()

    def rules(self) -> Mapping[tuple[str, str | None], RuleHits]:
        """Return the hits of each rule, by destination and key; None: no rule was for them."""
        with self._lock:
            return dict(self._rules.hits)

    def speed(self, destination: str) -> Speed:
        """Return the times of the latest calls of a destination."""
        with self._lock:
            calls = list(self._calls.get(destination, ()))
        if not calls:
            return Speed()
        took = [seconds * 1000 for seconds, _ in calls]
        return Speed(median(took), max(took), median([age for _, age in calls]))

    # --- watching --------------------------------------------------------------------------

    def dispatched(
        self,
        destination: Destination,
        consents: ConsentStore,
        tasks: Sequence[Task],
        seconds: float,
    ) -> None:
        now = self.now()
        self._count(destination.id, tasks, seconds, now)
        with self._lock:
            self._rules.dispatched(destination, consents, tasks, now)
        for task in tasks:
            if self._has_room(now, delivered=task.outcome.kind == "delivered"):
                event = decode(task.entry[3])  # the destination may have got a part of it
                made = _of_entry(destination, consents, task.entry, task.outcome, now, event)
                if task.item is not None:
                    made |= self._of_item(destination, task.item, task.entry, event)
                self._add(made, seconds)

    def held(
        self, destination: Destination, consents: ConsentStore, entries: Sequence[Entry]
    ) -> None:
        now = self.now()
        with self._lock:
            self._rules.held(destination, consents, entries, now)
        for entry in entries:
            if self._has_room(now):
                outcome = Outcome("held", "consent not granted")
                self._add(_of_entry(destination, consents, entry, outcome, now))

    def died(self, destination: Destination, entry: Entry, reason: str) -> None:
        now = self.now()
        with self._lock:
            self._rules.died(destination, entry)
        if self._has_room(now):
            outcome = Outcome("rejected", reason)
            self._add(_of_entry(destination, None, entry, outcome, now))

    def left_out(self, destination: Destination, id_: str, name: str, status: str) -> None:
        now = self.now()
        with self._lock:
            self._rules.left_out(destination, name, status, now)
        if self._has_room(now):
            made = {"at": now, "id": id_, "event": name, "outcome": status}
            self._add({**made, "destination": destination.id})

    def _of_item(
        self, destination: Destination, item: Item, entry: Entry, event: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the parts of a sample about the delivery: rule, attempt, data, calls."""
        made: dict[str, Any] = {
            "rule": item.rule.key if item.rule else None,
            "attempt": item.context.attempt,
        }
        if len(entry[3]) > _BYTES:
            return made
        sent = {"name": item.event["name"], **_data_of(item.event, item.data)}
        calls = self._calls_of.of(destination, item)
        if len(json_bytes([sent, calls])) > _BYTES:
            return made
        known = public_values(event, item.event["name"])
        made["sent"] = masked(sent, known)
        made["calls"] = calls and [[name, *masked(rest, known)] for name, *rest in calls]
        made["values"] = (sent, calls) if self.keep_values else None
        return made

    def _count(self, destination: str, tasks: Sequence[Task], seconds: float, now: int) -> None:
        oldest = min((task.entry[2] for task in tasks), default=now)
        with self._lock:
            calls = self._calls.setdefault(destination, deque(maxlen=_CALLS))
            calls.append((seconds, max(0, now - oldest)))

    def _has_room(self, now: int, *, delivered: bool = False) -> bool:
        allowance = self._delivered if delivered else self._others
        with self._lock:
            self.seen += 1
            found = allowance.take(now // 1000)
            self.skipped += not found
        return found

    def _add(self, parts: dict[str, Any], seconds: float = 0.0) -> None:
        with self._lock:
            self._number += 1
            self._samples.append(Sample(number=self._number, took=seconds * 1000, **parts))


@contextmanager
def watching(collector: Collector, sampler: Sampler) -> Iterator[None]:
    """Have a sampler see the outcomes of this process until the end of the block."""
    watch = collector._life.own_runtime().workers.watch
    watch.add(sampler)
    try:
        yield
    finally:
        watch.remove(sampler)


def _data_of(event: Mapping[str, Any], data: Any) -> dict[str, Any]:
    """Return the mapped data; without a mapping, the parts of the event that are not empty."""
    if data is not MISSING:
        return {"data": data}
    return {key: value for key, value in event.items() if value and key != "consent"}


def _of_entry(
    destination: Destination,
    consents: ConsentStore | None,
    entry: Entry,
    outcome: Outcome,
    now: int,
    event: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the parts of the sample of an entry that has come to an outcome."""
    _, person, accepted, body = entry
    event = event or decode(body)
    made: dict[str, Any] = {
        "at": now,
        "id": str(event.get("id", "")),
        "event": str(event.get("name", "?")),
        "destination": destination.id,
        "outcome": _OUTCOMES.get(outcome.kind, outcome.kind),
        "reason": outcome.shown_reason,
        "person": unclaimed(person),
        "claimed": is_claimed(person),
        "age": max(0, now - accepted),
    }
    if consents is not None:
        made["consent"] = consents.explain(event.get("consent") or {}, person)
        if outcome.kind == "held":
            made["missing"] = missing_consent(destination.config, event, person, consents)
    return made
