"""Nobody waits for somebody else's trouble, for longer."""

from pathlib import Path

import pytest

from tests.integration.bursts import Bursts, Way, run


@pytest.mark.parametrize("way", ["push", "index"])
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
def test_the_others_events_are_out_within_a_second(tmp_path: Path, durable: bool, way: Way) -> None:
    bursts = Bursts(way)
    times = run(bursts, tmp_path / "spool.db" if durable else None)
    assert times.late(bursts, 1.0) == {}


def test_half_of_all_people_in_trouble_do_not_stop_the_other_half(tmp_path: Path) -> None:
    bursts = Bursts("index", poisonous=500)
    assert run(bursts).late(bursts, 1.0) == {}
