"""The snippets of the guide for Segment's SDKs, against a served flow."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.clients.support import served
from tests.docs.pages import ROOT, Block, parts

pytestmark = pytest.mark.services("npm", "a package index")

HOST = "https://events.shop.example"
KEYS = {"server": {"key": "server-0123456789", "trusted": True}}
SNIPPETS = [
    part
    for part in parts(ROOT / "docs" / "howto" / "from-segment.md")
    if isinstance(part, Block)
    and part.language in ("python", "js")
    and "from walker_collector" not in part.text  # sends nothing
]


def test_there_is_a_snippet_for_each_sdk() -> None:
    assert len(SNIPPETS) == 4
    assert all(HOST in snippet.text for snippet in SNIPPETS)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.text.split("\n")[0])
def test_snippet_sends_its_call(
    snippet: Block, node_packages: Path, python_packages: Path, tmp_path: Path
) -> None:
    programs = {"python": python_packages, "js": "node"}
    with served(tmp_path, keys=KEYS) as collector:
        subprocess.run(
            [programs[snippet.language], "-"],
            input=snippet.text.replace(HOST, collector.host),
            env={**os.environ, "NODE_PATH": str(node_packages / "node_modules")},
            text=True,
            timeout=60,
            check=True,
        )
        (event,) = collector.events(1)
    assert (event["name"], event["user"], event["data"]) == (
        "order completed",
        {"id": "ines"},
        {"total": 25.5},
    )
