"""Processes that get SIGTERM at any moment: each ends, and nothing that it accepted is lost."""

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.forms import form
from tests.integration.terminated import NAMES

ROOT = Path(__file__).parents[2]
CHILDREN = form(12, 200)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["memory", "durable"])
@pytest.mark.parametrize("handler", ["exit", "close", "close and exit", "exit twice"])
def test_process_that_is_terminated_at_any_moment_loses_nothing(
    handler: str, kind: str, tmp_path: Path
) -> None:
    module = "tests.integration.terminated"
    arguments = [str(tmp_path), kind, handler, "2024", str(CHILDREN)]
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=form(110, 800),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == CHILDREN
    # Once it has closed everything, Python leaves a further signal to the system.
    orderly = {0, -signal.SIGTERM} if handler == "exit twice" else {0}
    for number, child in enumerate(found):
        assert child["status"] in orderly, (number, done.stderr)
        for name in NAMES:
            missing = {*child["accepted"]} - {*child[name]}
            assert not missing, (number, name, missing)
        assert Counter(child["one"]) == Counter(child["other"]), number
        assert max(Counter(child["one"]).values(), default=1) == 1, number
    assert sum(len(child["accepted"]) for child in found) > CHILDREN
