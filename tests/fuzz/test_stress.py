"""Destinations that do everything wrong, in its short form; the long one has a hundred seeds."""

from pathlib import Path

import pytest

from tests.forms import form
from tests.fuzz.stress import Stress


@pytest.mark.long
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
@pytest.mark.parametrize("seed", form([1, 2], [*range(1, 101)]))
def test_every_promise_holds_while_destinations_do_everything_wrong(
    seed: int, durable: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each accepted event ends once; consent, order, erasure and figures are as told."""
    caplog.set_level("CRITICAL", "walker_collector")
    stress = Stress(seed, tmp_path / "spool.db" if durable else None, rounds=form(4, 8))
    stress.run()
    assert stress.found == []
    assert len(stress.deliveries.begun) > 300
