"""The outcome of a delivery, and the update of the spool that follows from it. Pure."""

from collections.abc import Callable, Sequence
from typing import Final, Literal

import attrs
from attrs import frozen

from walker_collector.config import Consent, RetryConfig
from walker_collector.delivery.backoff import asked, backoff, exhausted, unavailable_wait
from walker_collector.spool import Attempt, Change, Entry, State

Kind = Literal[
    "delivered",
    "notified",
    "ignored",
    "empty",
    "held",
    "dropped",
    "rejected",
    "retry",
    "bug",
    "not_attempted",
    "unavailable",
]


@frozen
class Outcome:
    """The result of one entry's delivery.

    notified: no event, but a change of consent has arrived. empty: nothing was asked of the
    destination. retry: transient, for this event. bug: an unexpected exception. not_attempted: no
    call was begun. unavailable: the destination as a whole failed.

    after: the wait (s) that the other side asked for.
    down: an unavailable destination cannot deliver anything at all.
    counted: whether a retry is one of the event's `attempts`.
    known: a rejection that the plugin found without asking the other side.
    brief: the reason without text of others, for logs and figures; "" where `reason` has none.
    """

    kind: Kind
    reason: str = ""
    after: float | None = None
    down: bool = False
    counted: bool = True
    known: bool = False
    brief: str = ""
    consent: Consent = attrs.field(factory=dict)

    @property
    def told(self) -> str:
        """The reason as logs and figures may show it."""
        return self.brief or self.reason


DELIVERED: Final = Outcome("delivered")
NOTIFIED: Final = Outcome("notified")
IGNORED: Final = Outcome("ignored")
NOT_ATTEMPTED: Final = Outcome("not_attempted")


BUG_ATTEMPTS: Final = 5
"""How often an event is tried that makes its destination raise something unexpected."""


@frozen
class Disposition:
    """The change to record of an entry (None: nothing), and its delivery state in memory."""

    change: Change | None
    attempt: Attempt

    @property
    def due(self) -> int | None:
        """When the entry is to be tried again (ms); None where it is done or waits for no time."""
        waits = self.change is not None and self.change.state is State.WAITING
        return self.attempt.due if waits else None

    @property
    def is_done(self) -> bool:
        """Whether the entry waits no longer."""
        return self.change is not None and self.change.state is not State.WAITING


def dispose(
    entry: Entry,
    outcome: Outcome,
    before: Attempt,
    retry: RetryConfig,
    *,
    failing: bool,
    now: int,
    random: Callable[[], float],
) -> Disposition:
    """Decide on one entry at `now` (ms).

    While the destination fails for everybody, a failure says nothing about this event: only its
    age counts then.
    """
    kind = outcome.kind
    if kind in ("delivered", "notified", "ignored", "empty", "dropped"):
        return Disposition(Change(entry, None), before)
    if kind == "held":
        held = attrs.evolve(before, consent=outcome.consent)
        return Disposition(Change(entry, State.HELD, held, now), held)
    if kind == "not_attempted":
        return Disposition(None, before)
    general = failing or kind == "unavailable" or not outcome.counted
    attempt = attrs.evolve(
        before,
        count=before.count + (not general or kind in ("rejected", "bug")),
        reason=outcome.reason,
        consent=outcome.consent,
    )
    if kind == "rejected":
        return Disposition(Change(entry, State.DEAD, attempt, now), attempt)
    return _again(entry, outcome, attempt, retry, now, random)


def _again(
    entry: Entry,
    outcome: Outcome,
    attempt: Attempt,
    retry: RetryConfig,
    now: int,
    random: Callable[[], float],
) -> Disposition:
    age = now - entry[2]
    limit = min(BUG_ATTEMPTS, retry.attempts) if outcome.kind == "bug" else retry.attempts
    over = exhausted(attempt.count, limit, age, retry.age)
    if over and not outcome.down:
        dead = attrs.evolve(attempt, reason=f"given up after {over}: {outcome.reason}")
        return Disposition(Change(entry, State.DEAD, dead, now), dead)
    if outcome.kind == "unavailable":
        return Disposition(None, attempt)
    if outcome.counted:
        wait = backoff(retry, max(1, attempt.count), random)
    else:
        wait = unavailable_wait(retry, age, random)
    later = attrs.evolve(attempt, due=now + max(wait, asked(outcome.after, retry.cap)))
    return Disposition(Change(entry, State.WAITING, later, now), later)


def in_order(
    entries: Sequence[Entry], people: Sequence[str], dispositions: list[Disposition], now: int
) -> list[Disposition]:
    """Have each person's first unfinished entry wait as long as any later one of the batch must.

    An entry that was not attempted, before one that must wait, would otherwise be queued behind
    it. The time is recorded, so that the order holds after a restart as well.
    """
    firsts: dict[str, int] = {}
    ordered = dispositions
    for at, (person, made) in enumerate(zip(people, dispositions, strict=True)):
        if not person or made.is_done:
            continue
        first = firsts.setdefault(person, at)
        due = made.due
        if first == at or due is None or (ordered[first].due or 0) >= due:
            continue
        if ordered is dispositions:
            ordered = list(dispositions)
        later = attrs.evolve(ordered[first].attempt, due=due)
        ordered[first] = Disposition(Change(entries[first], State.WAITING, later, now), later)
    return ordered
