"""All distributions as people get them: installed together, used; then one is removed."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pytest
from attrs import frozen

from tests.plugins.conftest import Database
from tests.plugins.support import EXAMPLES, warehouse_environment
from tests.wheelhouse import Environment
from walker_dest_customerio.sandbox import Sandbox

PLUGINS = {"customerio", "duckdb", "postgres"}


@frozen
class Installed:
    """A virtualenv with all distributions, a flow over all of them, and its surroundings."""

    packages: Environment
    folder: Path
    variables: Mapping[str, str]

    def walker(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.packages.programs / "walker", *arguments],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def known(self) -> dict[str, str | None]:
        """What `walker destinations` knows: name -> error."""
        listed = json.loads(self.walker("destinations", "--json").stdout)
        return {info["name"]: info["error"] for info in listed}


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
def installed(
    sandbox: Sandbox,
    postgres: Database,
    package_index: None,
    wheels: dict[str, Path],
    tmp_path: Path,
) -> Installed:
    environment = Environment(tmp_path / "venv")
    environment.install(*wheels.values())
    (tmp_path / "flow.json").write_text(flow_over_all())
    shutil.copy(EXAMPLES / "shop" / "events.ndjson", tmp_path)
    needed = warehouse_environment(sandbox, postgres.url, tmp_path)
    return Installed(environment, tmp_path, {"PATH": os.environ["PATH"], **needed})


def test_all_plugins_work_together_and_each_can_go_alone(
    installed: Installed, sandbox: Sandbox, postgres: Database
) -> None:
    known = installed.known()
    assert known.keys() == {
        *PLUGINS,
        "console",
        "file",
        "http",
        "kafka",
        "scrub",
        "otel",
        "sample",
        "redact",
    }
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

    installed.packages.pip("uninstall", "--yes", "walker-dest-duckdb")
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
