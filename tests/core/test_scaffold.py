"""`walker new`: what it writes is a package that works as it is."""

import os
import re
import runpy
import sqlite3
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.forms import form
from walker_collector.cli import main
from walker_collector.errors import ScaffoldError
from walker_collector.scaffold import DestinationKind, new_destination, new_extension, new_source

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package just made. Its class, TestCrmDestination, must not be taken for a test."""
    folder = tmp_path_factory.mktemp("new")
    new_destination("test-crm", folder)
    return folder / "walker-dest-test-crm"


@pytest.fixture(scope="module")
def installed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with that package installed."""
    target = tmp_path_factory.mktemp("installed")
    pip = ("pip", "install", "--quiet", "--no-deps", "--no-build-isolation")
    run(project, "-m", *pip, "--target", str(target), str(project))
    return target


def run(project: Path, *command: str, path: Path | str | None = None) -> str:
    env = {**os.environ, "PYTHONPATH": str(path or ""), "MYPYPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_tests_pass_as_they_are(project: Path, installed: Path) -> None:
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error")
    report = run(project, *command, path=installed)
    assert "passed" in report
    assert "failed" not in report


INSTALLED = ("console", "file", "http", "otel", "redact", "sample")
KINDS = ("sdk", "store", "source", "extension")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A package of each other kind."""
    folder = tmp_path_factory.mktemp("others")
    new_destination("my-sdk", folder, "sdk")
    new_destination("my-store", folder, "store")
    new_source("my-source", folder)
    new_extension("my-extension", folder)
    return {kind: next(folder.glob(f"walker-*-my-{kind}")) for kind in KINDS}


def pretend_installed(project: Path) -> None:
    """Add the metadata that an installation writes, where Python finds it: beside the package."""
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    ((group, points),) = about["entry-points"].items()
    info = project / f"{about['name'].replace('-', '_')}-0.1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: 0.1.0\n"
    )
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")


def test_the_tests_of_every_kind_pass_as_they_are(others: dict[str, Path]) -> None:
    for project in others.values():
        pretend_installed(project)
    path = os.pathsep.join(map(str, others.values()))
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode", "importlib")
    report = run(others["sdk"].parent, *command, *map(str, others.values()), path=path)
    assert re.search(r"\b1\d\d passed", report)
    assert "entry point" not in report  # of what was not tested


def test_store_keeps_the_rows_of_all_threads(others: dict[str, Path], tmp_path: Path) -> None:
    store = runpy.run_path(str(others["store"] / "walker_dest_my_store" / "store.py"))["Store"](
        str(tmp_path / "rows.db"), 5.0
    )

    def write(batch: int) -> None:
        store.write([(f"{batch}-{row}", 0, "order complete", None, "{}") for row in range(20)])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(200)))
    store.close()
    with closing(sqlite3.connect(tmp_path / "rows.db")) as db:
        assert db.execute("SELECT count(*) FROM events").fetchone() == (4_000,)


def test_its_code_is_typed_and_formatted(project: Path, others: dict[str, Path]) -> None:
    folders = [str(project), *map(str, others.values())]
    run(project, "-m", "ruff", "check", "--no-cache", *folders)
    run(project, "-m", "ruff", "format", "--no-cache", "--check", *folders)
    for each in (project, *form([], list(others.values()))):
        run(each, "-m", "mypy", "--no-incremental")


def test_it_is_found_where_it_is_installed(project: Path, installed: Path) -> None:
    listed = run(project, "-m", "walker_collector", "destinations", path=installed)
    assert "walker-dest-test-crm" in listed
    assert "cannot be used" not in listed


def test_it_depends_on_versions_that_keep_the_contract(project: Path) -> None:
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert about["name"] == "walker-dest-test-crm"
    assert "walker-collector>=0.1,<0.2" in about["dependencies"]


def test_nothing_of_the_template_is_left_over(project: Path, others: dict[str, Path]) -> None:
    for path in (path for each in (project, *others.values()) for path in each.rglob("*")):
        if path.suffix in (".py", ".toml", ".md"):
            text = path.read_text()
            assert "$module" not in text
            assert "$$" not in text
        assert path.suffix != ".template"


@pytest.mark.parametrize(
    "name", ["", "MyCrm", "my_crm", "1st", "-crm", "crm-", "a b", "../up", "c" * 41]
)
def test_name_that_no_package_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match="such as my-crm"):
        new_destination(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["console", "http"])
def test_name_of_an_installed_destination_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match=f"{name} is installed already"):
        new_destination(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def _written(name: str, folder: Path, kind: DestinationKind) -> list[Path]:
    into = folder / kind
    into.mkdir(exist_ok=True)
    return new_destination(name, into, kind)


@given(name=st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,3}", fullmatch=True))
def test_every_valid_name_makes_valid_python(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assume(len(name) <= 40 and name not in INSTALLED)
    folder = tmp_path_factory.mktemp("names")
    written = [
        *(path for kind in get_args(DestinationKind) for path in _written(name, folder, kind)),
        *new_source(name, folder),
        *new_extension(name, folder),
    ]
    for path in written:
        if path.suffix == ".py":
            compile(path.read_text(), path, "exec")


def test_what_exists_is_not_written_over(tmp_path: Path) -> None:
    new_destination("crm", tmp_path)
    readme = tmp_path / "walker-dest-crm" / "README.md"
    readme.write_text("mine")
    with pytest.raises(ScaffoldError, match="exists already"):
        new_destination("crm", tmp_path)
    assert readme.read_text() == "mine"


def test_command_writes_the_package_and_says_what_comes_next(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["new", "destination", "crm", "--into", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "walker-dest-crm" / "walker_dest_crm" / "settings.py") in done.stdout
    assert "pip install -e" in done.stderr


def test_command_writes_the_kind_that_is_asked_for(tmp_path: Path) -> None:
    into = ("--into", str(tmp_path))
    done = CliRunner().invoke(main, ["new", "destination", "lake", "--kind", "store", *into])
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "walker-dest-lake" / "walker_dest_lake" / "store.py") in done.stdout
    done = CliRunner().invoke(main, ["new", "source", "queue", *into])
    assert done.exit_code == 0, done.output
    assert (
        str(tmp_path / "walker-source-queue" / "walker_source_queue" / "source.py") in done.stdout
    )
    done = CliRunner().invoke(main, ["new", "extension", "tidy", *into])
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "walker-ext-tidy" / "walker_ext_tidy" / "extension.py") in done.stdout


@pytest.mark.parametrize("name", ["http", "file"])
def test_name_of_an_installed_source_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match=f"a source named {name} is installed already"):
        new_source(name, tmp_path)


@pytest.mark.parametrize("name", ["redact", "sample"])
def test_name_of_an_installed_extension_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match=f"an extension named {name} is installed already"):
        new_extension(name, tmp_path)


def test_command_says_what_is_wrong_with_a_name(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["new", "destination", "My CRM", "--into", str(tmp_path)])
    assert done.exit_code == 1
    assert "such as my-crm" in done.stderr


def test_help_says_in_one_line_what_each_command_writes() -> None:
    done = CliRunner().invoke(main, ["new", "--help"])
    assert "Write the package of a destination called NAME." in done.stdout
    assert "Write the package of a source called NAME." in done.stdout
    assert "Write the package of an extension called NAME." in done.stdout
