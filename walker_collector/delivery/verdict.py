"""What becomes of an entry after a delivery: done, held, tried again, or a dead letter."""

from collections.abc import Callable
from typing import Final

import attrs
from attrs import frozen

from walker_collector.config import RetryConfig
from walker_collector.delivery.dispatch import Outcome
from walker_collector.delivery.retry import asked, backoff, exhausted
from walker_collector.spool import Attempt, Change, Entry, State

BUG_ATTEMPTS: Final = 5
"""How often an event is tried that makes its destination raise something unexpected."""


@frozen
class Verdict:
    """What is to be recorded of an entry (None: nothing), and what is to be remembered of it."""

    change: Change | None
    attempt: Attempt


def verdict(
    entry: Entry,
    outcome: Outcome,
    before: Attempt,
    retry: RetryConfig,
    *,
    failing: bool,
    now: int,
    random: Callable[[], float],
) -> Verdict:
    """Judge one entry at `now` (ms).

    While the destination fails for everybody, a failure says nothing about this event: only its
    age counts then.
    """
    kind = outcome.kind
    if kind in ("delivered", "told", "ignored", "empty", "dropped"):
        return Verdict(Change(entry, None), before)
    if kind == "held":
        held = attrs.evolve(before, consent=outcome.consent)
        return Verdict(Change(entry, State.HELD, held, now), held)
    if kind == "back" and not outcome.reason:
        return Verdict(None, before)
    general = failing or kind == "back"
    attempt = attrs.evolve(
        before,
        count=before.count + (not general or kind in ("rejected", "bug")),
        reason=outcome.reason,
        consent=outcome.consent,
    )
    if kind == "rejected":
        return Verdict(Change(entry, State.DEAD, attempt, now), attempt)
    return _again(entry, outcome, attempt, retry, now, random)


def _again(
    entry: Entry,
    outcome: Outcome,
    attempt: Attempt,
    retry: RetryConfig,
    now: int,
    random: Callable[[], float],
) -> Verdict:
    limit = min(BUG_ATTEMPTS, retry.attempts) if outcome.kind == "bug" else retry.attempts
    over = exhausted(attempt.count, limit, now - entry[2], retry.age)
    if over and not outcome.down:
        dead = attrs.evolve(attempt, reason=f"given up after {over}: {outcome.reason}")
        return Verdict(Change(entry, State.DEAD, dead, now), dead)
    if outcome.kind == "back":
        return Verdict(None, attempt)
    wait = max(backoff(retry, max(1, attempt.count), random), asked(outcome.after, retry.cap))
    later = attrs.evolve(attempt, due=now + wait)
    return Verdict(Change(entry, State.WAITING, later, now), later)
