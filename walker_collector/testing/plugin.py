"""Fixtures of walker-collector, which pytest finds through its entry points.

pytest imports this module at every start, in every project that has the collector installed. So
it imports nothing of the collector until a fixture is used.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from walker_collector.testing import Events, Recorder

# Without it the bare asserts of the contract would fail without an explanation.
pytest.register_assert_rewrite("walker_collector.testing.contract")


@pytest.fixture
def walker_event() -> "Events":
    """Makes complete events, numbered from 1: `walker_event("order complete", data={...})`."""
    from walker_collector.testing import Events

    return Events()


@pytest.fixture
def walker_recorder() -> "Recorder":
    """Records deliveries: `with walker_recorder.collector() as collector: ...`."""
    from walker_collector.testing import Recorder

    return Recorder()
