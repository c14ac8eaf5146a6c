"""The examples use public names only, like any plugin."""

from pathlib import Path

import pytest

from tests.test_architecture import PUBLIC, ROOT, imports_of_the_core

EXAMPLES = sorted((ROOT / "examples").glob("walker-*/walker_*"))


@pytest.mark.parametrize("package", EXAMPLES, ids=lambda path: path.name)
def test_example_uses_public_names_of_the_core_only(package: Path) -> None:
    used = {use for path in package.rglob("*.py") for use in imports_of_the_core(path)}
    assert ("walker_collector", "hookimpl") in used
    assert used <= PUBLIC


def test_every_example_is_looked_at() -> None:
    names = {"walker_dest_duckdb", "walker_dest_postgres", "walker_ext_scrub"}
    assert {path.name for path in EXAMPLES} == names
