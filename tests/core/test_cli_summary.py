"""What a run came to."""

import pytest

from walker_collector import DestinationStatus
from walker_collector.cli.summary import Summary, figures, print_summary


def came_to(unrecorded: int = 0) -> Summary:
    status = DestinationStatus(state="ready", delivered=1, unrecorded=unrecorded)
    return Summary(read=1, accepted=1, destinations={"there": figures(status)})


def test_what_could_not_be_recorded_fails_the_run_and_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert came_to().ok
    print_summary(came_to())
    assert "unrecorded" not in capsys.readouterr().err
    assert not came_to(unrecorded=1).ok
    print_summary(came_to(unrecorded=1))
    assert "unrecorded" in capsys.readouterr().err
