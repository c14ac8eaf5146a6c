"""One source by itself: its hook `run` on a thread, handing on to a recorded `accept`."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from walker_collector.errors import EventError, WalkerError
from walker_collector.events import Bounds, Defaults, complete, encode, is_command, whole
from walker_collector.flow import load_flow
from walker_collector.hooks import connect_source
from walker_collector.hookspecs import Event, Received, SourceContext
from walker_collector.plugins import Registry
from walker_collector.results import PushResult, Status, decide
from walker_collector.testing.harness import PACKAGE, entry
from walker_collector.text import counted

PATIENCE: Final = 10.0
"""Seconds that a harness waits for a source."""
_LOOK: Final = 0.005
_NO_DEFAULTS: Final = Defaults(lambda: "", "", lambda: 1)

Answer = Callable[[Event], PushResult | WalkerError]
"""Decides on one event that a source hands on; may raise, as `accept` then does."""


def as_the_collector(event: Event) -> PushResult | WalkerError:
    """Return the answer of a collector with room: taken, or the error if it is no event."""
    try:
        if is_command(event.get("name")):
            return PushResult("")
        completed = complete(event, time.time_ns() // 1_000_000, 0.0, _NO_DEFAULTS)
        encode(completed, Bounds(), event)
    except WalkerError as error:
        return error
    return PushResult(str(event.get("id", "")))


def _decide(events: Sequence[Received], results: Sequence[PushResult | WalkerError]) -> None:
    """Answer for the destinations, which have taken events at once; tell of refused ones."""
    for event, result in zip(events, results, strict=True):
        if isinstance(result, PushResult) and event.decided is not None:
            decide(event.decided, result)
        elif isinstance(result, EventError) and event.refused is not None:
            event.refused(result)


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class SourceHarness:
    """Runs one configured source; a `with` block starts and stops it.

        with SourceHarness(MySource, {"port": 0}) as source:
            post(source.place, {"name": "page view"})
            source.wait_for(1)
        assert source.accepted[0]["name"] == "page view"

    plugin: class of the source.
    settings: settings of the source, as in a flow file.
    config: other keys of its config.
    id: id of the source.
    answer: decides on each event; without it, as a collector with room would.
    grace: seconds that the source may take to end.

    place: text that the source gave to `ready`; "" before.
    offered: events that it handed on, each time. accepted: those that were taken.
    early: whether it handed on events before `ready`. late: whether after its end.
    failure: exception that `run` has raised.

    Raises ConfigError for settings that the plugin refuses.
    """

    def __init__(
        self,
        plugin: type,
        settings: Mapping[str, Any] | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        id: str = "source",
        answer: Answer = as_the_collector,
        grace: float = 5.0,
    ) -> None:
        registry = Registry()
        registry.register_source(PACKAGE, plugin)
        flow = {"sources": {id: entry(settings or {}, config)}, "destinations": {}}
        configured = load_flow(flow, registry=registry, serve=True).sources[id]
        self._run = connect_source(id, configured, {})
        self._log = _Log()
        self._open = threading.Event()
        self._open.set()
        self._lock = threading.Lock()
        self.answer = answer
        self.place = ""
        self.inside = 0
        """Events that are inside `accept` just now."""
        self.offered: list[Event] = []
        self.accepted: list[Event] = []
        self.early = self.late = False
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._work, name="source-under-test", daemon=True)
        self.context = SourceContext(
            id=id,
            settings=configured.config.settings,
            config=configured.config,
            accept=self._accept,
            status=lambda: Status(accepted=0, durable=False, stored=0, destinations={}),
            ready=self._ready,
            grace=grace,
            logger=logging.getLogger(f"walker_collector.testing.{id}"),
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
        self.stop()
        if error is None and self.failure is not None:
            raise self.failure

    def start(self) -> None:
        """Start the source, and wait until it is ready; raises what `run` raises before that."""
        self.context.logger.addHandler(self._log)
        self.context.logger.setLevel(logging.DEBUG)
        self.thread.start()
        self._wait(lambda: self.place or self.ended, "it calls context.ready(place)")
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """Tell the source to stop; raises TimeoutError unless it ends within its grace."""
        self.context.stop.set()
        self.thread.join(self.context.grace)
        self.context.logger.removeHandler(self._log)
        if not self.ended:
            raise TimeoutError(
                f"the source did not end within {self.context.grace:g} s (context.grace) after the"
                " stop: look at context.stop, also while it waits for input"
            )

    @property
    def ended(self) -> bool:
        """Whether `run` has returned or raised."""
        return self.thread.ident is not None and not self.thread.is_alive()

    @property
    def warnings(self) -> list[str]:
        """The warnings and errors that the source has logged."""
        return [item.getMessage() for item in self.log if item.levelno >= logging.WARNING]

    @property
    def log(self) -> list[logging.LogRecord]:
        """All that the source has logged by `context.logger`."""
        return self._log.records

    def hold(self) -> None:
        """Let `accept` wait from now on, as where there is no room."""
        self._open.clear()

    def release(self) -> None:
        """End `hold`."""
        self._open.set()

    def wait_for(self, count: int) -> None:
        """Wait until that many events are accepted; raises TimeoutError if they do not come."""
        self._wait(
            lambda: len(self.accepted) >= count, f"the number of accepted events is {count:,}"
        )

    def wait_for_end(self) -> None:
        """Wait until the source ends by itself; raises TimeoutError if it does not."""
        self._wait(lambda: self.ended, "the source ends")

    def _wait(self, holds: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"within {PATIENCE:g} s it did not come true that {what}; it has handed"
                    f" on {counted(len(self.offered), 'event')}, {len(self.accepted):,} of them"
                    " accepted"
                )
            time.sleep(_LOOK)

    def _work(self) -> None:
        try:
            self._run(context=self.context)
        except BaseException as error:
            self.failure = error

    def _ready(self, place: str) -> None:
        self.place = place

    def _accept(
        self, events: Iterable[Mapping[str, Any] | Received]
    ) -> list[PushResult | WalkerError]:
        received = [it if isinstance(it, Received) else Received(it) for it in events]
        given = [dict(whole(it.event)) for it in received]
        with self._lock:
            self.early = self.early or not self.place
            self.late = self.late or self.ended
            self.offered += given
            self.inside += len(given)
        try:
            self._open.wait()
            results = [self.answer(event) for event in given]
            _decide(received, results)
            taken = zip(given, results, strict=True)
            with self._lock:
                self.accepted += [event for event, its in taken if isinstance(its, PushResult)]
            return results
        finally:
            with self._lock:
                self.inside -= len(given)
