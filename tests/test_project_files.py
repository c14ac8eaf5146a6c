"""The files around the code say the same as the code, the Makefile and CI."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parent.parent
PROJECTS: Final = (".", "walker_dest_customerio")
FOR_DEVELOPERS: Final = {"bench", "dev", "docs", "test"}


def project(folder: str) -> dict[str, Any]:
    """The table `project` of a package's pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / folder / "pyproject.toml").read_text("utf-8"))
    return dict(table["project"])


def test_packages_have_the_same_urls() -> None:
    assert project(PROJECTS[0])["urls"] == project(PROJECTS[1])["urls"]


def test_urls_lead_to_files_of_the_repository() -> None:
    urls = project(".")["urls"]
    paths = [re.search(r"/(?:tree|blob)/main/(.+)", url) for url in urls.values()]
    assert all((ROOT / path[1]).exists() for path in paths if path)


def test_pre_commit_runs_the_same_as_make_check() -> None:
    hooks = re.findall(
        r"entry: \.venv/bin/(.+)", (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    )
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipes = [
        re.search(rf"^{name}:.*\n((?:\t.+\n)+)", makefile, re.M) for name in ("lint", "check")
    ]
    commands = [
        line.strip().removeprefix("$(BIN)/").removesuffix(" .")
        for recipe in recipes
        for line in (recipe[1] if recipe else "").splitlines()
    ]
    assert [hook.replace(" --force-exclude", "") for hook in hooks] == commands


def test_demo_installs_packages_whose_types_are_found() -> None:
    """Type checkers do not follow the import hook of an editable installation."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = re.search(r"^\$\(DEMO\):.*\n((?:\t.+\n)+)", makefile, re.M)
    assert recipe is not None
    assert "$(PIP)" in recipe[1]
    assert "--editable" not in recipe[1]


def test_picture_of_the_readme_is_small() -> None:
    """It is loaded with the page; `python -m tests.inspector.picture` takes it."""
    assert (ROOT / "docs" / "inspector.png").stat().st_size <= 150_000


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "RELEASING.md"])
def test_verbs_and_files_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    verbs = set(re.findall(r"(?:`|^ +)make ([\w-]+)", text, re.MULTILINE))
    assert [verb for verb in verbs if not re.search(rf"^{verb}:", makefile, re.M)] == []
    files = re.findall(r"`((?:\.?\w+/)+\w+\.\w+|\w+\.md|\.[\w-]+\.yaml)`", text)
    places = (ROOT, ROOT / "walker_collector", ROOT / "walker_dest_customerio")
    missing = [file for file in files if not any((place / file).exists() for place in places)]
    assert missing == []


def test_workflow_that_publishes_trusts_no_action_that_can_change() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text("utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    actions = [step["uses"] for step in steps if "uses" in step]
    assert actions
    assert [name for name in actions if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", name)] == []


def test_workflow_publishes_both_packages_each_from_its_own_environment() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text("utf-8"))
    job = workflow["jobs"]["publish"]
    packages = job["strategy"]["matrix"]["package"]
    assert packages == [project(folder)["name"] for folder in PROJECTS]
    assert job["permissions"] == {"id-token": "write"}
    assert workflow["permissions"] == {"contents": "read"}
    page = (ROOT / "RELEASING.md").read_text("utf-8")
    for package in packages:
        environment = job["environment"]["name"].replace("${{ matrix.package }}", package)
        assert f"`{environment}`" in page


@pytest.mark.parametrize("folder", PROJECTS)
def test_page_about_installing_names_every_extra_for_users(folder: str) -> None:
    about = project(folder)
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    named = set(re.findall(rf"^\| `{about['name']}\[(\w+)\]`", page, re.MULTILINE))
    assert named == about["optional-dependencies"].keys() - FOR_DEVELOPERS
