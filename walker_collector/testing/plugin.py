"""Fixtures of walker-collector, which pytest finds through its entry points.

pytest imports this module at every start, in every project that has the collector installed. So
it imports nothing of the collector until a fixture is used.
"""

from collections import Counter
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the requirements of the contracts that were skipped, each with the reason."""
    skipped = Counter(
        reason.removeprefix("Skipped: ")
        for path, reason in map(_place_and_reason, terminalreporter.stats.get("skipped", ()))
        if "walker_collector/testing/contract" in path
    )
    if skipped:
        from walker_collector.text import counted

        terminalreporter.section("the contract was not tested for")
        for reason, count in skipped.items():
            terminalreporter.line(f"{reason} ({counted(count, 'test')})")


def _place_and_reason(report: pytest.TestReport) -> tuple[str, str]:
    place = report.longrepr
    if not isinstance(place, tuple):
        return "", ""
    return str(place[0]).replace("\\", "/"), str(place[2])
