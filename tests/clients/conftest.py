"""Clients from their registries, and the browser."""

import shutil
from pathlib import Path

import pytest

from tests.services import missing
from tests.wheelhouse import Environment, once_for_all, run

HERE = Path(__file__).parent
NPM = ("npm", "install", "--silent", "--no-package-lock", "--no-audit", "--no-fund")


def _install_for_node(folder: Path) -> None:
    shutil.copy(HERE / "package.json", folder)
    run(*NPM, "--ignore-scripts", cwd=folder)


def _install_for_python(folder: Path) -> None:
    Environment(folder / "venv").install(
        "segment-analytics-python==2.4.0", "customerio-cdp-analytics==1.1.0"
    )


@pytest.fixture(scope="session")
def node_packages(shared_folder: Path) -> Path:
    """The folder with the `node_modules` of the clients for Node and for pages."""
    if shutil.which("npm") is None:
        missing("npm is not installed (Debian: npm)")
    try:
        return once_for_all(shared_folder / "clients-node", _install_for_node)
    except AssertionError as error:
        missing(f"npm cannot install the clients: {error}")


@pytest.fixture(scope="session")
def python_packages(package_index: None, shared_folder: Path) -> Path:
    """The interpreter of a virtualenv with the SDKs for Python."""
    folder = once_for_all(shared_folder / "clients-python", _install_for_python)
    return folder / "venv" / "bin" / "python"
