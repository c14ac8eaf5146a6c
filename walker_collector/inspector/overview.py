"""The overview of a collector as plain data: destinations, sources, rules."""

from collections.abc import Mapping
from typing import Any

from walker_collector.collector import Collector
from walker_collector.config import DestinationConfig
from walker_collector.delivery.status import Counts as Tally
from walker_collector.delivery.status import DestinationStatus
from walker_collector.delivery.worker import DestinationWorker
from walker_collector.figures import Counts, Figures
from walker_collector.inspector.sampler import Sampler, Speed
from walker_collector.mapping import walk_rules
from walker_collector.moments import now_ms


def overview(
    collector: Collector, sampler: Sampler | None = None, figures: Figures | None = None
) -> dict[str, Any]:
    """Return the figures of a collector as JSON can hold them; times in ms since 1970.

    `sampler` adds speeds, and the hits of rules since somebody looks; `figures` adds the sources.
    """
    status = collector.status()
    workers = collector._life.own_runtime().workers
    counts = figures.report()[0] if figures else {}
    return {
        "at": now_ms(),
        "accepted": status.accepted,
        "repeated": status.repeated,
        "corrected": status.corrected,
        "durable": status.durable,
        "stored": status.stored,
        "unready": status.unready,
        "destinations": [
            _destination(id_, item, workers[id_], sampler)
            for id_, item in status.destinations.items()
        ],
        "sources": sources(counts),
        "rules": [
            item
            for id_, worker in workers.items()
            for item in rules(id_, worker.destination.config, sampler)
        ],
    }


def _destination(
    id_: str, status: DestinationStatus, worker: DestinationWorker, sampler: Sampler | None
) -> dict[str, Any]:
    """Return the figures of a destination, with its breaker and the times of its calls."""
    config = worker.destination.config
    return {
        "id": id_,
        "state": status.state,
        "reason": status.reason,
        "waiting": status.waiting,
        "retrying": status.due,
        "held": status.held,
        "dead": status.dead,
        "inFlight": status.in_flight,
        "oldestAge": round(status.oldest_age * 1000),
        **outcomes(status),
        "dropped": status.dropped,
        "nextAttempt": worker.health().until,
        "breaker": breaker(status.state, config),
        "consent": sorted(config.consent or ()),
        **speeds(sampler.speed(id_) if sampler else None),
    }


def outcomes(counts: Tally | DestinationStatus) -> dict[str, int]:
    """Return the numbers of events since the start of the process, by their outcome."""
    return {
        "accepted": counts.accepted,
        "delivered": counts.delivered + counts.notified,
        "ignored": counts.ignored + counts.empty,
        "retried": counts.retried,
        "died": counts.died,
    }


def rates(before: Mapping[str, int], now: Mapping[str, int], seconds: float) -> dict[str, float]:
    """Return how much each of `outcomes` has grown, per second."""
    return {key: round(max(0, now[key] - before[key]) / seconds, 2) for key in now}


def breaker(state: str, config: DestinationConfig) -> dict[str, Any]:
    """Return whether the breaker of a destination is open, and its threshold."""
    return {"open": state in ("failing", "down"), "threshold": config.breaker.threshold}


def speeds(speed: Speed | None) -> dict[str, float | None]:
    """Return the times (ms) of calls, rounded."""
    return {
        "call": round(speed.call, 2) if speed else None,
        "slowestCall": round(speed.slowest, 2) if speed else None,
        "age": round(speed.age, 1) if speed else None,
    }


def sources(counts: Counts) -> list[dict[str, Any]]:
    """Return the figures of each source: events, requests by status, refusals by reason.

    Of one that reads a topic also the partitions that it has, the messages that it is behind in
    each (`lag`), the commits of offsets, and the messages without an event (`bad`).
    """
    found: dict[str, dict[str, Any]] = {}

    def of(id_: str) -> dict[str, Any]:
        empty = {"id": id_, "accepted": 0, "requests": 0, "statuses": {}, "refused": {}}
        of_topics = {"partitions": 0, "lag": {}, "commits": 0, "bad": 0}
        return found.setdefault(id_, {**empty, **of_topics})

    for (name, *labels), count in counts.items():
        if name == "accepted":
            of(labels[0])["accepted"] += round(count)
        elif name == "refused":
            reasons = of(labels[0])["refused"]
            reasons[labels[1]] = reasons.get(labels[1], 0) + round(count)
        elif name == "request":
            source, status = of(labels[0]), labels[2]
            source["requests"] += round(count)
            source["statuses"][status] = source["statuses"].get(status, 0) + round(count)
        elif name in ("commits", "bad"):
            of(labels[0])[name] += round(count)
        elif name == "assigned":
            of(labels[0])["partitions"] += round(count)
        elif name == "lag":
            of(labels[0])["lag"]["/".join(labels[1:])] = round(count)
    return [found[id_] for id_ in sorted(found)]


def rules(
    id_: str, config: DestinationConfig, sampler: Sampler | None = None
) -> list[dict[str, Any]]:
    """Return the rules of a destination, with their hits while somebody looks.

    The last one, with the key None, stands for events without a rule.
    """
    hits = sampler.rules() if sampler else {}
    keys: list[tuple[str | None, bool]] = [
        (f"{entity} {action}", not isinstance(rule, list) and rule.ignore)
        for entity, action, _, rule in walk_rules(config.mapping)
    ]
    found = [
        {
            "destination": id_,
            "rule": key,
            "ignores": ignores,
            "hits": hits[id_, key].hits if (id_, key) in hits else 0,
            "last": hits[id_, key].last if (id_, key) in hits else 0,
        }
        for key, ignores in [*keys, (None, False)]
    ]
    return found if keys else []
