"""Which tests run when: a plain run says what it leaves out, and what has a longer form."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import missing

ROOT = Path(__file__).parent.parent
NEEDS_A_SERVER = "tests/plugins/test_warehouse.py"
HAS_A_LONG_FORM = "tests/core/mapping/test_compiled_values.py"
NEEDS_NOTHING = "tests/test_architecture.py"
FILES = (NEEDS_A_SERVER, HAS_A_LONG_FORM, NEEDS_NOTHING)


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


def not_run(lines: list[str]) -> list[str]:
    """Return what the last lines say of tests that were not run, or not in full."""
    start = "Tests not run: "
    return [line.removeprefix(start) for line in lines if line.startswith(start)]


def test_what_is_left_out_and_what_has_a_longer_form_is_said() -> None:
    lines = pytest_says(*FILES)
    assert collected(lines) == {HAS_A_LONG_FORM, NEEDS_NOTHING}
    services, forms = not_run(lines)
    assert services.endswith(" need PostgreSQL: make test-services")
    assert forms.endswith(" in a short form: make soak")


@pytest.mark.parametrize(
    ("mark", "file"), [("services", NEEDS_A_SERVER), ("long and not services", HAS_A_LONG_FORM)]
)
def test_what_needs_services_or_has_a_long_form_runs_alone_where_it_is_asked_for(
    mark: str, file: str
) -> None:
    assert collected(pytest_says("-m", mark, *FILES)) == {file}


def test_missing_service_skips_but_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no server"):
        missing("no server")
    monkeypatch.setitem(os.environ, "CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no server"):
        missing("no server")
