"""Tutorials and how-to guides: following them leads where they say."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import GUIDES, ROOT, Block, dead_links, installed, parts
from tests.docs.shell import Shell

README = ROOT / "README.md"

SANDBOX = """$ python -m walker_dest_customerio.sandbox --port 8443 --ca-file ca.pem
A local Customer.io is running. Ctrl-C ends it.
"""
VARIABLES = """$ export CIO_SITE_ID=sandbox-site CIO_API_KEY=sandbox-api-key CIO_CA_FILE=ca.pem
$ export CIO_TRACK_URL=https://127.0.0.1:8443
"""
SERVE = """$ walker serve flow.json --port 8080
http: http://127.0.0.1:8080/collect
"""

guides = pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)


@guides
def test_guide_leads_where_it_says(path: Path, shell: Shell) -> None:
    """The environment holds only what the guide installs."""
    shell.follow(parts(path))


def test_what_the_readme_installs_is_enough_for_all_of_it(shell: Shell) -> None:
    line = re.search(r"^pip install .+$", README.read_text("utf-8"), re.MULTILINE)
    assert line is not None
    names = line[0].replace('"./walker_dest_customerio', '"walker-dest-customerio')
    assert shell.type(names.replace('".[', '"walker-collector[')) == ""
    shell.follow([Block(0, "console", "stays", SANDBOX), Block(0, "console", "", VARIABLES)])
    shell.follow(parts(README))
    post = re.search(r"```sh\n(curl http.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert post is not None
    line = post[1].strip().replace("\\\n", "").replace("\n", " ")
    answered = f'$ {line} --silent; echo\n{{"success":true,...}}\n'
    shell.follow([Block(0, "console", "stays", SERVE), Block(0, "console", "", answered)])


@guides
def test_guide_says_how_to_install_from_a_checkout(path: Path) -> None:
    text = path.read_text("utf-8")
    assert installed(path)
    assert re.search(r"`pip install (?:.* )?[\"']?PATH\b", text)


@guides
def test_links_of_guide_lead_somewhere(path: Path) -> None:
    assert list(dead_links(path)) == []
