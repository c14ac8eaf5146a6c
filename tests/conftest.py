"""Three rings of tests: what needs nothing but Python, what needs services, and the long forms.

Without `-m`, tests that need services are left out, and tests that have a long form run in their
short one (`tests/forms.py`); the last lines say which. `-m services` runs the first of these alone.
"""

import re
import shutil
import signal
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.forms import LONG, has_long_form
from tests.kafka_broker import KafkaBroker, required_broker
from tests.postgres_server import PostgresServer, required_server
from tests.services import missing, needed_by
from tests.wheelhouse import PIP, build, once_for_all, run

LEFT_OUT = pytest.StashKey[Counter[str]]()
"""Why tests were left out, and what runs them -> how many."""

ADDRESS = re.compile(r" at 0x[0-9a-f]+>")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

CONTRACT = "/testing/contract/"
"""Where tests skip themselves that do not concern a plugin."""

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a shell: programs that tests interrupt must not inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs services, and what has a long form; leave out the services' tests unless
    marks were asked for.
    """
    if wandering := [item.nodeid for item in items if ADDRESS.search(item.nodeid)]:
        raise pytest.UsageError(f"these ids differ between processes: {', '.join(wandering)}")
    needs = {item: needed_by(item) for item in items}
    for item, services in needs.items():
        if services:
            item.add_marker("services")
        if has_long_form(item):
            item.add_marker("long")
    if config.option.markexpr:
        return
    left_out = [item for item in items if needs[item]]
    items[:] = [item for item in items if not needs[item]]
    config.hook.pytest_deselected(items=left_out)
    reasons = [f"need {' and '.join(needs[item])}: make test-services" for item in left_out]
    if not LONG:
        reasons += ["in a short form: make soak" for item in items if has_long_form(item)]
    config.stash[LEFT_OUT] = Counter(reasons)


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
    """Say what was not run, or not in full, and why."""
    yield
    left_out = config.stash.get(LEFT_OUT, Counter())
    skipped = Counter(_reason(report) for report in terminalreporter.getreports("skipped"))
    reasons = [*sorted(left_out.items(), reverse=True), *skipped.most_common()]
    for reason, count in reasons:
        terminalreporter.write_line(f"Tests not run: {count} {reason}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    path, _, reason = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, "")
    if CONTRACT in path:
        return "skipped: what the contract asks does not concern the plugin (-rs tells more)"
    return f"skipped: {reason.removeprefix('Skipped: ')}"


@pytest.fixture(scope="session")
def package_index(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The index that pip is configured for; it answers."""
    folder = tmp_path_factory.mktemp("index")
    try:
        run(*PIP, "download", "--no-cache-dir", "--no-deps", "--dest", folder, "attrs", cwd=folder)
    except AssertionError as error:
        missing(f"pip reaches no package index: {error}")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder that all processes of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if hasattr(request.config, "workerinput") else base


@pytest.fixture(scope="session")
def wheels(shared_folder: Path) -> dict[str, Path]:
    """Package -> its wheel, of all distributions of the repository."""
    folder = once_for_all(shared_folder / "wheelhouse", build)
    return {path.name.split("-")[0]: path for path in folder.glob("*.whl")}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server for all tests of a process, each of which has a place there alone."""
    with required_server() as server:
        yield server


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[KafkaBroker]:
    """A Kafka broker for all tests of a process, each of which has topics there alone."""
    with required_broker() as broker:
        yield broker


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        missing("Chromium is not installed (Debian: chromium)")
    return found
