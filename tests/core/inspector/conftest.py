"""Quick looks: a page gets its figures without the second between."""

import pytest

from walker_collector.inspector import live


@pytest.fixture(autouse=True)
def _quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "INTERVAL", 0.05)
