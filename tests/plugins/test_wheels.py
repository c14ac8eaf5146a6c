"""All distributions as people get them: built, installed together, used; then one is removed.

Needs the package index that pip is configured for.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pytest
from attrs import frozen

from tests.plugins.conftest import Database
from tests.plugins.support import EXAMPLES, ROOT, warehouse_environment
from walker_dest_customerio.sandbox import Sandbox

PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")
PLUGINS = {"customerio", "duckdb", "postgres"}


@frozen
class Installed:
    """A virtualenv with all distributions, a flow over all of them, and its surroundings."""

    programs: Path
    folder: Path
    environment: Mapping[str, str]

    def walker(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(self.programs / "walker", *arguments, cwd=self.folder, env=self.environment)

    def known(self) -> dict[str, str | None]:
        """What `walker destinations` knows: name -> error."""
        listed = json.loads(self.walker("destinations", "--json").stdout)
        return {info["name"]: info["error"] for info in listed}


def run(
    *command: str | Path, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def succeed(*command: str | Path, cwd: Path) -> None:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


def build_wheels(folder: Path) -> list[Path]:
    """Build every distribution of the repository from a copy: building leaves folders behind."""
    source, wheels = folder / "source", folder / "wheels"
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    source.mkdir()
    for name in ("walker_collector", "walker_dest_customerio", "examples"):
        shutil.copytree(ROOT / name, source / name, ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    projects = [source, source / "walker_dest_customerio", *(source / "examples").glob("walker-*")]
    for project in projects:
        wheel = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels)
        succeed(sys.executable, *PIP, *wheel, project, cwd=folder)
    return sorted(wheels.glob("*.whl"))


def license_of(wheel: Path) -> bytes | None:
    """Return the license that a wheel brings."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith("/licenses/LICENSE")]
        return archive.read(names[0]) if names else None


def flow_over_all() -> str:
    """Return the shop's second flow with a file of the core beside its plugins."""
    flow = json.loads((EXAMPLES / "shop" / "warehouse.json").read_text("utf-8"))
    flow["flows"]["default"]["destinations"]["archive"] = {
        "package": "file",
        "config": {"settings": {"path": "$var.output/archive.ndjson"}},
    }
    return json.dumps(flow)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def installed(sandbox: Sandbox, postgres: Database, tmp_path: Path) -> Installed:
    wheels = build_wheels(tmp_path)
    assert len(wheels) == 5
    assert set(map(license_of, wheels)) == {(ROOT / "LICENSE").read_bytes()}
    venv.create(tmp_path / "venv", with_pip=True)
    programs = tmp_path / "venv" / "bin"
    succeed(programs / "python", *PIP, "install", *wheels, cwd=tmp_path)
    (tmp_path / "flow.json").write_text(flow_over_all())
    shutil.copy(EXAMPLES / "shop" / "events.ndjson", tmp_path)
    needed = warehouse_environment(sandbox, postgres.url, tmp_path)
    return Installed(programs, tmp_path, {"PATH": os.environ["PATH"], **needed})


def test_all_plugins_work_together_and_each_can_go_alone(
    installed: Installed, sandbox: Sandbox, postgres: Database
) -> None:
    known = installed.known()
    assert known.keys() == {*PLUGINS, "console", "file", "http", "scrub", "otel"}
    assert set(known.values()) == {None}

    done = installed.walker("run", "flow.json", "events.ndjson")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Order Completed" in {event["name"] for event in sandbox.events}
    assert postgres.query("SELECT count(*) FROM orders") == [(24,)]
    with duckdb.connect(str(installed.folder / "shop.duckdb")) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchall() == [(24,)]
    archive = (installed.folder / "archive.ndjson").read_text("utf-8")
    assert "[email]" in archive, "the scrubbing extension was not at work"
    assert "@" not in archive

    done = installed.walker("new", "destination", "crm")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (installed.folder / "walker-dest-crm" / "tests" / "test_contract.py").exists()

    uninstall = ("uninstall", "--yes", "walker-dest-duckdb")
    succeed(installed.programs / "python", *PIP, *uninstall, cwd=installed.folder)
    done = installed.walker("validate", "flow.json")
    assert done.returncode == 1
    (problem,) = done.stdout.splitlines()
    assert problem.startswith(
        "destinations.duckdb.package: no destination plugin named duckdb is installed"
    )
    assert known.keys() - installed.known().keys() == {"duckdb"}

    flow = json.loads(flow_over_all())
    del flow["flows"]["default"]["destinations"]["duckdb"]
    (installed.folder / "flow.json").write_text(json.dumps(flow))
    done = installed.walker("run", "flow.json", "events.ndjson")
    assert done.returncode == 0, done.stdout + done.stderr
