"""Both distributions as people get them: built, installed in environments of their own, and used.

Needs the package index that pip is configured for.
"""

import shutil
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUILT_IN = {"console", "file", "http"}
INSTALL = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged: building leaves folders behind."""
    copy = tmp_path_factory.mktemp("source")
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "dist")
    for folder in ("walker_collector", "walker_dest_customerio"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=skip)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    return copy


@pytest.fixture(scope="module")
def wheels(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each distribution's wheel, made from its source distribution."""
    out = tmp_path_factory.mktemp("wheels")
    for folder in (source, source / "walker_dest_customerio"):
        run(sys.executable, "-m", "build", "--outdir", out, folder, cwd=out)
    return {path.name.split("-")[0]: path for path in out.glob("*.whl")}


def environment(folder: Path) -> Path:
    """Make a virtualenv; return its folder of programs."""
    venv.create(folder, with_pip=True)
    return folder / "bin"


def destinations(programs: Path, cwd: Path) -> set[str]:
    """The first words of the lines that `walker destinations` prints, as far as they are ids."""
    lines = run(programs / "walker", "destinations", cwd=cwd).splitlines()
    words = {word for line in lines for word in line.split()[:2]}
    return words & {*BUILT_IN, "customerio"}


@pytest.mark.parametrize("package", ["walker_collector", "walker_dest_customerio"])
def test_wheel_holds_its_package_with_types_and_no_tests(
    package: str, wheels: dict[str, Path]
) -> None:
    with zipfile.ZipFile(wheels[package]) as wheel:
        names = wheel.namelist()
    assert f"{package}/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {package}


def test_every_module_of_the_plugin_is_in_its_wheel(wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels["walker_dest_customerio"]) as wheel:
        packed = {name for name in wheel.namelist() if name.endswith(".py")}
    folder = ROOT / "walker_dest_customerio"
    there = {str(path.relative_to(ROOT)) for path in folder.rglob("*.py")}
    assert packed == {name for name in there if "/build/" not in name}


@pytest.mark.parametrize("package", ["walker_collector", "walker_dest_customerio"])
def test_metadata_says_what_a_person_needs_to_choose(package: str, wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels[package]) as wheel:
        file = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        about = Parser().parsestr(wheel.read(file).decode())
    assert about["Name"] == package.replace("_", "-")
    assert about["Summary"]
    assert about["License-Expression"] == "MIT"
    assert about["Requires-Python"] == ">=3.11"
    assert "Typing :: Typed" in about.get_all("Classifier", [])
    assert "# " in about.get_payload()


@pytest.mark.parametrize("package", ["walker_collector", "walker_dest_customerio"])
def test_wheel_brings_the_license(package: str, wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels[package]) as wheel:
        (file,) = (name for name in wheel.namelist() if name.endswith("/licenses/LICENSE"))
        assert wheel.read(file) == (ROOT / "LICENSE").read_bytes()


def test_core_alone_has_three_destinations_and_the_plugin_brings_the_fourth(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    programs = environment(tmp_path / "venv")
    run(programs / "python", *INSTALL, wheels["walker_collector"], cwd=tmp_path)
    assert destinations(programs, tmp_path) == BUILT_IN
    run(programs / "python", *INSTALL, wheels["walker_dest_customerio"], cwd=tmp_path)
    assert destinations(programs, tmp_path) == {*BUILT_IN, "customerio"}


def test_both_install_from_a_checkout_by_one_command(source: Path, tmp_path: Path) -> None:
    programs = environment(tmp_path / "venv")
    plugin = source / "walker_dest_customerio"
    run(programs / "python", *INSTALL, source, plugin, cwd=tmp_path)
    assert destinations(programs, tmp_path) == {*BUILT_IN, "customerio"}
