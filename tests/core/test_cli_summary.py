"""What a run came to."""

import pytest

from walker_collector import DestinationStatus
from walker_collector.cli.summary import Summary, print_reasons, print_summary, summarise
from walker_collector.spool import DeadLetter


def came_to(unrecorded: int = 0) -> Summary:
    status = DestinationStatus(state="ready", delivered=1, unrecorded=unrecorded)
    return Summary(read=1, accepted=1, destinations={"there": summarise(status)})


def test_what_could_not_be_recorded_fails_the_run_and_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert came_to().ok
    print_summary(came_to())
    assert "unrecorded" not in capsys.readouterr().err
    assert not came_to(unrecorded=1).ok
    print_summary(came_to(unrecorded=1))
    assert "unrecorded" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("summary", "told"),
    [
        (Summary(read=3, accepted=2), "3 read, 2 accepted, 1 not accepted"),
        (
            Summary(read=8, accepted=2, left_out=1, commands=1, bad=1),
            "8 read, 2 accepted, 3 not accepted, 1 left out, 1 command, 1 bad",
        ),
        (Summary(read=2, accepted=1, bad=1), "2 read, 1 accepted, 1 bad"),
    ],
)
def test_what_was_read_adds_up(
    summary: Summary, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_summary(summary)
    assert capsys.readouterr().err.splitlines()[0] == told


def letter(reason: str) -> DeadLetter:
    return DeadLetter(
        seq=1,
        destination="there",
        person="",
        accepted_at=1,
        body=b"{}",
        reason=reason,
        attempts=1,
        died_at=2,
    )


@pytest.mark.parametrize(
    ("everything", "told"),
    [
        (False, ["2 dead: a", "1 dead: b", "1 dead: c", "2 more reasons; `look` shows all"]),
        (True, ["2 dead: a", *(f"1 dead: {reason}" for reason in "bcde")]),
    ],
)
def test_reasons_that_are_not_shown_are_counted(
    everything: bool, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    print_reasons(map(letter, "abcdea"), "`look` shows all", everything=everything)
    assert capsys.readouterr().err.splitlines() == [f"warning: there: {line}" for line in told]
