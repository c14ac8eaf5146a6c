"""How the cost of an event grows with everything there can be more of."""

import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.core import push_all
from tests.benchmarks.flows import MAPPING, Json, destination
from tests.benchmarks.measure import ROUNDS, Run, in_turns, measure, resident, scaled
from tests.benchmarks.noop import collector
from tests.benchmarks.report import Goal, Report
from tests.benchmarks.workload import Event, mix, orders, repeated

_BACKLOG = 1_000_000
_GROUP = 1_000
_ROUNDS = 2 * ROUNDS
"""Small differences are looked for here, in short rounds."""


def growth() -> Report:
    """CPU time per event against a plain case, by what there is more of."""
    events = mix(scaled(4_000))
    rules = _compared("rules", {10: events, 1_000: events}, rules=True)
    people = _compared("people", {n: mix(len(events), people=n) for n in (100, 10_000, 1_000_000)})
    items = _compared("nested items", {n: orders(scaled(1_000), items=n) for n in (1, 10, 50)})
    fans = _fans(events)
    strangers = mix(len(events), people=1_000_000)
    new = in_turns(lambda: _run({"noop": destination("batched")}, strangers, known=False))[0]
    people.append(["people, each for the first time", len(events), round(new.micros, 1)])
    goals = [_flat(rules), _flat(people[:-1]), _linear(fans)]
    rows = [*rules, *people, *items, *fans]
    return Report("growth", "How cost grows", ("more", "how many", "CPU us"), rows, goals)


def backlog() -> Report:
    """Events that wait in the durable spool: what the last cost to accept, and what it took."""
    count = scaled(_BACKLOG)
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spool.db"
        filled = _fill(path, count)
        size = path.stat().st_size / 1e6
        rows += [["accepting the first tenth", "us each", filled[0]]]
        rows += [["accepting the last tenth", "us each", filled[1]]]
        rows += [["file", "MB", round(size, 1)], ["memory held", "MB", round(resident(), 1)]]
        rows += _drained(path, count)
    columns = ("what", "unit", "figure")
    title = f"{count:,} events waiting in the spool"
    flat = filled[1] < filled[0] * 1.5
    goals = [Goal("acceptance", "as quick with a full spool", f"{filled[1]:.1f} us", flat)]
    return Report("backlog", title, columns, rows, goals)


def _fill(path: Path, count: int) -> tuple[float, float]:
    """Have so many events wait; return the CPU us that the first and the last took to accept."""
    events = list(repeated(mix(10_000), _GROUP))
    tenth = max(1, count // _GROUP // 10)
    with _waiting(path, down=True) as collected:
        times = [
            measure(_GROUP, lambda: collected.push_many(events)).micros
            for _ in range(max(2, count // _GROUP))
        ]
    return round(sum(times[:tenth]) / tenth, 1), round(sum(times[-tenth:]) / tenth, 1)


def _drained(path: Path, count: int) -> list[list[Any]]:
    began = time.perf_counter()
    with _waiting(path, down=False) as collected:
        opened = time.perf_counter() - began
        run = measure(count, collected.flush)
    return [
        ["opening it again", "ms", round(opened * 1000, 1)],
        ["delivering it", "events/s", round(run.rate)],
        ["delivering it", "us CPU each", round(run.micros, 1)],
    ]


def _waiting(path: Path, *, down: bool) -> Any:
    package = "down" if down else "batched"
    spool = {"path": str(path)}
    return collector({"noop": destination(package)}, spool=spool, closeTimeout=0)


def _compared(
    what: str, workloads: dict[int, Sequence[Event]], *, rules: bool = False
) -> list[list[Any]]:
    def work(count: int, events: Sequence[Event]) -> Run:
        given: Json = {"mapping": _rules(count)} if rules else {}
        return _run({"noop": destination("batched", **given)}, events)

    runs = in_turns(
        *(
            lambda count=count, events=events: work(count, events)
            for count, events in workloads.items()
        )
    )
    return [[what, count, round(run.micros, 1)] for count, run in zip(workloads, runs, strict=True)]


def _fans(events: Sequence[Event]) -> list[list[Any]]:
    counts = (1, 3, 10)
    runs = in_turns(*(partial(_run, _and_more(count - 1), events) for count in counts))
    return [["destinations", n, round(run.micros, 1)] for n, run in zip(counts, runs, strict=True)]


def _and_more(count: int) -> Json:
    """The common destination, and so many without a mapping."""
    bare = {"package": "batched", "config": {}}
    return {"noop": destination("batched"), **{f"more{n}": bare for n in range(count)}}


def _run(destinations: Json, events: Sequence[Event], *, known: bool = True) -> Run:
    """Push all events; `known`: of people who were there before."""
    with collector(destinations) as collected:
        push_all(collected, events if known else mix(len(events)))
        return measure(len(events), lambda: push_all(collected, events))


def _rules(count: int) -> Json:
    """The common mapping among so many rules that no event asks for."""
    more = {f"entity{n}": {"action": {"name": "never"}} for n in range(count - 5)}
    return {**more, **MAPPING}


def _flat(rows: Sequence[Sequence[Any]]) -> Goal:
    what, least, most = rows[0][0], rows[0][2], rows[-1][2]
    return Goal(what, "flat", f"{least} us to {most} us", most < least * 1.25)


def _linear(rows: Sequence[Sequence[Any]]) -> Goal:
    each = (rows[-1][2] - rows[0][2]) / (rows[-1][1] - rows[0][1])
    return Goal("one more destination", "under 4 us", f"{each:.1f} us", each < 4)
