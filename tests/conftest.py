"""Two rings of tests: those that need nothing but Python, and those that need services.

Without `-m`, tests that need services are left out, and a line at the end says which; `-m services`
runs these alone.
"""

import re
import signal
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.services import missing, needed_by
from tests.wheelhouse import PIP, once_for_all, run

LEFT_OUT = pytest.StashKey[Counter[str]]()
"""Services -> how many tests were left out that need them."""

ADDRESS = re.compile(r" at 0x[0-9a-f]+>")

CONTRACT = "/testing/contract/"
"""Where tests skip themselves that do not concern a plugin."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a shell: programs that tests interrupt must not inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs services; leave it out unless marks were asked for."""
    if wandering := [item.nodeid for item in items if ADDRESS.search(item.nodeid)]:
        raise pytest.UsageError(f"these ids differ between processes: {', '.join(wandering)}")
    needs = [needed_by(item) for item in items]
    for item, services in zip(items, needs, strict=True):
        if services:
            item.add_marker("services")
    if config.option.markexpr:
        return
    left_out = [item for item, services in zip(items, needs, strict=True) if services]
    config.stash[LEFT_OUT] = Counter(" and ".join(services) for services in needs if services)
    items[:] = [item for item, services in zip(items, needs, strict=True) if not services]
    config.hook.pytest_deselected(items=left_out)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand on what was left out from a process of pytest-xdist, which collects, to the first."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left out"] = dict(session.config.stash.get(LEFT_OUT, Counter()))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Take what a process of pytest-xdist hands on; all of them collect the same."""
    output = getattr(node, "workeroutput", {})  # there is none of one that crashed
    if "left out" in output:
        node.config.stash[LEFT_OUT] = Counter(output["left out"])  # type: ignore[attr-defined]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None]:
    """Say in a line what was not run, and why."""
    yield
    left_out = sorted(config.stash.get(LEFT_OUT, Counter()).items())
    parts = [f"{count} need {services}: make test-services" for services, count in left_out]
    reasons = Counter(_reason(report) for report in terminalreporter.getreports("skipped"))
    parts += [f"{count} skipped: {reason}" for reason, count in reasons.most_common()]
    if parts:
        terminalreporter.write_line(f"Tests not run: {'; '.join(parts)}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    path, _, reason = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, "")
    if CONTRACT in path:
        return "what the contract asks does not concern the plugin (-rs tells more)"
    return reason.removeprefix("Skipped: ")


@pytest.fixture(scope="session")
def package_index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The index that pip is configured for; it answers."""
    folder = tmp_path_factory.mktemp("index")
    try:
        run(*PIP, "download", "--no-cache-dir", "--no-deps", "--dest", folder, "attrs", cwd=folder)
    except AssertionError as error:
        missing(f"pip reaches no package index: {error}")


@pytest.fixture(scope="session")
def wheels(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, Path]:
    """Package -> its wheel, of all distributions of the repository."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if hasattr(request.config, "workerinput") else base
    return once_for_all(shared / "wheelhouse")
