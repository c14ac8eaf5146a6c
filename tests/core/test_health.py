"""The condition of a destination: breaker, pauses, and whose trouble a failure is. Pure."""

import pytest

from walker_collector.config import BreakerConfig, RetryConfig
from walker_collector.delivery.backoff import Breaker
from walker_collector.delivery.health import Health, Judged
from walker_collector.delivery.outcome import DELIVERED, NOT_ATTEMPTED, Outcome

BUSY = Outcome("retry", "busy")
REFUSED = Outcome("rejected", "400")
UNKNOWN = Outcome("rejected", "names nobody", found_by_plugin=True)
DOWN = Outcome("unavailable", "401", down=True)


def health(threshold: int = 5, cooldown: int = 10_000) -> Health:
    config = BreakerConfig(threshold=threshold, cooldown=cooldown)
    return Health(RetryConfig(), Breaker(config), lambda: 0.5)


def nothing_new() -> bool:
    return False


def of(outcome: Outcome, *people: str, first: int = 1) -> list[Judged]:
    return [(first + at, person, outcome) for at, person in enumerate(people)]


def fail_probes(state: Health, people: list[str], now: int = 0) -> None:
    """Have single events fail, one after another, as a worker tries them."""
    for at, person in enumerate(people):
        state.started()
        state.judge(of(BUSY, person, first=100 + at), now)


def test_failures_of_different_people_open_the_breaker() -> None:
    state = health()
    fail_probes(state, list("abcde"))
    assert state.failing
    assert state.wait(9_999, nothing_new) == 1
    assert state.wait(10_000, nothing_new) == 0


def test_one_batch_alone_never_opens_the_breaker() -> None:
    """It may hold nothing but the events of some who are in trouble."""
    state = health()
    state.judge(of(BUSY, *"abcdefghij"), 0)
    assert (state.failing, state.cautious) == (False, True)
    assert state.wait(0, nothing_new) == 0
    fail_probes(state, ["k"])
    assert not state.failing
    fail_probes(state, ["l"])
    assert state.failing


def test_people_whose_trouble_is_their_own_never_open_the_breaker() -> None:
    state = health()
    state.judge([*of(BUSY, *"abcde"), (9, "z", DELIVERED)], 0)
    for round_ in range(20):
        state.judge(of(BUSY, *"abcde"), round_)
        assert (state.failing, state.cautious) == (False, False)
        assert state.reason == "busy"


def test_failures_of_one_person_open_the_breaker_where_nobody_gets_through() -> None:
    state = health()
    fail_probes(state, ["a"] * 5)
    assert state.failing


def test_event_of_somebody_new_need_not_wait_for_the_whole_cooldown() -> None:
    state = health()
    fail_probes(state, list("abcde"))
    for now, wait in ((0, 50), (49, 1), (50, 0), (5_000, 0)):
        assert state.wait(now, lambda: True) == wait
    assert state.wait(50, nothing_new) == 9_950


def test_early_probes_grow_rare_and_never_put_off_the_cooldown() -> None:
    state = health()
    fail_probes(state, list("abcde"))
    now = 0
    for at in range(22):
        wait = state.wait(now, lambda: True)
        assert wait == min(50 * 2**at, 500)
        now += wait
        fail_probes(state, [f"f{at}"], now)
    assert state.wait(now, lambda: True) == 10_000 - now
    fail_probes(state, ["m"], 10_000)
    assert state.wait(10_000, lambda: True) == 10_000, "once it is sure, nothing is early"


def test_failure_of_the_whole_allows_no_early_probe() -> None:
    state = health(threshold=1)
    state.judge(of(Outcome("unavailable", "503"), "a"), 0)
    assert state.wait(9_000, lambda: True) == 1_000


def test_only_one_probe_is_under_way() -> None:
    state = health(threshold=1)
    fail_probes(state, ["a"])
    state.started()
    assert state.wait(10**6, lambda: True) is None


def test_failures_that_were_under_way_when_it_opened_say_nothing_new() -> None:
    state = health()
    fail_probes(state, list("abcde"), now=0)
    state.judge(of(BUSY, "f"), 5_000)
    assert state.wait(10_000, nothing_new) == 0


def test_whole_failure_of_people_in_trouble_is_theirs() -> None:
    state = health()
    state.judge([*of(BUSY, "a", "b"), (9, "z", DELIVERED)], 0)
    whole = Outcome("unavailable", "503", after=7)
    assert (
        state.single_out(["a", "b"], [whole, whole])
        == [Outcome("retry", "503", after=7, counted=False)] * 2
    )
    assert state.single_out(["a", "new"], [whole, whole]) == [whole, whole]
    assert state.single_out(["a", "b"], [DOWN, DOWN]) == [DOWN, DOWN]


def test_pause_is_what_the_other_side_asked_for() -> None:
    state = health()
    state.judge(of(Outcome("unavailable", "429", after=30), "a"), 1_000)
    assert state.wait(1_000, nothing_new) == 30_000
    assert state.wait(30_999, lambda: True) == 1
    assert state.wait(31_000, nothing_new) == 0


def test_destination_that_is_down_is_left_alone_and_then_tried_with_one_event() -> None:
    state = health()
    assert state.judge(of(DOWN, "a", "b"), 0) == "down"
    assert (state.state, state.cautious) == ("down", True)
    assert state.wait(14_999, lambda: True) == 1
    assert state.wait(15_000, nothing_new) == 0
    assert state.judge(of(DOWN, "a"), 15_000) == "down"
    assert state.wait(15_000, nothing_new) == 30_000
    assert state.judge(of(DELIVERED, "a"), 45_000) == "recovered"
    assert (state.state, state.cautious) == ("idle", False)


def test_failure_that_was_under_way_leaves_the_reason_of_a_destination_that_is_down() -> None:
    state = health()
    state.judge(of(DOWN, "a"), 0)
    state.judge(of(BUSY, "b"), 1)
    assert (state.state, state.reason) == ("down", "401")
    state.started()
    state.judge(of(BUSY, "c"), 2)  # a probe's is news
    assert state.reason == "busy"


def test_rejection_that_the_plugin_found_by_itself_is_no_recovery() -> None:
    state = health()
    state.judge(of(DOWN, "a"), 0)
    state.judge(of(UNKNOWN, "b"), 15_000)
    assert state.state == "down"


def test_outcomes_that_say_nothing_change_nothing() -> None:
    state = health()
    for outcome in (NOT_ATTEMPTED, Outcome("held"), Outcome("empty"), Outcome("ignored")):
        assert state.judge(of(outcome, *"abcdefgh"), 0) is None
    assert (state.state, state.reason) == ("idle", "")


# --- refusals in a row -----------------------------------------------------------------------


def refuse(state: Health, count: int, people: int, outcome: Outcome = REFUSED) -> None:
    for at in range(count):
        state.judge([(at, f"p{at % people}", outcome)], 0)


@pytest.mark.parametrize("outcome", [REFUSED, Outcome("bug", "KeyError: 'x'", brief="KeyError")])
def test_many_refusals_in_a_row_are_the_destinations_trouble(outcome: Outcome) -> None:
    state = health()
    refuse(state, 19, 10, outcome)
    assert state.state == "idle"
    assert state.judge([(19, "p9", outcome)], 0) == "down"
    run = "20 different events of 10 people were refused in a row"
    said = f"{run}, the last: {outcome.shown_reason}"
    assert state.reason == said
    kept = state.without_refusals([19, 50], [outcome, UNKNOWN])
    assert kept == [Outcome("unavailable", said, down=True, refuses_all=True), UNKNOWN]
    assert state.wait(14_999, lambda: True) == 1


def test_refusals_of_one_event_or_of_few_people_stay_theirs() -> None:
    state = health()
    refuse(state, 200, 9)
    for _ in range(30):
        state.judge([(7, "p1", REFUSED)], 0)
    assert state.state == "idle"


def test_success_in_between_ends_the_run() -> None:
    state = health()
    refuse(state, 19, 19)
    state.delivered(["z"])
    state.judge([(30, "y", REFUSED)], 0)
    assert (state.state, len(state.refusals.events)) == ("idle", 1)


def test_events_refused_while_others_arrived_say_nothing_when_they_are_tried_again() -> None:
    """A bug that some events meet must not stop the others when nothing else is going on."""
    state = health()
    for at in range(40):
        state.judge([(at, f"p{at}", Outcome("bug", "KeyError"))], 0)
        state.delivered(["z"])
    for _ in range(4):
        refuse(state, 40, 40, Outcome("bug", "KeyError"))
    assert state.state == "idle"


def test_refusals_that_the_plugin_found_by_itself_say_nothing_of_the_destination() -> None:
    state = health()
    refuse(state, 100, 100, UNKNOWN)
    assert state.state == "idle"


def test_each_probe_is_another_event() -> None:
    state = health()
    refuse(state, 20, 20)
    assert not any(state.is_new(seq, f"p{seq}") for seq in range(20))
    assert state.is_new(20, "p20")
    state.judge([(20, "p20", REFUSED)], 15_000)
    assert not state.is_new(20, "p20")
    assert state.wait(15_000, nothing_new) == 30_000


def test_event_refused_again_after_a_recovery_is_final() -> None:
    state = health()
    refuse(state, 20, 20)
    assert state.delivered(["z"]) == "recovered"
    refuse(state, 20, 20)
    assert state.state == "idle"
    assert state.without_refusals([1], [REFUSED]) == [REFUSED]


BUSY_FOR_LONG = Outcome("unavailable", "429", after=60.0)


@pytest.mark.parametrize(
    ("first", "second", "pause"),
    [
        (DOWN, Outcome("unavailable", "503"), 15_000),
        (BUSY_FOR_LONG, Outcome("unavailable", "503"), 60_000),
        (BUSY_FOR_LONG, DOWN, 60_000),
    ],
)
def test_pause_is_not_cut_short_by_what_was_in_flight_and_fails_later(
    first: Outcome, second: Outcome, pause: int
) -> None:
    state = health()
    state.judge(of(first, "a"), 0)
    state.judge(of(second, "b"), 1_000)
    assert state.wait(pause - 1, nothing_new) == 1
    assert state.wait(pause, nothing_new) == 0


def test_one_more_event_matters_unless_the_destination_is_paused_whatever_comes() -> None:
    state = health()
    assert state.heeds_events(0)
    fail_probes(state, list("abcde"))
    assert state.heeds_events(1), "one of a person who is new may be an early probe"
    state.started()
    assert not state.heeds_events(1), "the probe in flight decides"

    down = health()
    down.judge(of(DOWN, "a"), 0)
    until = down.next_start
    assert (down.heeds_events(until - 1), down.heeds_events(until)) == (False, True)
