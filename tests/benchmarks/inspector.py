"""What the inspector takes while events flow: with nobody looking, and with its page open."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator, MutableMapping
from statistics import median
from typing import Any

from attrs import frozen

from tests.benchmarks.flows import destination
from tests.benchmarks.measure import ROUNDS, Latency, latency, measure, scaled
from tests.benchmarks.noop import collector
from tests.benchmarks.report import Goal, Report
from tests.benchmarks.workload import mix
from walker_collector import Collector
from walker_collector.inspector import app

_PER_SECOND = 2_000
_TOKEN = "a-token-of-the-benchmark"
_SHARE = 5.0
"""Percent of a core that an open page may take."""


@frozen
class _Flow:
    """One flow of events: percent of a core, and the latency of a push."""

    share: float
    push: Latency


def inspector() -> Report:
    """Share of a core at 2,000 events a second: nobody looks, a page is open, nobody any more."""
    rounds = [_round() for _ in range(ROUNDS)]
    before, looked, after = (list(each) for each in zip(*rounds, strict=True))
    extra = median(b.share - (a.share + c.share) / 2 for a, b, c in rounds)
    quiet, slow = min(x.push.p99 for x in before), min(x.push.p99 for x in looked)
    rows = [
        [name, _least(runs, "share"), *(_least_push(runs, key) for key in ("p50", "p99"))]
        for name, runs in (("before", before), ("a page is open", looked), ("after", after))
    ]
    return Report(
        "inspector",
        f"The inspector at {_PER_SECOND:,} events a second",
        ("", "% of a core", "push p50, us", "push p99, us"),
        rows,
        [
            Goal("an open page", f"under {_SHARE:g} % of a core", f"{extra:.1f} %", extra < _SHARE),
            Goal("push p99", "no delay above 1 ms", f"{slow - quiet:.0f} us", slow - quiet < 1000),
        ],
    )


def _least(runs: list[_Flow], key: str) -> float:
    return round(min(getattr(run, key) for run in runs), 1)


def _least_push(runs: list[_Flow], key: str) -> float:
    return round(min(getattr(run.push, key) for run in runs), 1)


def _round() -> tuple[_Flow, _Flow, _Flow]:
    """Measure one flow without a page, with one, and without again."""
    with collector({"noop": destination("batched")}) as collected:
        before = _flow(collected)
        with _page_open(collected):
            looked = _flow(collected)
        return before, looked, _flow(collected)


def _flow(collected: Collector) -> _Flow:
    """Push at an even pace for five seconds, and deliver all of it."""
    events = mix(scaled(5 * _PER_SECOND))
    pushes: list[float] = []

    def work() -> None:
        began = time.perf_counter()
        for number, event in enumerate(events):
            wait = began + number / _PER_SECOND - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            at = time.perf_counter()
            collected.push(event)
            pushes.append(time.perf_counter() - at)
        collected.flush(30)

    run = measure(len(events), work)
    return _Flow(100 * run.cpu / run.seconds, latency(pushes))


@contextlib.contextmanager
def _page_open(collected: Collector) -> Iterator[None]:
    """Read the stream of a page on a thread, until the end of the block; then let it end."""
    page = app(collected, token=_TOKEN)
    page._live.linger = 0.0
    seen = threading.Event()

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: MutableMapping[str, Any]) -> None:
        if b"event: figures" in message.get("body", b""):
            seen.set()

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/events",
        "headers": [(b"authorization", f"Bearer {_TOKEN}".encode())],
        "client": ("127.0.0.1", 1),
    }
    thread = threading.Thread(target=lambda: asyncio.run(page(scope, receive, send)))
    thread.start()
    seen.wait(10)
    try:
        yield
    finally:
        page.drain()
        thread.join(10)
        while page._live.is_recording:
            time.sleep(0.05)
