from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.shell import Shell, make_environment


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables that lead to a virtualenv for what pages install."""
    return make_environment(tmp_path_factory.mktemp("environment") / "venv")


@pytest.fixture
def shell(tmp_path: Path, environment: dict[str, str]) -> Iterator[Shell]:
    """A person at a shell, in an empty folder."""
    shell = Shell(tmp_path, environment)
    yield shell
    shell.close()
