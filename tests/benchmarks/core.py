"""Events through one destination that does nothing: in memory, and through the durable spool.

An event counts from being accepted until its destination has it; the peer awaits each push.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.flows import MAPPING, destination
from tests.benchmarks.measure import Run, in_turns, measure, scaled
from tests.benchmarks.noop import collector
from tests.benchmarks.peers import node
from tests.benchmarks.report import Goal, Report
from tests.benchmarks.workload import Event, mix, orders
from walker_collector import Collector

GROUP = 500
_TIMES = {"orders": 5, "mix": 4}
"""Goals, in multiples of the peer's rate."""
_TIMES_DURABLE = 3.5
COLUMNS = ("workload", "way", "events/s", "CPU us", "times the peer's rate")


def core() -> Report:
    """In memory, by workload and way of pushing."""
    rows: list[list[Any]] = []
    goals = []
    why_not = node.available()
    for name, events in (("orders", orders(scaled(20_000))), ("mix", mix(scaled(20_000)))):
        works = [
            lambda events=events: through("single", events),
            lambda events=events: through("batched", events),
            lambda events=events: through("single", events, one_by_one=True),
        ]
        if why_not is None:
            works.append(lambda events=events: node.walkeros(events, MAPPING, len(events)))
        runs = in_turns(*works)
        labels = ("push_many", "push_many, batched", "push, one by one", "@walkeros/collector")
        peer = runs[3] if why_not is None else None
        rows += [_row(name, label, run, peer) for label, run in zip(labels, runs, strict=False)]
        if peer:
            goals.append(_goal(f"{name}, in memory", _TIMES[name], runs[:2], peer))
    notes = [f"@walkeros/collector {why_not}"] if why_not else []
    columns = ("workload", "way", "events/s", "CPU us", "times the peer's rate")
    return Report(
        "core", "One destination that does nothing, in memory", columns, rows, goals, notes
    )


def durable() -> Report:
    """Through the spool, by synchronisation with the disk."""
    events = orders(scaled(20_000))
    why_not = node.available()
    works = [
        lambda: through("single", events, sync="normal"),
        lambda: through("batched", events, sync="normal"),
        lambda: through("batched", events, sync="full"),
    ]
    if why_not is None:
        works.append(lambda: node.walkeros(events, MAPPING, len(events)))
    runs = in_turns(*works)
    labels = ("normal", "normal, batched", "full, batched", "@walkeros/collector, in memory")
    peer = runs[3] if why_not is None else None
    rows = [_row("orders", label, run, peer) for label, run in zip(labels, runs, strict=False)]
    goals = [_goal("orders, durable", _TIMES_DURABLE, runs[:2], peer)] if peer else []
    return Report("durable", "One destination that does nothing, durable", COLUMNS, rows, goals)


def through(
    package: str, events: Sequence[Event], *, one_by_one: bool = False, sync: str | None = None
) -> Run:
    """Push all events and wait until the destination has them."""
    with _opened(package, sync) as collected:
        push_all(collected, events, one_by_one)  # memory is the system's until it was used once
        return measure(len(events), lambda: push_all(collected, events, one_by_one))


def push_all(collected: Collector, events: Sequence[Event], one_by_one: bool = False) -> None:
    """Push all events, in groups or one by one, and wait until they are delivered."""
    before = collected.status().destinations["noop"].delivered
    if one_by_one:
        for event in events:
            collected.push(event)
    else:
        for at in range(0, len(events), GROUP):
            collected.push_many(events[at : at + GROUP])
    collected.flush()
    assert collected.status().destinations["noop"].delivered == before + len(events)


@contextmanager
def _opened(package: str, sync: str | None) -> Iterator[Collector]:
    with tempfile.TemporaryDirectory() as folder:
        spool = {"path": str(Path(folder) / "spool.db"), "sync": sync}
        settings = {} if sync is None else {"spool": spool}
        with collector({"noop": destination(package)}, **settings) as collected:
            yield collected


def _row(workload: str, label: str, run: Run, peer: Run | None) -> list[Any]:
    ratio = round(run.rate / peer.rate, 2) if peer else "-"
    return [workload, label, round(run.rate), round(run.micros, 1), ratio]


def _goal(name: str, times: float, runs: Sequence[Run], peer: Run) -> Goal:
    ratio = max(run.rate for run in runs) / peer.rate
    return Goal(name, f"{times:g} times the peer's rate", f"{ratio:.1f}", ratio >= times)
