"""The view of a spool from outside: destinations, rates, processes and live events, as plain data.

A viewer leaves a row with the time until which it watches, and renews it while it looks. The
processes of the spool then write their figures and masked samples, which it reads here.
"""

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from walker_collector.config import FlowConfig
from walker_collector.inspector.deliverers import Attendance, attendance
from walker_collector.inspector.stored_counts import (
    OutboxCounts,
    StoredCounts,
    outbox_counts,
    stored_counts,
)
from walker_collector.moments import now_ms
from walker_collector.spool import Deliverer, Member, StoredSpool
from walker_collector.spool.deliverer import NOBODY, trouble
from walker_collector.spool.samples import SampleTable
from walker_collector.text import storable

WATCH: Final = 30_000
"""Time (ms) for which a viewer watches; it renews that while it looks."""
RENEW: Final = 10.0
"""Seconds from one renewal to the next."""
KEPT: Final = 200
"""Samples that a view keeps, the latest ones."""
_FRESH: Final = 5_000
"""Figures of a process count for so long (ms)."""
_SHARE: Final = 20
"""Counting a large spool takes its time: it is done for a part of the time of a look, at most."""
_STATES: Final = ("unattended", "stopped", "down", "failing", "ready", "idle")
"""The states of a destination, that of the worst of its shards first."""


def watch(table: SampleTable, viewer: str) -> None:
    """Have the processes of a spool publish figures and samples for a while. Raises SpoolError."""
    table.watch(viewer, now_ms() + WATCH)


def stop_watching(table: SampleTable, viewer: str) -> None:
    """End a watch; the last one leaves nothing behind. Raises SpoolError."""
    table.watch(viewer, 0)
    if table.watched_until() <= now_ms():
        table.clear()


class SpoolView:
    """Looks at a spool that others use; `flow` is None where only the spool is given."""

    def __init__(self, store: StoredSpool, flow: FlowConfig | None) -> None:
        self.samples: deque[Mapping[str, Any]] = deque(maxlen=KEPT)
        self._store = store
        self._flow = flow
        self._table = store.sample_table
        self._number = self._table.newest()
        self._counts: Mapping[str, StoredCounts] = {}
        self._count_at = 0.0

    def look(self) -> dict[str, Any]:
        """Return the view of now, as JSON can hold it; times in ms since 1970.

        `live` has the samples since the last look, `samples` those of earlier ones as well.
        Raises SpoolError.
        """
        now = now_ms()
        self._count(now)
        published = [orjson.loads(text) for text in self._table.figures(now - _FRESH).values()]
        new = self.new_samples()
        ids = {*self._counts, *(id_ for each in published for id_ in each["destinations"])}
        if self._flow is not None:
            ids |= {
                id_ for id_, item in self._flow.destinations.items() if not item.config.disabled
            }
        members = self._store.observer.deliveries(sorted(ids))
        outbox = outbox_counts(self._store, members, now)
        return {
            "at": now,
            "outbox": outbox and _outbox(outbox),
            "sources": _sources(published),
            "destinations": [self._destination(id_, published) for id_ in sorted(ids)],
            "processes": [_process(member, delivers, published) for member, delivers in members],
            "live": new,
        }

    def _count(self, now: int) -> None:
        began = time.monotonic()
        if began >= self._count_at:
            self._counts = stored_counts(self._store, now)
            ended = time.monotonic()
            self._count_at = ended + _SHARE * (ended - began)

    def new_samples(self) -> Sequence[Mapping[str, Any]]:
        """Return the samples since the last look, or the last call. Raises SpoolError."""
        found = self._table.samples(self._number)
        new = [{**orjson.loads(text), "number": number} for number, text in found]
        self._number = new[-1]["number"] if new else self._number
        self.samples.extend(new)
        return new

    def _destination(self, id_: str, published: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        found = [*self._store.observer.deliverers(id_).values()] or [NOBODY]
        worst = _worst(found, id_, self._flow)
        counts = self._counts.get(id_, StoredCounts())
        figures = [each["destinations"][id_] for each in published if id_ in each["destinations"]]
        return {
            "id": id_,
            "state": worst.state,
            "reason": trouble(found),
            "hint": worst.hint,
            "waiting": counts.waiting,
            "retrying": counts.retrying,
            "held": counts.held,
            "dead": counts.dead,
            "oldestAge": round(counts.oldest_age * 1000),
            "rates": _total(item["rates"] for item in figures),
            "call": max((item["call"] for item in figures), default=None),
            "slowestCall": max((item["slowestCall"] for item in figures), default=None),
            "age": max((item["age"] for item in figures), default=None),
            "breaker": max(
                (item["breaker"] for item in figures),
                key=lambda item: (item["open"], item["nextAttempt"]),
                default=None,
            ),
            "deliverers": sorted(
                {f"{each.member.pid}@{storable(each.member.host)}" for each in found if each.member}
            ),
        }


def _outbox(counts: OutboxCounts) -> dict[str, Any]:
    age = round(counts.oldest_age * 1000)
    return {"waiting": counts.waiting, "oldestAge": age, "reason": counts.reason}


def _sources(published: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the figures of each source, of all processes that publish.

    `lag` has the messages that it is behind in each partition, by `topic/partition`.
    """
    ids = {id_ for each in published for id_ in each["sources"]}
    found = []
    for id_ in sorted(ids):
        parts = [each["sources"][id_] for each in published if id_ in each["sources"]]
        lags = [pair for part in parts for pair in part["lag"].items()]
        found.append(
            {
                "id": id_,
                "rates": _total(part["rates"] for part in parts),
                "accepted": sum(part["accepted"] for part in parts),
                "refused": sum((Counter(part["refused"]) for part in parts), Counter()),
                "partitions": sum(part["partitions"] for part in parts),
                # Two processes may both show a partition that has just moved.
                "lag": {key: max(lag for name, lag in lags if name == key) for key, _ in lags},
                "commits": sum(part["commits"] for part in parts),
                "bad": sum(part["bad"] for part in parts),
            }
        )
    return found


def _worst(found: Iterable[Deliverer], id_: str, flow: FlowConfig | None) -> Attendance:
    """Return the attendance of the shard that is worst off."""
    each = [attendance(item, id_, flow) for item in found]
    # Where one shard is at work, another may have had nothing to do.
    return min(each, key=lambda item: _STATES.index(item.state))


def _total(rates: Iterable[Mapping[str, float] | None]) -> dict[str, float] | None:
    """Return the rates of all processes together; None: none is known."""
    known = [item for item in rates if item is not None]
    if not known:
        return None
    return {key: round(sum(item[key] for item in known), 2) for key in known[0]}


def _process(
    member: Member, delivers: Sequence[str], published: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return a process; `publishes`: it shows its figures, rates among them."""
    host = storable(member.host)
    mine = [each for each in published if (each["pid"], each["host"]) == (member.pid, host)]
    return {
        "pid": member.pid,
        "host": host,
        "since": round(member.since * 1000),
        "delivers": list(delivers),
        "silent": member.silent,
        "publishes": any(
            item["rates"] is not None for each in mine for item in each["destinations"].values()
        ),
    }
