"""What many tests of the core run with and without."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(params=[False, True], ids=["memory", "durable"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """The path of a spool; and None: in memory."""
    return tmp_path / "spool.db" if request.param else None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, timeout=60, check=False).returncode:
        pytest.skip("cannot mount a small disk here")
    yield folder
    subprocess.run(["umount", str(folder)], timeout=60, check=True)
