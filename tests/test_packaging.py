"""The distributions as they are published: what is in their wheels, and what these say."""

import re
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from readme_renderer import markdown

from tests.wheelhouse import PUBLISHED, ROOT

published = pytest.mark.parametrize("package", sorted(PUBLISHED))

Wheels = dict[str, Path]


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(wheel: Path) -> Message:
    """Return what a wheel says of itself."""
    (text,) = (text for name, text in contents(wheel).items() if name.endswith("/METADATA"))
    return Parser().parsestr(text.decode())


def test_every_distribution_is_built(wheels: Wheels) -> None:
    examples = {path.name for path in ROOT.glob("examples/walker-*/walker_*")}
    assert wheels.keys() == PUBLISHED | examples


@published
def test_wheel_holds_its_package_with_types_and_no_tests(package: str, wheels: Wheels) -> None:
    names = contents(wheels[package]).keys()
    assert f"{package}/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {package}


def test_every_module_of_the_plugin_is_in_its_wheel(wheels: Wheels) -> None:
    packed = {name for name in contents(wheels["walker_dest_customerio"]) if name.endswith(".py")}
    folder = ROOT / "walker_dest_customerio"
    there = {str(path.relative_to(ROOT)) for path in folder.rglob("*.py")}
    assert packed == {name for name in there if "/build/" not in name}


def test_statements_of_the_spool_are_in_the_wheel_of_the_core(wheels: Wheels) -> None:
    packed = {name for name in contents(wheels["walker_collector"]) if name.endswith(".sql")}
    there = (ROOT / "walker_collector").rglob("*.sql")
    assert packed == {str(path.relative_to(ROOT)) for path in there} != set()


@published
def test_metadata_says_what_a_person_needs_to_choose(package: str, wheels: Wheels) -> None:
    about = metadata(wheels[package])
    assert about["Name"] == package.replace("_", "-")
    assert about["Summary"]
    assert about["License-Expression"] == "MIT"
    assert about["Requires-Python"] == ">=3.11"
    assert "Typing :: Typed" in about.get_all("Classifier", [])
    assert "# " in about.get_payload()


@published
def test_classifiers_name_what_is_tested(package: str, wheels: Wheels) -> None:
    classifiers = metadata(wheels[package]).get_all("Classifier", [])
    versions = {text for text in classifiers if re.fullmatch(r".*Python :: 3\.\d+", text)}
    others = re.findall(r"\$\(interpreter (.*?)\)", (ROOT / ".ci" / "run").read_text("utf-8"))
    assert versions == {f"Programming Language :: Python :: {v}" for v in ("3.11", *others)}
    systems = {text for text in classifiers if text.startswith("Operating System")}
    # Windows: what needs no spool, as tests/core/test_portability.py has it.
    assert systems == {"Operating System :: POSIX", "Operating System :: Microsoft :: Windows"}


@published
def test_metadata_leads_to_the_project(package: str, wheels: Wheels) -> None:
    urls = dict(url.split(", ", 1) for url in metadata(wheels[package]).get_all("Project-URL", []))
    assert urls.keys() == {"Homepage", "Repository", "Documentation", "Changelog", "Issues"}
    assert all(url.startswith(urls["Repository"]) for url in urls.values())


@published
def test_long_description_renders_with_links_that_work_elsewhere(
    package: str, wheels: Wheels
) -> None:
    about = metadata(wheels[package])
    assert about["Description-Content-Type"].startswith("text/markdown")
    page = markdown.render(about.get_payload())
    assert page is not None
    assert "<table>" in page
    links = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert [
        link for link in links if not link.startswith(("https://", "http://127.0.0.1", "#"))
    ] == []
    paths = [link.partition("/main/")[2].partition("#")[0] for link in links]
    assert [path for path in paths if not (ROOT / path).exists()] == []


@published
def test_source_distribution_has_what_builds_the_wheel(package: str, wheels: Wheels) -> None:
    """The wheels of the tests are built from it."""
    (source,) = wheels[package].parent.glob(f"{package}-*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO"} <= names


def test_every_wheel_brings_the_license(wheels: Wheels) -> None:
    for wheel in wheels.values():
        files = contents(wheel)
        (name,) = (name for name in files if name.endswith("/licenses/LICENSE"))
        assert files[name] == (ROOT / "LICENSE").read_bytes()
