"""How things are measured: wall time and CPU time of this process, the best of several rounds.

What is compared is measured in turns within one run, so that a busy machine troubles both alike;
the best round is the one that was troubled least.
"""

import gc
import os
import resource
import time
from collections.abc import Callable, Sequence
from statistics import quantiles
from typing import Final

from attrs import frozen

SCALE: Final = float(os.environ.get("WALKER_BENCH_SCALE", "1"))
"""Multiplies the number of events everywhere; 0.01 is enough to see that it works."""
ROUNDS: Final = int(os.environ.get("WALKER_BENCH_ROUNDS", "3"))


def scaled(count: int) -> int:
    """Return how many events to measure with."""
    return max(10, int(count * SCALE))


@frozen
class Run:
    """One measurement: how many events, in how many seconds, with how many seconds of CPU."""

    events: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds

    @property
    def micros(self) -> float:
        """Microseconds of CPU per event."""
        return self.cpu / self.events * 1e6


def measure(events: int, work: Callable[[], object]) -> Run:
    """Do the work once and return what it took.

    What is in memory already, such as the workload, is kept out of the garbage collector's sight.
    """
    gc.collect()
    gc.freeze()
    cpu, began = _cpu(), time.perf_counter()
    work()
    run = Run(events, time.perf_counter() - began, _cpu() - cpu)
    gc.unfreeze()
    return run


def best(rounds: Sequence[Run]) -> Run:
    """Return the least disturbed round: the highest rate with the lowest CPU time of them all."""
    return Run(rounds[0].events, min(run.seconds for run in rounds), min(run.cpu for run in rounds))


def in_turns(*works: Callable[[], Run], rounds: int = ROUNDS) -> list[Run]:
    """Measure each of the works in every round; return the best of each."""
    results: list[list[Run]] = [[] for _ in works]
    for _ in range(rounds):
        for work, into in zip(works, results, strict=True):
            into.append(work())
    return [best(found) for found in results]


@frozen
class Latency:
    """How long single calls take, in microseconds."""

    p50: float
    p99: float
    worst: float


def latency(seconds: Sequence[float]) -> Latency:
    """Return the percentiles of many durations (s)."""
    cuts = quantiles(seconds, n=100)
    return Latency(cuts[49] * 1e6, cuts[98] * 1e6, max(seconds) * 1e6)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def children_cpu() -> float:
    """Return the CPU time (s) of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def resident() -> float:
    """Return how much memory this process holds now, in MB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6
