"""Which tests run when: what needs services is left out of a plain run, and said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import missing

ROOT = Path(__file__).parent.parent
NEEDS_A_SERVER = "tests/plugins/test_warehouse.py"
NEEDS_NOTHING = "tests/test_architecture.py"


def pytest_says(*arguments: str) -> list[str]:
    """Collect tests in a process of their own; return what is printed."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode in (0, pytest.ExitCode.NO_TESTS_COLLECTED), done.stdout + done.stderr
    return done.stdout.splitlines()


def collected(lines: list[str]) -> set[str]:
    """Return the files of the tests that are named."""
    return {line.split("::")[0] for line in lines if "::" in line}


def test_what_needs_services_is_left_out_and_said() -> None:
    lines = pytest_says(NEEDS_A_SERVER, NEEDS_NOTHING)
    assert collected(lines) == {NEEDS_NOTHING}
    (line,) = (line for line in lines if line.startswith("Tests not run: "))
    assert line.endswith(" need PostgreSQL: make test-services")


def test_what_needs_services_runs_alone_where_it_is_asked_for() -> None:
    lines = pytest_says("-m", "services", NEEDS_A_SERVER, NEEDS_NOTHING)
    assert collected(lines) == {NEEDS_A_SERVER}


def test_missing_service_skips_but_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no server"):
        missing("no server")
    monkeypatch.setitem(os.environ, "CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no server"):
        missing("no server")
