"""The distributions as people get them: installed into environments of their own, and used."""

from pathlib import Path

import pytest

from tests.wheelhouse import Environment, copy_of_source, run

BUILT_IN = {"console", "file", "http"}

pytestmark = pytest.mark.usefixtures("package_index")


def destinations(environment: Environment, cwd: Path) -> set[str]:
    """The first words of the lines that `walker destinations` prints, as far as they are ids."""
    lines = run(environment.programs / "walker", "destinations", cwd=cwd).splitlines()
    words = {word for line in lines for word in line.split()[:2]}
    return words & {*BUILT_IN, "customerio"}


def test_core_alone_has_three_destinations_and_the_plugin_brings_the_fourth(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install(wheels["walker_collector"])
    assert destinations(environment, tmp_path) == BUILT_IN
    environment.install(wheels["walker_dest_customerio"])
    assert destinations(environment, tmp_path) == {*BUILT_IN, "customerio"}


def test_both_install_from_a_checkout_by_one_command(tmp_path: Path) -> None:
    source = copy_of_source(tmp_path / "source")
    environment = Environment(tmp_path / "venv")
    environment.install(source, source / "walker_dest_customerio")
    assert destinations(environment, tmp_path) == {*BUILT_IN, "customerio"}
