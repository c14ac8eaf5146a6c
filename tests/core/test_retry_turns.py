"""The turns of retries and fresh events. Pure."""

from tests.core.support import entry
from walker_collector.delivery.retries import RetryTurns


def test_retries_and_fresh_events_take_turns() -> None:
    turns = RetryTurns(limit=2)
    assert turns.next(any_ready=True, any_due=True)
    turns.taken([entry(1)])
    assert not turns.next(any_ready=True, any_due=True)
    turns.taken_ready()
    assert turns.next(any_ready=True, any_due=True)


def test_retries_need_not_wait_where_nothing_is_fresh() -> None:
    turns = RetryTurns(limit=2)
    turns.taken([entry(1)])
    assert turns.next(any_ready=False, any_due=True)
    assert not turns.next(any_ready=False, any_due=False)


def test_no_more_threads_than_the_limit_do_retries() -> None:
    turns = RetryTurns(limit=1)
    turns.taken([entry(1)])
    turns.taken_ready()
    assert not turns.next(any_ready=True, any_due=True)
    turns.settled(entry(1))
    assert turns.next(any_ready=True, any_due=True)
