"""The lowest versions of dependencies: installed by `make test-quick LOWEST=yes`, and safe."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECTS = [ROOT / "pyproject.toml", ROOT / "walker_dest_customerio" / "pyproject.toml"]

MENDED = {
    "aiohttp": "3.13.4",
    "orjson": "3.11.6",
    "pytest": "9.0.3",
    "requests": "2.33",
    "setuptools": "78.1.1",
    "urllib3": "2.8",
}
"""Versions that mend known vulnerabilities."""


def required() -> list[Requirement]:
    """Return what both distributions and all their extras depend on, and build with."""
    texts: list[str] = []
    for path in PROJECTS:
        content = tomllib.loads(path.read_text("utf-8"))
        extras = content["project"]["optional-dependencies"].values()
        texts += [*content["build-system"]["requires"], *content["project"]["dependencies"]]
        texts += [text for extra in extras for text in extra]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("name", MENDED)
def test_no_version_with_a_known_vulnerability_is_allowed(name: str) -> None:
    asked = [one for one in required() if one.name == name]
    assert asked
    lowest = {Version(spec.version) for one in asked for spec in one.specifier}
    assert min(lowest) >= Version(MENDED[name])


def test_every_dependency_can_be_held_at_its_lowest_version() -> None:
    script = ROOT / ".ci" / "lowest.py"
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    held = dict(line.split("==") for line in done.stdout.splitlines())
    assert held.keys() >= {"attrs", "cattrs", "click", "orjson", "pluggy", "rich", "urllib3"}
    for one in required():
        if one.name in held:
            assert held[one.name] in one.specifier
