"""From outcomes to what the spool is told. Pure."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from walker_collector.config import RetryConfig
from walker_collector.delivery.outcome import (
    NOT_ATTEMPTED,
    Disposition,
    Outcome,
    OutcomeKind,
    dispose,
    in_order,
)
from walker_collector.spool import FRESH, Entry, UpdateKind

NOW = 1_000_000


def entry(seq: int, person: str = "a") -> Entry:
    return (seq, person, NOW - 60_000, b"{}")


def disposed(outcome: Outcome, *, failing: bool = False, chance: float = 1.0) -> Disposition:
    return dispose(
        entry(1),
        outcome,
        FRESH,
        RetryConfig(),
        failing=failing,
        now=NOW,
        age=60_000,
        random=lambda: chance,
    )


def test_wait_that_was_asked_for_is_kept_to_the_millisecond() -> None:
    assert disposed(Outcome("retry", "429", after=7.5)).due == NOW + 7_500


def test_failure_that_is_not_counted_waits_about_as_long_as_the_event_is_old() -> None:
    made = disposed(Outcome("retry", "503", counted=False))
    assert (made.due, made.delivery.count) == (NOW + 60_000, 0)
    assert disposed(Outcome("retry", "503", counted=False), chance=0.5).due == NOW + 30_000


def test_postponed_event_waits_no_longer_however_old_it_is_and_never_dies() -> None:
    outcome = Outcome("retry", "a call for its person is under way", after=0.05, postponed=True)
    made = dispose(
        entry(1),
        outcome,
        FRESH,
        RetryConfig(age=1_000, attempts=1),
        failing=False,
        now=NOW,
        age=3_600_000,
        random=lambda: 1.0,
    )
    assert made.due == NOW + 50
    assert made.delivery.count == 0


def test_failure_while_the_destination_fails_is_none_of_the_events_attempts() -> None:
    assert disposed(Outcome("retry", "503"), failing=True).delivery.count == 0
    assert disposed(Outcome("retry", "503")).delivery.count == 1


def test_what_was_not_attempted_leaves_no_trace() -> None:
    assert disposed(NOT_ATTEMPTED) == Disposition(None, FRESH)


KINDS: Sequence[OutcomeKind] = (
    "delivered",
    "held",
    "rejected",
    "retry",
    "not_attempted",
    "unavailable",
)


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", ""]), st.sampled_from(KINDS), st.integers(1, 9)))
)
def test_first_unfinished_entry_of_a_person_waits_as_long_as_any_later_one(
    steps: list[tuple[str, OutcomeKind, int]],
) -> None:
    entries = [entry(at, person) for at, (person, _, _) in enumerate(steps)]
    outcomes = [Outcome(kind, "why", after=after) for _, kind, after in steps]
    made = [
        dispose(
            item, outcome, FRESH, RetryConfig(), failing=False, now=NOW, age=NOW, random=lambda: 0.0
        )
        for item, outcome in zip(entries, outcomes, strict=True)
    ]
    people = [person for person, _, _ in steps]
    ordered = in_order(entries, people, list(made), NOW)
    for person in ("a", "b"):
        mine = [at for at, name in enumerate(people) if name == person and not made[at].is_done]
        dues = [due for at in mine if (due := made[at].due) is not None]
        if dues:
            assert ordered[mine[0]].due == max(dues)
            change = ordered[mine[0]].update
            assert change is not None
            assert (change.entry, change.kind) == (entries[mine[0]], UpdateKind.RETRIED)
            assert change.delivery.count == made[mine[0]].delivery.count
        for at in mine[1:]:
            assert ordered[at] == made[at]
    for at, name in enumerate(people):
        if made[at].is_done or not name:
            assert ordered[at] == made[at]
