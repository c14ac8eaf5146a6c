"""Shared parts of the sources' contract: the author's plugin and sender, and sources at work."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

from walker_collector.hookspecs import Event
from walker_collector.testing.sender import Sender
from walker_collector.testing.source_harness import Answer, SourceHarness, as_the_collector

PATIENCE = 10.0
"""Seconds that a source has for its work."""
STILL = 0.3
"""Seconds without progress after which a sender counts as held up."""
_LOOK = 0.005


class SourceBase:
    """Class attributes and fixtures that the author sets, and sources made from them."""

    plugin: ClassVar[type]
    package: ClassVar[str | None] = None
    bad_settings: ClassVar[Mapping[str, Any]] = {}
    grace: ClassVar[float] = 5.0

    @pytest.fixture
    def sender(self) -> Sender:
        """The other end of the source; to be overridden."""
        pytest.fail(f"{type(self).__name__} needs a fixture `sender` that returns a Sender")

    @contextmanager
    def running(
        self, sender: Sender, answer: Answer = as_the_collector, *, may_fail: bool = False
    ) -> Iterator[SourceHarness]:
        """Run the source for a block; then it must end in time and, unless it may, not fail."""
        source = SourceHarness(
            self.plugin, sender.settings, config=sender.config, answer=answer, grace=self.grace
        )
        started(source)
        try:
            yield source
        finally:
            source.release()
            ended(source)
        assert may_fail or source.failure is None, f"run raised {source.failure!r}"
        assert not source.late, (
            "events were handed on after `run` had returned: end all threads first"
        )


def started(source: SourceHarness) -> None:
    """Start a source; fail with advice if it does not become ready."""
    try:
        source.start()
    except TimeoutError:
        pytest.fail(
            "the source is not ready: call context.ready(place) once it takes events, with the"
            " address or place that senders use"
        )
    assert source.place, (
        "`run` returned without context.ready(place): call it once the source takes events"
    )


def ended(source: SourceHarness) -> None:
    """Stop a source; fail with advice if it does not end in time."""
    try:
        source.stop()
    except TimeoutError as error:
        pytest.fail(str(error))


class Sending:
    """One message, sent on a thread of its own; `done` once it is answered or sent."""

    def __init__(self, sender: Sender, place: str, numbers: Sequence[int]) -> None:
        self.error: Exception | None = None
        self._sender, self._place, self._numbers = sender, place, numbers
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def _send(self) -> None:
        try:
            self._sender.send(self._place, self._numbers)
        except Exception as error:  # kept for the test to judge
            self.error = error


def send(sender: Sender, source: SourceHarness, *messages: Sequence[int]) -> list[Sending]:
    """Send messages at the same time, each on a thread of its own."""
    return [Sending(sender, source.place, numbers) for numbers in messages]


def answered(sent: Iterable[Sending], what: str) -> None:
    """Wait until messages are answered; fail with the cause otherwise."""
    sent = list(sent)
    wait_until(lambda: all(one.done for one in sent), what)
    for one in sent:
        assert one.error is None, f"send raised {one.error!r}"


def wait_until(holds: Callable[[], object], otherwise: str) -> None:
    """Wait until something holds; fail with a message if it does not."""
    if not holds_soon(holds):
        pytest.fail(otherwise)


def holds_soon(holds: Callable[[], object], seconds: float | None = None) -> bool:
    """Return whether something holds within some seconds, by default PATIENCE."""
    deadline = time.monotonic() + (PATIENCE if seconds is None else seconds)
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK)
    return True


def holds_at_once(holds: Callable[[], object]) -> bool:
    """Return whether something that should not happen does within STILL."""
    return holds_soon(holds, STILL)


def numbers(sender: Sender, events: Iterable[Event]) -> Counter[int]:
    """Return how often each number stands in the events."""
    return Counter(map(sender.number, events))


def arrived(sender: Sender, source: SourceHarness, expected: Iterable[int]) -> None:
    """Wait until each of the numbers was handed on and taken; fail unless each was so once."""
    wanted = Counter(expected)
    holds_soon(lambda: len(source.accepted) >= wanted.total())
    found = numbers(sender, source.accepted)
    if lost := wanted - found:
        pytest.fail(
            f"{lost.total()} of {wanted.total()} events were not handed on, or not taken:"
            f" {sorted(lost)[:5]}{_refusal(source)}"
        )
    assert not found - wanted, (
        f"events were handed on more than once: {sorted(found - wanted)[:5]}; hand on again only"
        " those that context.accept did not take"
    )


def _refusal(source: SourceHarness) -> str:
    """Return why an event was not taken, where one was refused."""
    for result in map(source.answer, source.offered):
        if isinstance(result, Exception):
            return f"; context.accept answered: {result}"
    return ""


def require(value: Any, name: str, purpose: str) -> Any:
    """Return a field of the Sender; skip the test if the author left it out."""
    if value is None:
        pytest.skip(f"Sender({name}=...) is not given: {purpose}")
    return value
