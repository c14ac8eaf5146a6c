"""The fixtures that come with walker-collector; pytest finds them through its entry points.

pytest imports this module at every start, in every project that has the collector installed. It
imports nothing of the collector, therefore, until a fixture is used.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from walker_collector.testing import Events, Recorder

# The contract's bare asserts explain themselves only when pytest has rewritten them.
pytest.register_assert_rewrite("walker_collector.testing.contract")


@pytest.fixture
def walker_event() -> "Events":
    """A maker of complete events, numbered from 1: `walker_event("order complete", data={...})`."""
    from walker_collector.testing import Events

    return Events()


@pytest.fixture
def walker_recorder() -> "Recorder":
    """A destination that keeps what it is given: `with walker_recorder.collector() as c: ...`."""
    from walker_collector.testing import Recorder

    return Recorder()
