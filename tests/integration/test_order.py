"""Whatever fails: each person's events arrive in order, each once, and none is lost."""

from pathlib import Path

import pytest

from tests.forms import form
from tests.integration.outages import Outage, faults_of, numbered, run


@pytest.mark.long
@pytest.mark.parametrize("seed", form([1], [*range(1, 9)]))
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("mode", ["batch", "single"])
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
def test_no_outage_reorders_loses_or_doubles_anything(
    tmp_path: Path, durable: bool, mode: str, workers: int, seed: int
) -> None:
    outage = Outage(seed, mode, workers, durable)
    emulator, dead = run(outage, tmp_path)
    assert faults_of(outage, emulator, numbered(dead)) == []
