"""The examples build on what is public, as anybody's plugin must."""

from pathlib import Path

import pytest

import walker_collector
from tests.test_architecture import ROOT, imports_of_the_core

EXAMPLES = sorted((ROOT / "examples").glob("walker-*/walker_*"))


@pytest.mark.parametrize("package", EXAMPLES, ids=lambda path: path.name)
def test_example_uses_public_names_of_the_core_only(package: Path) -> None:
    used = {use for path in package.rglob("*.py") for use in imports_of_the_core(path)}
    assert {module for module, _ in used} == {"walker_collector"}
    assert {name for _, name in used} <= set(walker_collector.__all__)


def test_every_example_is_looked_at() -> None:
    names = {"walker_dest_duckdb", "walker_dest_postgres", "walker_ext_scrub"}
    assert {path.name for path in EXAMPLES} == names
