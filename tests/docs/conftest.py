from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import GUIDES, installed
from tests.docs.shell import Shell, make_environment
from tests.postgres_server import PostgresServer
from tests.wheelhouse import PIP, once_for_all, run


@pytest.fixture(scope="session")
def guide_wheels(shared_folder: Path, wheels: dict[str, Path], package_index: None) -> Path:
    """A folder with the wheels of all that guides install, and that those need."""
    built = wheels["walker_collector"].parent
    names = sorted({name for page in GUIDES for name in installed(page)})

    def download(folder: Path) -> None:
        # setuptools builds the packages that the tutorials write.
        what = (*names, "setuptools>=78.1.1")
        run(*PIP, "download", "--find-links", built, "--dest", folder, *what, cwd=folder)

    return once_for_all(shared_folder / "guide-wheels", download)


@pytest.fixture
def shell(tmp_path: Path, guide_wheels: Path, request: pytest.FixtureRequest) -> Iterator[Shell]:
    """A person at a shell, in an empty folder, with an empty virtualenv.

    A page that asks for `DATABASE_URL` has a database of PostgreSQL.
    """
    folder = tmp_path / "work"
    folder.mkdir()
    environment = make_environment(tmp_path / "venv", guide_wheels)
    page = request.node.callspec.params.get("path") if hasattr(request.node, "callspec") else None
    if page is not None and "DATABASE_URL" in page.read_text("utf-8"):
        server: PostgresServer = request.getfixturevalue("postgres_server")
        environment["DATABASE_URL"] = server.url("postgres")
    shell = Shell(folder, environment)
    yield shell
    shell.close()
