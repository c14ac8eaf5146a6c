"""The tool that counts how often the way of one push enters another file."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("options", [[], ["--durable", "--list"]], ids=["memory", "durable"])
def test_stays_of_a_push_are_counted(options: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "tools/stays.py", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *listed, figures = done.stdout.splitlines()
    stays, files, functions = map(int, re.findall(r"[0-9]+", figures))
    assert 20 < files <= stays < 300
    assert functions > files
    assert len(listed) == (stays if options else 0)
