"""Boundaries that import contracts cannot see."""

import ast
from collections.abc import Iterator
from pathlib import Path

import walker_collector
from walker_collector import clients

ROOT = Path(__file__).parent.parent
PUBLIC = {
    *(("walker_collector", name) for name in walker_collector.__all__),
    *(("walker_collector.clients", name) for name in clients.__all__),
}
"""Module and name of everything that plugins may import."""


def imports_of_the_core(path: Path) -> Iterator[tuple[str, str]]:
    """Module and name of each thing a file takes from `walker_collector`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("walker_collector"):
            for alias in node.names:
                yield node.module or "", alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("walker_collector"):
                    yield alias.name, "*"


def test_the_plugin_uses_public_names_of_the_core_only() -> None:
    files = (ROOT / "walker_dest_customerio").rglob("*.py")
    used = {use for path in files for use in imports_of_the_core(path)}
    assert ("walker_collector", "hookimpl") in used
    assert ("walker_collector.clients", "RateLimiter") in used
    assert used <= PUBLIC


def test_every_public_name_is_there() -> None:
    modules = {"walker_collector": walker_collector, "walker_collector.clients": clients}
    assert [use for use in PUBLIC if not hasattr(modules[use[0]], use[1])] == []
