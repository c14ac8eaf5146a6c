"""The packages import the collector when one of their names is asked for, and not before."""

import subprocess
import sys
from pathlib import Path

import pytest

import walker_collector
import walker_collector.public
import walker_collector.testing
import walker_collector.testing.kit

LIGHT = {
    "walker_collector",
    "walker_collector.lazy",
    "walker_collector.testing",
    "walker_collector.testing.plugin",
    "walker_collector.version",
    "walker_dest_customerio",
    "walker_dest_customerio.sandbox",
    "walker_dest_customerio.sandbox.pytest_plugin",
}
"""Modules that pytest imports at every start, wherever the collector is installed."""

TELL = """
import sys

def pytest_unconfigure():
    print("imported:", *sorted(sys.modules))
"""


def imported_by_pytest(folder: Path, test: str) -> set[str]:
    """Run a test where nothing but the plugin is at work; return the modules that are imported."""
    (folder / "conftest.py").write_text(TELL)
    (folder / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("imported:"))
    return set(line.split()[1:])


def test_pytest_imports_nothing_of_the_collector_until_a_fixture_is_used(tmp_path: Path) -> None:
    imported = imported_by_pytest(tmp_path, "def test_nothing(): pass\n")
    assert {name for name in imported if name.startswith("walker_")} == LIGHT
    # Not sqlite3: coverage, which may measure this process as well, imports it.
    assert not imported & {"attrs", "cattrs", "orjson", "urllib3"}


def test_fixture_brings_what_it_needs(tmp_path: Path) -> None:
    test = "def test_event(walker_event): assert walker_event('order complete')['name']\n"
    assert "walker_collector.testing.sample_events" in imported_by_pytest(tmp_path, test)


@pytest.mark.parametrize(
    ("package", "public"),
    [
        (walker_collector, walker_collector.public),
        (walker_collector.testing, walker_collector.testing.kit),
    ],
    ids=["walker_collector", "testing"],
)
def test_package_hands_on_its_public_names(package: object, public: object) -> None:
    names = public.__all__  # type: ignore[attr-defined]  # of a module
    assert package.__all__ == names  # type: ignore[attr-defined]  # of a module
    assert all(getattr(package, name) is getattr(public, name) for name in names)
    assert {*names} <= {*dir(package)}


def test_name_that_is_not_public_is_refused() -> None:
    with pytest.raises(AttributeError, match="'walker_collector' has no attribute"):
        walker_collector.Colector  # type: ignore[attr-defined]  # noqa: B018  # that is the mistake


def test_modules_of_the_package_are_there_without_an_import_of_their_own() -> None:
    code = "import walker_collector; print(walker_collector.config.MISSING)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


WITHOUT_PYTEST = """
import sys
sys.modules["pytest"] = None  # as if it were not installed
from walker_collector.testing import Events, Harness, Recorder
recorder = Recorder()
with recorder.collector() as collector:
    collector.push("order complete")
print(recorder.names)
try:
    from walker_collector.testing import DestinationContract
except ImportError as error:
    print(error)
"""


def test_recorder_needs_no_pytest_and_the_contract_names_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYTEST],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "['order complete']",
        'DestinationContract needs pytest: pip install pytest, or "walker-collector[testing]"',
    ]
