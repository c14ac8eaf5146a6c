"""Hooks that call the collector: an answer at once, or an error, and deliveries go on."""

import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.core.support import PATIENCE, Record, event, one, plugin, running
from walker_collector import Collector, ReentrantCall, hookimpl

INES = {"id": "u1"}

CALLS: Mapping[str, Callable[[Collector], object]] = {
    "push": lambda collector: collector.push(event(1)),
    "push of another": lambda collector: collector.push(event(1, "u2")),
    "push_many": lambda collector: collector.push_many([event(1), event(2)]),
    "consent": lambda collector: collector.consent({"marketing": False}, user=INES),
    "default": lambda collector: collector.consent({"marketing": True}),
    "forget_soon": lambda collector: collector.forget_soon(INES),
    "flush": lambda collector: collector.flush(),
    "close": lambda collector: collector.close(),
    "status": lambda collector: collector.status(),
    "replay": lambda collector: collector.replay(collector.dead()),
    "bury": lambda collector: collector.bury(collector.dead()),
    "exit": lambda collector: sys.exit("from a hook"),
    "push and wait": lambda collector: collector.push(event(1), wait=True),
    "push of another and wait": lambda collector: collector.push(event(1, "u2"), wait=True),
    "forget": lambda collector: collector.forget(INES),
    "forget another": lambda collector: collector.forget({"id": "u2"}),
}
REFUSED = {"push and wait", "push of another and wait", "forget", "forget another"}


class Caller:
    """Calls a collector from within a hook, once."""

    def __init__(self, call: Callable[[Collector], object]) -> None:
        self.collector: Collector | None = None
        self.error: BaseException | None = None
        self.answered = threading.Event()
        self._call = call
        self._ready = threading.Event()

    def start(self, collector: Collector) -> None:
        self.collector = collector
        self._ready.set()

    def __call__(self) -> None:
        if self.answered.is_set():
            return
        assert self._ready.wait(PATIENCE)
        assert self.collector is not None
        try:
            self._call(self.collector)
        except BaseException as error:
            self.error = error
        self.answered.set()


def destination(hook: str, caller: Caller, record: Record) -> type:
    def push(delivered: dict[str, Any], context: Any) -> None:
        if hook == "push" and delivered["data"]["n"] == 0:
            caller()
        record.push(delivered, context)

    hooks: dict[str, Any] = {
        "init": {"init": lambda context: caller()},
        "shutdown": {"shutdown": caller},
        "consent": {"consent": lambda update, state, person: caller()},
        "erased": {"erased": hookimpl(lambda self, person, context: caller())},
    }.get(hook, {})
    if erased := hooks.get("erased"):
        erased.__name__ = "erased"
    return plugin(push, **hooks)


@pytest.mark.parametrize("timeout", [None, 5_000], ids=["unlimited", "limited"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("hook", ["push", "init", "consent", "erased", "shutdown"])
def test_call_within_a_hook_is_answered_and_deliveries_go_on(
    hook: str, call: str, timeout: int | None, spool: Path | None
) -> None:
    caller, record = Caller(CALLS[call]), Record()
    with running(one(destination(hook, caller, record), spool, timeout=timeout)) as collector:
        caller.start(collector)
        collector.push(event(0))
        if hook == "consent":
            collector.consent({"marketing": True}, user=INES)
        if hook == "erased":
            collector.forget(INES)
        if hook != "shutdown":
            assert caller.answered.wait(PATIENCE)
            if call != "close":
                collector.push(event(9, "u9"))
                assert collector.flush(PATIENCE)
                assert 9 in record.numbers
        assert collector.close(PATIENCE)
    assert caller.answered.is_set()
    if call in REFUSED and hook != "shutdown":
        assert isinstance(caller.error, ReentrantCall)


def test_wait_for_another_collector_within_a_hook_is_answered() -> None:
    record = Record()
    with running(one(plugin(record.push))) as other:
        results: list[Any] = []
        push = lambda delivered, context: results.append(other.push(delivered, wait=True))  # noqa: E731 - one line says it
        with running(one(plugin(push))) as collector:
            collector.push(event(1))
            assert collector.flush(PATIENCE)
    assert [result.destinations for result in results] == [{"there": "delivered"}]


def test_iterable_that_pushes_or_raises_costs_no_event_before_it() -> None:
    record = Record()
    with running(one(plugin(record.push))) as collector:

        def pushing() -> Any:
            yield event(1)
            collector.push(event(2))
            yield event(3)

        results = collector.push_many(pushing())
        assert [type(result).__name__ for result in results] == ["PushResult", "EventError"]
        assert collector.flush(PATIENCE)
        assert record.numbers == [1]
