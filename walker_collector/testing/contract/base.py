"""What the tests of the contract share: the author's part, and collectors made from it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

from walker_collector.collector import Collector
from walker_collector.errors import Rejected
from walker_collector.hookspecs import Event, Item
from walker_collector.testing.backend import Backend
from walker_collector.testing.events import Events
from walker_collector.testing.harness import Harness, entry, registry_of

PATIENCE = 30.0
"""Seconds until something that should have happened counts as failed."""

_EAGER = {"retry": {"base": 1, "cap": 20}, "breaker": {"threshold": 3, "cooldown": 20}}
"""Retries without long waits."""


class ContractBase:
    """The author's part of the contract, and fixtures made from it."""

    plugin: ClassVar[type]
    package: ClassVar[str | None] = None
    bad_settings: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    def backend(self) -> Backend:
        """What stands at the other end; to be overridden."""
        pytest.fail(f"{type(self).__name__} needs a fixture `backend` that returns a Backend")

    @pytest.fixture
    def event(self) -> Events:
        """A maker of events, with ids of their own for each test."""
        return Events()

    @pytest.fixture
    def harness(self, backend: Backend) -> Iterator[Harness]:
        """The destination by itself, initialised."""
        with self.harness_of(backend) as harness:
            yield harness

    def harness_of(self, backend: Backend, **changes: Any) -> Harness:
        """Return the destination by itself, not yet initialised; `changes` are of its config."""
        return Harness(self.plugin, backend.settings, config={**backend.config, **changes})

    @contextmanager
    def collecting(self, backend: Backend, **changes: Any) -> Iterator[Collector]:
        """Run a collector with this one destination, which retries at once."""
        config = {**_EAGER, **backend.config, **changes}
        flow = {"destinations": {"destination": entry(backend.settings, config)}}
        collector = Collector.from_config(flow, registry=registry_of(self.plugin))
        try:
            yield collector
        finally:
            collector.close(timeout=1)


def needed(value: Any, name: str, what: str) -> Any:
    """Return what the author gave of a Backend; skip the test where it was left out."""
    if value is None:
        pytest.skip(f"Backend({name}=...) is not given: {what}")
    return value


def breaking(backend: Backend, name: str) -> Callable[[], None]:
    """Return what makes the backend fail; skip the test unless it can fail and recover."""
    needed(backend.recover, "recover", f"how the backend recovers from `{name}`")
    action: Callable[[], None] = needed(
        getattr(backend, name), name, "how the backend fails, so that the answer can be tested"
    )
    return action


def hurry(collector: Collector) -> None:
    """Wait until all is delivered; fail where that does not come to pass."""
    if collector.flush(timeout=PATIENCE):
        return
    status = collector.status().destinations["destination"]
    pytest.fail(
        f"{status.waiting} event(s) still wait after {PATIENCE:g} s; the destination is"
        f" {status.state}: {status.reason or 'no reason given'}"
    )


def push_refusal(harness: Harness, event: Event) -> Exception | None:
    """Return what `push` raises for the event, None for nothing."""
    try:
        harness.push(event)
    except Exception as error:  # whatever the plugin raises is its answer
        return error
    return None


def answer(harness: Harness, item: Item) -> Exception | None:
    """Return the failure of one mapped event, raised or returned; None where it is delivered."""
    try:
        if harness.batches:
            return harness.push_items([item]).get(0)
        harness.push_item(item)
    except Exception as error:  # whatever the plugin raises is its answer
        return error
    return None


def taken_or_rejected(failure: Exception | None, what: str) -> None:
    """Fail unless an unusual event was delivered or refused as the contract says."""
    assert failure is None or isinstance(failure, Rejected), (
        f"{what} must be delivered or raise Rejected with a reason, not {failure!r}: anything"
        " else is tried again and again, or stops the destination"
    )
