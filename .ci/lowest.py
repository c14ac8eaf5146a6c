"""Print pip constraints that hold each dependency at the lowest version the packages allow.

    python .ci/lowest.py > constraints.txt

Of both distributions, and of the extras that people install to use them, not to develop them.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOR_DEVELOPERS = {"bench", "dev", "docs", "test"}
LOWEST = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[.*\])?\s*>=\s*(?P<version>[0-9.]+)")


def requirements(folder: Path) -> Iterator[str]:
    """Give what a distribution and its extras depend on."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    yield from project["dependencies"]
    for name, extra in project["optional-dependencies"].items():
        if name not in FOR_DEVELOPERS:
            yield from extra


def constraints() -> dict[str, str]:
    """Return the lowest version of each dependency; where both packages name one, the higher."""
    found: dict[str, str] = {}
    for folder in (ROOT, ROOT / "walker_dest_customerio"):
        for requirement in requirements(folder):
            match = LOWEST.match(requirement)
            assert match, f"{requirement} of {folder.name} has no lowest version (>=)"
            name, version = match["name"].lower(), match["version"]
            found[name] = max(found.get(name, "0"), version, key=_parts)
    found.pop("walker-collector")  # is here
    return found


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


if __name__ == "__main__":
    for name, version in sorted(constraints().items()):
        print(f"{name}=={version}")
