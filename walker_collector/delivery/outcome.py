"""Outcomes of deliveries, and the spool updates that follow from them. Pure."""

from collections.abc import Callable, Sequence
from typing import Final, Literal

import attrs
from attrs import frozen

from walker_collector.config import Consent, RetryConfig
from walker_collector.delivery.backoff import backoff, exhausted, requested_wait, unavailable_wait
from walker_collector.spool import FRESH, DeliveryState, Entry, SpoolUpdate, UpdateKind

OutcomeKind = Literal[
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

    Kinds: notified: a change of consent has arrived, rather than an event. empty: the event gave
    the destination nothing to send. retry: a transient failure of this event. bug: an unexpected
    exception. not_attempted: no call was begun. unavailable: the destination as a whole failed.

    after: the wait (s) that the service asked for.
    down: an unavailable destination cannot deliver anything at all.
    refuses_all: it refuses every event, so that a refusal says nothing about this one.
    counted: whether a retry is one of the event's `attempts`.
    part: a part of the destination cannot be used, which is no failure of the event or the whole.
    found_by_plugin: the plugin found the rejection without asking the service.
    postponed: it waits `after` seconds for something else than the destination.
    brief: a shorter reason, for logs and figures; "" if there is none.
    error: the text of the unexpected exception, which may quote the event, as no reason does.
    """

    kind: OutcomeKind
    reason: str = ""
    after: float | None = None
    down: bool = False
    refuses_all: bool = False
    counted: bool = True
    part: bool = False
    found_by_plugin: bool = False
    brief: str = ""
    error: str = ""
    postponed: bool = False
    consent: Consent = attrs.field(factory=dict)

    @property
    def shown_reason(self) -> str:
        """The reason, as logs and figures show it."""
        return self.brief or self.reason


DELIVERED: Final = Outcome("delivered")
NOTIFIED: Final = Outcome("notified")
IGNORED: Final = Outcome("ignored")
NOT_ATTEMPTED: Final = Outcome("not_attempted")


BUG_ATTEMPTS: Final = 5
"""Attempts of an event that makes its destination raise an unexpected exception."""


@frozen
class Disposition:
    """The update of an entry in the spool (None: no update), and its delivery state in memory."""

    update: SpoolUpdate | None
    delivery: DeliveryState

    @property
    def due(self) -> int | None:
        """The time of the next attempt (ms); None if the entry is done or needs no wait."""
        waits = self.update is not None and self.update.kind is UpdateKind.RETRIED
        return self.delivery.due or None if waits else None

    @property
    def is_done(self) -> bool:
        """Whether the entry has left the queue: delivered, held or dead."""
        return self.update is not None and self.update.kind is not UpdateKind.RETRIED


def dispose(
    entry: Entry,
    outcome: Outcome,
    before: DeliveryState,
    retry: RetryConfig,
    *,
    failing: bool,
    now: int,
    age: int,
    random: Callable[[], float],
) -> Disposition:
    """Decide at `now` (ms) how an entry of this `age` (ms) goes on after a delivery.

    While the destination is `failing` for everybody, a failure says nothing about this event, so
    it costs no attempt: only the event's age counts then.
    """
    kind = outcome.kind
    if kind in ("delivered", "notified"):
        return Disposition(SpoolUpdate(entry, UpdateKind.ACKED), before)
    if kind in ("ignored", "empty", "dropped"):
        state = DeliveryState(reason=outcome.reason) if outcome.reason else FRESH
        return Disposition(SpoolUpdate(entry, UpdateKind.ACKED, state, now, kind), before)
    if kind == "held":
        held = attrs.evolve(before, consent=outcome.consent)
        return Disposition(SpoolUpdate(entry, UpdateKind.HELD, held, now), held)
    if kind == "not_attempted":
        return Disposition(None, before)
    if outcome.postponed:
        later = attrs.evolve(before, due=now + requested_wait(outcome.after, retry.cap))
        return Disposition(SpoolUpdate(entry, UpdateKind.RETRIED, later, now), later)
    # A rejection or a bug is about this event even then, so it counts.
    general = failing or kind == "unavailable" or not outcome.counted
    attempt = attrs.evolve(
        before,
        count=before.count + (not general or kind in ("rejected", "bug")),
        reason=outcome.reason,
        consent=outcome.consent,
    )
    if kind == "rejected":
        return Disposition(SpoolUpdate(entry, UpdateKind.DEAD, attempt, now), attempt)
    return _retry_or_give_up(entry, outcome, attempt, retry, now, age, random)


def _retry_or_give_up(
    entry: Entry,
    outcome: Outcome,
    attempt: DeliveryState,
    retry: RetryConfig,
    now: int,
    age: int,
    random: Callable[[], float],
) -> Disposition:
    limit = min(BUG_ATTEMPTS, retry.attempts) if outcome.kind == "bug" else retry.attempts
    over = exhausted(attempt.count, limit, age, retry.age)
    if over and not outcome.down:  # while it is down, events are kept whatever their age
        reason = f"given up after {over}: {outcome.reason}"
        dead = attrs.evolve(attempt, reason=reason, error=outcome.error)
        return Disposition(SpoolUpdate(entry, UpdateKind.DEAD, dead, now), dead)
    if outcome.kind == "unavailable":  # the health of the destination makes it wait
        return _wait_for_recovery(entry, outcome, attempt, now)
    if outcome.counted:
        wait = backoff(retry, max(1, attempt.count), random)
    else:
        wait = unavailable_wait(retry, age, random)
    later = attrs.evolve(attempt, due=now + max(wait, requested_wait(outcome.after, retry.cap)))
    return Disposition(SpoolUpdate(entry, UpdateKind.RETRIED, later, now), later)


def _wait_for_recovery(
    entry: Entry, outcome: Outcome, attempt: DeliveryState, now: int
) -> Disposition:
    if not (outcome.refuses_all and attempt.refusals):
        return Disposition(None, attempt)
    # A refused part is never tried again. If it stayed refused, the event would be refused without
    # a call, though the destination may have recovered since.
    parts = {part: state for part, state in attempt.parts.items() if state != "rejected"}
    anew = attrs.evolve(attempt, parts=parts, refusals={}, due=0)
    return Disposition(SpoolUpdate(entry, UpdateKind.RETRIED, anew, now), anew)


def in_order(
    entries: Sequence[Entry], people: Sequence[str], dispositions: list[Disposition], now: int
) -> list[Disposition]:
    """Make each person's first unfinished entry wait as long as any later one of the batch must.

    Otherwise an entry that was not attempted would be queued behind a later one that must wait.
    The time is written to the spool, so that the order survives a restart.
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
        if ordered is dispositions:  # a copy only if something changes, which is rare
            ordered = list(dispositions)
        later = attrs.evolve(ordered[first].delivery, due=due)
        ordered[first] = Disposition(
            SpoolUpdate(entries[first], UpdateKind.RETRIED, later, now), later
        )
    return ordered
