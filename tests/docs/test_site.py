"""The documentation as a site: built with warnings as errors, and in step with the code."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.docs.pages import ROOT
from walker_collector.flow import load_flow

DOCS = ROOT / "docs"
SCHEMA = DOCS / "reference" / "flow.schema.json"
STRICT = ("-W", "-n", "--keep-going", "-q", "-b", "html")


def build(docs: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *STRICT, "-d", site / "doctrees", docs, site / "html"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without a warning."""
    folder = tmp_path_factory.mktemp("site")
    done = build(DOCS, folder)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = {path.relative_to(DOCS).with_suffix("") for path in DOCS.rglob("*.md")}
    made = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    assert pages <= made


def test_api_pages_say_what_docstrings_say(site: Path) -> None:
    page = (site / "reference" / "api.html").read_text("utf-8")
    for name in ("Collector.push", "Collector.consent", "DestinationDown", "Registry.find"):
        assert f'id="walker_collector.{name}"' in page


def test_schema_is_published_with_the_site(site: Path) -> None:
    assert (site / "flow.schema.json").read_bytes() == SCHEMA.read_bytes()


@pytest.mark.parametrize("link", ["nowhere.md", "other.md#no-such-heading"])
def test_dead_link_fails_the_build(link: str, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(DOCS / "_ext", docs / "_ext")
    shutil.copytree(DOCS / "reference", docs / "reference", ignore=shutil.ignore_patterns("*.md"))
    shutil.copy(DOCS / "conf.py", docs)
    (docs / "other.md").write_text("# Other\n")
    (docs / "index.md").write_text(f"# Index\n\n[link]({link})\n\n```{{toctree}}\nother\n```\n")
    done = build(docs, tmp_path / "site")
    assert done.returncode == 1
    assert f"not found: '{link}'" in done.stderr or "'other': 'no-such-heading'" in done.stderr


def test_generated_pages_are_in_step_with_the_code() -> None:
    done = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


FLOW = {
    "$schema": "./flow.schema.json",
    "version": 4,
    "destinations": {"screen": {"package": "console", "config": {"data": "data"}}},
}


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes()))


def test_flow_may_name_its_schema(schema: jsonschema.Draft202012Validator) -> None:
    schema.validate(FLOW)
    assert list(load_flow(FLOW).destinations) == ["screen"]


def test_schema_marks_a_mistake(schema: jsonschema.Draft202012Validator) -> None:
    wrong = {**FLOW, "destinations": {"screen": {"package": "console", "config": {"dta": "data"}}}}
    with pytest.raises(jsonschema.ValidationError, match="'dta' was unexpected"):
        schema.validate(wrong)


@pytest.mark.parametrize(
    "flow", sorted(ROOT.glob("examples/*/flow.json")), ids=lambda path: path.parent.name
)
def test_flows_of_the_examples_hold_to_the_schema(
    flow: Path, schema: jsonschema.Draft202012Validator
) -> None:
    schema.validate(json.loads(flow.read_text("utf-8")))
