"""The long description: the README, with links that also work away from the repository.

Everything else is in pyproject.toml.
"""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
PAGES = "https://github.com/walker-collector/walker-collector/blob/main/"
FILES = "https://raw.githubusercontent.com/walker-collector/walker-collector/main/"
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<path>(?!https?:|#)[^)\s]+)\)")


def _absolute(link: re.Match[str]) -> str:
    base = FILES if link["image"] else PAGES
    return f"{link['image']}[{link['text']}]({base}{link['path']})"


setup(
    long_description=LINK.sub(_absolute, (HERE / "README.md").read_text("utf-8")),
    long_description_content_type="text/markdown",
)
