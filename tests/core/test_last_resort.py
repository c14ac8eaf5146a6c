"""Whatever a hook, a callable or a row throws: it is an outcome, and the next event arrives."""

import contextlib
import logging
import sqlite3
import threading
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.core.support import PATIENCE, Record, config, event, flow, plugin, running, until
from walker_collector import (
    Collector,
    DestinationDown,
    Item,
    NotAttempted,
    PartDown,
    PluginError,
    Rejected,
    RetryLater,
    SpoolError,
    WalkerError,
    hookimpl,
)
from walker_collector.config import BreakerConfig, DestinationConfig, ObjectSpec, RuleConfig
from walker_collector.delivery.worker import DestinationWorker


class Bottom(BaseException):
    pass


class WithoutText(Exception):
    def __str__(self) -> str:
        raise SystemExit("no text")

    __repr__ = __str__


class TextIsNoText(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # on purpose


class HugeText(Exception):
    def __str__(self) -> str:
        return "\ud800" * 1_000_000


class ReasonRaises(Rejected):
    @property
    def reason(self) -> str:
        raise KeyboardInterrupt

    @reason.setter
    def reason(self, value: str) -> None: ...


class AfterRaises(RetryLater):
    @property
    def after(self) -> float:
        raise ValueError

    @after.setter
    def after(self, value: float) -> None: ...


class Incomparable:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError("not to be compared")


class StatusRaises(Rejected):
    status = Incomparable()


class ClassRaises(Exception):
    @property
    def __class__(self) -> type:
        raise ValueError("no class")


class Nameless(type):
    def __getattribute__(cls, name: str) -> Any:
        if name == "__name__":
            raise ValueError("no name")
        return super().__getattribute__(name)


class TypeRaises(Exception, metaclass=Nameless):
    pass


class StubbornFloat(float):
    def __gt__(self, other: float) -> bool:
        raise SystemExit

    __lt__ = __ge__ = __le__ = __gt__


class TextRaises:
    def __str__(self) -> str:
        raise GeneratorExit

    __repr__ = __str__


def circle() -> Exception:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__, one.__context__ = other, one, other
    return one


def long_chain() -> Exception:
    error = ValueError("first")
    for n in range(2_000):
        after = ValueError(n)
        after.__cause__, error = error, after
    return error


AFTERS: Sequence[Any] = [
    *(float("nan"), float("inf"), float("-inf"), -1, 10**400, True, 1e-320, -0.0, 1e308),
    *("5", b"5", None, [], {}, object(), Decimal("NaN"), StubbornFloat(5), 1j, RetryLater),
]
ERRORS: Sequence[Callable[[], BaseException]] = [
    *(Bottom, KeyboardInterrupt, SystemExit, GeneratorExit, CancelledError, StopIteration),
    *(MemoryError, RecursionError, StopAsyncIteration, WithoutText, TextIsNoText, HugeText),
    *(ClassRaises, TypeRaises, circle, long_chain, KeyError, UserWarning),
    lambda: ReasonRaises("x"),
    lambda: AfterRaises("x"),
    lambda: StatusRaises("x"),
    lambda: ValueError("\ud800"),
    lambda: type("\ud800", (Exception,), {})("a surrogate in the name"),
    lambda: Rejected("\ud800\x1b[31m\n\0"),
    lambda: Rejected(None),  # type: ignore[arg-type]  # on purpose, as below
    lambda: ValueError(10**5000),
    lambda: ValueError(TextRaises()),
    *(lambda kind=kind: kind(TextRaises()) for kind in (Rejected, RetryLater, PartDown)),
    lambda: BaseExceptionGroup("several", [KeyboardInterrupt(), ExceptionGroup("g", [OSError()])]),
    lambda: SpoolError("not of the spool"),
    lambda: WalkerError("what?"),
    lambda: NotAttempted("later"),
    *(lambda after=after: RetryLater("busy", after=after) for after in AFTERS),
]
DOWN: Sequence[Callable[[], BaseException]] = [
    *ERRORS,
    lambda: DestinationDown("\ud800"),
    lambda: DestinationDown(TextRaises()),  # type: ignore[arg-type]  # on purpose
]


class OddMapping(dict[Any, Any]):
    def get(self, *args: Any) -> Any:
        raise SystemExit

    __getitem__ = __contains__ = get


class ItemsRaise(dict[Any, Any]):
    def items(self) -> Any:
        raise SystemExit


class TruthRaises(dict[Any, Any]):
    def __bool__(self) -> bool:
        raise SystemExit


FAILED = {0: ValueError()}
RETURNS: Sequence[Any] = [
    *(5, "x", b"", True, 0, [], [1], (), iter([]), object(), lambda: None, {0: "x"}, {0: None}),
    *({"0": OSError()}, {9: OSError()}, {True: OSError()}, {-1: OSError()}, {1.0: OSError()}),
    *({0: ValueError}, {None: OSError()}, {10**400: OSError()}, {0: KeyboardInterrupt()}),
    *(OddMapping(FAILED), ItemsRaise(FAILED), TruthRaises(FAILED)),
]


class Thrower:
    """A destination that throws the error of each event's number; others it takes."""

    def __init__(self, errors: Sequence[Callable[[], BaseException]]) -> None:
        self.errors = errors
        self.thrown: set[int] = set()
        self.record = Record()

    def throw(self, number: int) -> None:
        """Throw an event's error, the first time: later its destination is as it should be."""
        if number < len(self.errors) and number not in self.thrown:
            self.thrown.add(number)
            raise self.errors[number]()

    def push(self, event: dict[str, Any], context: Any) -> None:
        self.throw(event["data"]["n"])
        self.record.push(event, context)

    def push_batch(self, batch: Sequence[Item]) -> None:
        for item in batch:
            self.throw(item.event["data"]["n"])
        self.record.push_batch(batch)

    def failures(self, batch: Sequence[Item]) -> dict[int, BaseException]:
        failed: dict[int, BaseException] = {}
        for index, item in enumerate(batch):
            try:
                self.push(item.event, item.context)
            except BaseException as error:
                failed[index] = error
        return failed

    def callable(self, value: Any, context: Any) -> bool:
        self.throw(context.event["data"]["n"])
        return True


def rules(**rule: Any) -> dict[str, Any]:
    return {"mapping": {"order": {"complete": RuleConfig(**rule)}}}


PLACES: Mapping[str, Callable[[Thrower], tuple[type, dict[str, Any]]]] = {
    "push": lambda it: (plugin(it.push), {}),
    "push_batch": lambda it: (plugin(None, it.push_batch, linger=0), {}),
    "failures": lambda it: (plugin(None, it.failures, linger=0), {}),  # type: ignore[arg-type]
    "timeout": lambda it: (plugin(it.push), {"timeout": 60_000}),
    "fn": lambda it: (plugin(it.record.push), rules(data=ObjectSpec(fn=it.callable))),
    "condition": lambda it: (
        plugin(it.record.push),
        {"mapping": {"order": {"complete": [RuleConfig(condition=it.callable)]}}},
    ),
    "value's condition": lambda it: (
        plugin(it.record.push),
        rules(data=ObjectSpec(key="name", condition=it.callable)),
    ),
    "validate": lambda it: (
        plugin(it.record.push),
        rules(data=ObjectSpec(key="name", validate=it.callable)),
    ),
    "loop": lambda it: (
        plugin(it.record.push),
        rules(
            data=ObjectSpec(
                loop=(ObjectSpec(fn=lambda value: [1]), ObjectSpec(fn=it.callable)),
            )
        ),
    ),
    "policy": lambda it: (
        plugin(it.record.push),
        {"policy": {"data.x": ObjectSpec(fn=it.callable)}},
    ),
}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a destination that is down tried again at once."""
    monkeypatch.setattr("walker_collector.delivery.backoff.DOWN_CAP", 1)


@contextlib.contextmanager
def started(
    cls: type, spool: Path | None, settings: Mapping[str, Any] | None = None
) -> Iterator[Collector]:
    breaker = BreakerConfig(threshold=2, cooldown=1)
    entry: DestinationConfig = config(**{"breaker": breaker, **(settings or {})})
    with running(flow({"there": (cls, entry)}, spool)) as collector:
        yield collector


def assert_nothing_was_interrupted(caplog: pytest.LogCaptureFixture) -> None:
    """Fail if an error got as far as the last resort: it was not made an outcome."""
    assert "interrupted" not in caplog.text
    assert "a thread ended" not in caplog.text


@pytest.fixture(params=[False, True], ids=["memory", "spool"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "spool.db" if request.param else None


@pytest.mark.parametrize("place", PLACES)
def test_next_event_arrives_whatever_is_thrown(
    place: str, spool: Path | None, caplog: pytest.LogCaptureFixture
) -> None:
    errors = DOWN if place == "push" else ERRORS
    thrower = Thrower(errors)
    cls, settings = PLACES[place](thrower)
    last = len(errors)
    with started(cls, spool, settings) as collector:
        for n in range(last):
            collector.push(event(n, f"u{n}"))
        collector.push(event(last, "last"))
        until(lambda: last in thrower.record.numbers, "the next event arrives")
        assert collector.flush(PATIENCE)
        there = collector.status().destinations["there"]
        assert there.accepted == last + 1
        assert there.accepted + there.requeued == there.delivered + there.died
        assert len(collector.dead()) == there.dead
        collector.push(event(last + 1, "u0"), wait=True, timeout=PATIENCE)
    assert last + 1 in thrower.record.numbers
    assert_nothing_was_interrupted(caplog)


@pytest.mark.parametrize("at", range(len(RETURNS)))
def test_next_event_arrives_whatever_push_batch_returns(
    at: int, caplog: pytest.LogCaptureFixture
) -> None:
    record = Record()

    def push_batch(batch: Sequence[Item]) -> Any:
        if any(item.event["data"]["n"] == 1 for item in batch):
            return RETURNS[at]
        record.push_batch(batch)
        return None

    with started(plugin(None, push_batch, linger=0), None) as collector:
        collector.push_many([event(1, "a"), event(2, "b")])
        assert collector.flush(PATIENCE)
        collector.push(event(3, "c"), wait=True, timeout=PATIENCE)
        there = collector.status().destinations["there"]
        assert there.accepted == there.delivered + there.died == 3
    assert 3 in record.numbers
    assert_nothing_was_interrupted(caplog)


def test_events_arrive_once_init_has_raised_everything(
    spool: Path | None, caplog: pytest.LogCaptureFixture
) -> None:
    record, rest = Record(), iter(DOWN)

    def init(context: Any) -> None:
        for error in rest:
            raise error()

    with started(plugin(record.push, init=init), spool) as collector:
        collector.push(event(1))
        record.wait_for(1)
    assert_nothing_was_interrupted(caplog)


@pytest.mark.parametrize("at", range(0, len(ERRORS), 6))
def test_hooks_beside_the_events_may_raise_anything(
    at: int, spool: Path | None, caplog: pytest.LogCaptureFixture
) -> None:
    record, error = Record(), ERRORS[at]

    def throws(*args: Any) -> None:
        raise error()

    cls = plugin(record.push, consent=throws, shutdown=throws)
    cls.erased = hookimpl(lambda self, person, context: throws())  # type: ignore[attr-defined]
    with started(cls, spool) as collector:
        collector.push(event(1, "a"))
        collector.consent({"marketing": True}, user={"id": "a"})
        collector.forget({"id": "a"})
        collector.push(event(2, "b"))
        until(lambda: 2 in record.numbers, "the next event arrives")
    assert_nothing_was_interrupted(caplog)


@pytest.mark.parametrize("attribute", ["concurrency", "batch_size", "batch_bytes", "linger"])
@pytest.mark.parametrize("value", ["x", -1, 1.5, True, float("nan"), 10**400, [], TextRaises()])
def test_plugin_that_declares_no_number_is_refused_at_the_start(attribute: str, value: Any) -> None:
    cls = plugin(None, Record().push_batch, **{attribute: value})
    with pytest.raises(PluginError, match=rf"{attribute} must be a whole number from"):
        Collector(flow({"there": (cls, config())}))


# --- the spool's rows ------------------------------------------------------------------------

BODIES = [b"", b"{", b"[]", b"5", b"null", b"\xff", b"{}", b'{"name": 5}', b'{"consent": 5}', None]


@pytest.mark.parametrize("held", [False, True], ids=["waiting", "held"])
def test_events_arrive_beside_damaged_rows(held: bool, tmp_path: Path) -> None:
    record, path = Record(), tmp_path / "spool.db"
    required = {"consent": {"marketing": True}} if held else {}
    with started(plugin(record.push, init=lambda context: _down()), path, required) as collector:
        for n in range(len(BODIES)):
            collector.push(event(n, f"u{n}"))
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        seqs = [seq for (seq,) in db.execute("SELECT seq FROM events ORDER BY seq")]
        for seq, body in zip(seqs, BODIES, strict=True):
            with contextlib.suppress(sqlite3.IntegrityError):  # NULL is not allowed there
                db.execute("UPDATE events SET body = ? WHERE seq = ?", (body, seq))
    with started(plugin(record.push), path, required) as collector:
        for n in range(len(BODIES)):
            collector.consent({"marketing": True}, user={"id": f"u{n}"})
        collector.push(event(99, "u99", consent={"marketing": True}))
        until(lambda: 99 in record.numbers, "the next event arrives")
        assert collector.flush(PATIENCE)


def _down() -> None:
    raise DestinationDown("not yet")


# --- the last resort -------------------------------------------------------------------------


def test_application_whose_log_handler_raises_loses_nothing(spool: Path | None) -> None:
    class Raises(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise SystemExit("no log")

    record, broken = Record(), Raises()
    logger = logging.getLogger("walker_collector.destinations.there")

    def push(event: dict[str, Any], context: Any) -> None:
        if event["data"]["n"] == 1:
            raise ValueError
        record.push(event, context)

    with started(plugin(push), spool) as collector:
        logger.addFilter(broken)
        try:
            logger.setLevel(logging.DEBUG)
            collector.push(event(1, "a"))
            collector.push(event(2, "b"))
            record.wait_for(1)
            assert collector.flush(PATIENCE)
            assert collector.status().destinations["there"].died == 1
        finally:
            logger.removeFilter(broken)
            logger.setLevel(logging.NOTSET)
    assert record.numbers == [2]


def test_another_thread_takes_the_place_of_one_that_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Even an error of the last resort itself: it is told, and the events arrive."""
    record, recover, ended = Record(), DestinationWorker._recover, threading.Event()

    def broken(self: DestinationWorker, *args: Any) -> None:
        monkeypatch.setattr(DestinationWorker, "_recover", recover)
        recover(self, *args)
        ended.set()
        raise KeyboardInterrupt("the last resort is broken")

    def next_batch(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.undo()
        monkeypatch.setattr("walker_collector.delivery.worker.PAUSE", 0.01)
        monkeypatch.setattr(DestinationWorker, "_recover", broken)
        raise GeneratorExit("not planned")

    with started(plugin(record.push), None) as collector:
        collector.push(event(1), wait=True, timeout=PATIENCE)
        monkeypatch.setattr("walker_collector.delivery.pending.PendingEvents.next", next_batch)
        collector.push(event(2))
        assert ended.wait(PATIENCE)
        record.wait_for(2)
        collector.push(event(3), wait=True, timeout=PATIENCE)
    assert record.numbers == [1, 2, 3]
    assert "delivery interrupted: GeneratorExit" in caplog.text
    assert "a thread ended: KeyboardInterrupt" in caplog.text
