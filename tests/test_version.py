"""One version for both packages: said once in each, and by what is installed."""

import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import walker_collector
import walker_dest_customerio

ROOT = Path(__file__).parent.parent


def test_both_packages_have_one_version() -> None:
    assert walker_dest_customerio.__version__ == walker_collector.__version__


@pytest.mark.parametrize("package", [walker_collector, walker_dest_customerio])
def test_installed_version_is_that_of_the_code(package: object) -> None:
    name = package.__name__  # type: ignore[attr-defined]  # of a module
    assert version(name.replace("_", "-")) == package.__version__, "run `make setup` again"


@pytest.mark.parametrize("folder", [".", "walker_dest_customerio"])
def test_no_version_is_written_twice(folder: str) -> None:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text("utf-8"))["project"]
    assert "version" not in project
    assert "version" in project["dynamic"]


def test_plugin_asks_for_a_core_of_this_version() -> None:
    asked = [Requirement(text) for text in requires("walker-dest-customerio") or ()]
    (core,) = (one for one in asked if one.name == "walker-collector")
    assert walker_collector.__version__ in core.specifier
