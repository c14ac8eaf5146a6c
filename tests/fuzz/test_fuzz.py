"""What nobody means, in its short form: `tests/soak/test_fuzz.py` has the long one."""

from pathlib import Path

import pytest

from tests.forms import form
from tests.fuzz.answers import AnswerFuzz, Kind
from tests.fuzz.events import EventFuzz, LineFuzz
from tests.fuzz.flows import FlowFuzz


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "walker_collector")


@pytest.mark.long
def test_flow_of_any_kind_is_loaded_or_refused_with_its_problems(tmp_path: Path) -> None:
    fuzz = FlowFuzz(tmp_path, seed=1)
    fuzz.run(form(250, 2_000))
    assert fuzz.watch.found == []
    assert fuzz.valid > 20


@pytest.mark.long
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
def test_object_of_any_kind_is_accepted_or_refused(durable: bool, tmp_path: Path) -> None:
    fuzz = EventFuzz(tmp_path / "spool.db" if durable else None, seed=1)
    fuzz.run(form(250, 2_000))
    fuzz.finish()
    assert fuzz.watch.found == []
    assert fuzz.accepted > 20


def test_line_of_any_kind_is_read_or_reported(tmp_path: Path) -> None:
    fuzz = LineFuzz(tmp_path, seed=1)
    fuzz.run(2_000)
    assert fuzz.watch.found == []


@pytest.mark.long
@pytest.mark.parametrize("seed", form([1], [*range(1, 11)]))
@pytest.mark.parametrize("kind", ["batch", "single", "http", "http batch"])
def test_event_ends_once_or_waits_whatever_is_answered(
    kind: Kind, seed: int, tmp_path: Path
) -> None:
    fuzz = AnswerFuzz(kind, seed, tmp_path, durable=seed % 2 == 0)
    fuzz.run(form(30, 1_000))
    assert fuzz.found == []
    assert fuzz.delivered > fuzz.died
