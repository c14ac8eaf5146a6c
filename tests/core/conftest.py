"""What many tests of the core run with and without."""

from pathlib import Path

import pytest


@pytest.fixture(params=[False, True], ids=["memory", "durable"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """The path of a spool; and None: in memory."""
    return tmp_path / "spool.db" if request.param else None
