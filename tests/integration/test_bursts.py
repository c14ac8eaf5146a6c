"""The events of people whose deliveries never succeed are in nobody's way."""

from pathlib import Path

import pytest

from tests.integration.bursts import Bursts, Way, run


@pytest.mark.parametrize(("way", "durable"), [("index", False), ("push", True)])
def test_other_peoples_events_are_out_within_a_second(
    tmp_path: Path, way: Way, durable: bool
) -> None:
    bursts = Bursts(way, seconds=2)
    times = run(bursts, tmp_path / "spool.db" if durable else None)
    assert times.late(bursts, 1.0) == {}
