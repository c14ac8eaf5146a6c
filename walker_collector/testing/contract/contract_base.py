"""Shared parts of the contract's tests: the author's plugin and backend, and collectors of them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

from walker_collector.collector import Collector
from walker_collector.errors import Rejected
from walker_collector.hookspecs import Event, Item
from walker_collector.testing.backend import Backend
from walker_collector.testing.harness import Harness, entry, registry_of
from walker_collector.testing.sample_events import Events
from walker_collector.text import counted

DELIVERY_TIMEOUT = 30.0
"""Seconds after which events that have not been delivered count as a failure."""

_FAST_RETRIES = {"retry": {"base": 1, "cap": 20}, "breaker": {"threshold": 3, "cooldown": 20}}
"""Config that retries within milliseconds, so that the tests need not wait."""


class ContractBase:
    """Class attributes and fixtures that the author sets, and fixtures made from them."""

    plugin: ClassVar[type]
    package: ClassVar[str | None] = None
    bad_settings: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    def backend(self) -> Backend:
        """The service behind the destination; to be overridden."""
        pytest.fail(f"{type(self).__name__} needs a fixture `backend` that returns a Backend")

    @pytest.fixture
    def event(self) -> Events:
        """Makes events, numbered from 1 in each test."""
        return Events()

    @pytest.fixture
    def harness(self, backend: Backend) -> Iterator[Harness]:
        """The destination by itself, after `init`."""
        with self.harness_of(backend) as harness:
            yield harness

    def harness_of(self, backend: Backend, **changes: Any) -> Harness:
        """Return the destination by itself, before `init`; `changes` override its config."""
        return Harness(self.plugin, backend.settings, config={**backend.config, **changes})

    @contextmanager
    def collecting(self, backend: Backend, **changes: Any) -> Iterator[Collector]:
        """Run a collector with this one destination and fast retries."""
        config = {**_FAST_RETRIES, **backend.config, **changes}
        flow = {"destinations": {"destination": entry(backend.settings, config)}}
        collector = Collector.from_config(flow, registry=registry_of(self.plugin))
        try:
            yield collector
        finally:
            collector.close(timeout=1)


def require(value: Any, name: str, purpose: str) -> Any:
    """Return a field of the Backend; skip the test if the author left it out."""
    if value is None:
        pytest.skip(f"Backend({name}=...) is not given: {purpose}")
    return value


def fault(backend: Backend, name: str) -> Callable[[], None]:
    """Return a fault of a Backend, such as `retry`; skip the test unless it can recover too."""
    inject: Callable[[], None] = require(
        getattr(backend, name), name, "how the backend fails, to test the destination's response"
    )
    require(backend.recover, "recover", f"how the backend recovers from `{name}`")
    return inject


def flush_or_fail(collector: Collector) -> None:
    """Wait until all events are delivered; fail with the status of the destination otherwise."""
    if collector.flush(timeout=DELIVERY_TIMEOUT):
        return
    status = collector.status().destinations["destination"]
    pytest.fail(
        f"{counted(status.waiting, 'event')} still waiting after {DELIVERY_TIMEOUT:g} s; the"
        f" destination is {status.state}: {status.reason or 'no reason given'}"
    )


def push_failure(harness: Harness, event: Event) -> Exception | None:
    """Return the exception that `push` raises for an event, or None."""
    try:
        harness.push(event)
    except Exception as error:  # any exception is a result for the test to judge
        return error
    return None


def failure_of(harness: Harness, item: Item) -> Exception | None:
    """Return the failure of one mapped event, raised or returned, or None if it was delivered."""
    try:
        if harness.batches:
            return harness.push_items([item]).get(0)
        harness.push_item(item)
    except Exception as error:  # any exception is a result for the test to judge
        return error
    return None


def delivered_or_rejected(failure: Exception | None, case: str) -> None:
    """Fail unless an unusual event was delivered, or refused with Rejected."""
    assert failure is None or isinstance(failure, Rejected), (
        f"{case} must be delivered or raise Rejected with a reason, not {failure!r}: anything else"
        " is retried again and again, or stops the destination"
    )
