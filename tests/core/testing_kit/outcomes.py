"""Run the contract's tests of a file in a process of their own, and tell how each ended."""

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[3]

Outcomes = dict[tuple[str, str], str]
"""Class and test -> "passed", "skipped", or the message of the failure."""


def outcomes_of(file: Path, *chosen: str) -> Outcomes:
    """Return the outcomes of tests, given as `Class` or `Class::test`; some of them must fail."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no"]
        done = subprocess.run(
            [*command, f"--junitxml={report}", *(f"{file}::{test}" for test in chosen)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 1, done.stdout + done.stderr
        return {
            (case.attrib["classname"].split(".")[-1], case.attrib["name"]): _outcome(case)
            for case in ElementTree.parse(report).iter("testcase")
        }


def _outcome(case: ElementTree.Element) -> str:
    for kind in ("failure", "error", "skipped"):
        found = case.find(kind)
        if found is not None:
            return kind if kind == "skipped" else found.attrib["message"]
    return "passed"
