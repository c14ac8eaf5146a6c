"""Settle batches: initialise, dispatch, judge the outcomes, write them, move the entries."""

from functools import partial

from walker_collector.delivery.dispatcher import Dispatcher
from walker_collector.delivery.entries_in_flight import Batch
from walker_collector.delivery.health import Health, HealthChange
from walker_collector.delivery.initialisation import Initialisation
from walker_collector.delivery.outcome import (
    DELIVERED,
    NOT_ATTEMPTED,
    Disposition,
    Outcome,
    dispose,
    in_order,
)
from walker_collector.delivery.pending import PendingEvents
from walker_collector.delivery.trace import event_id
from walker_collector.errors import SpoolError
from walker_collector.spool import FRESH, Entry, SpoolUpdate, UpdateKind
from walker_collector.text import counted, storable


class Settlement:
    """Delivers batches and settles their outcomes.

    Outcomes are written to the spool before the entries move in memory. After a crash before that
    write, the events are delivered again (at least once). `changed` is notified, with the lock
    held, after the entries have moved.
    """

    def __init__(
        self,
        pending: PendingEvents,
        health: Health,
        initialisation: Initialisation,
        dispatcher: Dispatcher,
    ) -> None:
        state = pending.state
        self._id = state.destination.id
        self._durable = state.spool.durable
        self._retry = state.destination.config.retry
        self._pending = pending
        self._health = health
        self._initialisation = initialisation
        self._dispatcher = dispatcher
        self._waiters = state.waiters
        self._changed = state.changed
        self._now = state.now
        self._log = state.log

    def deliver(self, batch: Batch) -> None:
        """Deliver a batch and settle the outcome of each entry; for an empty one, write updates."""
        if not batch.entries:
            self._write()
            return
        if not self._initialisation.done:
            refused = self._initialisation.ensure()
            if refused is not None:
                self._settle(batch, [refused] * len(batch.entries))
                return
            self._health.ready = True
        outcomes = self._dispatcher.run(batch.entries, batch.snapshot)
        # Mostly every event is delivered, and then no decision per entry is needed.
        if outcomes.count(DELIVERED) == len(outcomes):
            self._settle_delivered(batch)
        else:
            self._settle(batch, outcomes)
        spool = self._pending.state.spool
        if spool.durable:
            spool.write_ended()  # mostly that was written with the outcomes

    def _settle(self, batch: Batch, outcomes: list[Outcome]) -> None:
        entries, pending, now = batch.entries, self._pending, self._now()
        with pending.lock:
            outcomes = self._judge(batch, outcomes, now)
            made = [self._dispose(*item, now) for item in zip(entries, outcomes, strict=True)]
            made = in_order(entries, batch.people, made, now)
        unacked = pending.state.unacked
        with unacked.writing:
            with pending.lock:
                made = pending.erasures.decide(entries, made)
            # Without the lock: the spool hands over new entries while it writes, and they need it.
            unacked.write(item.update for item in made if item.update is not None)
            with pending.lock:
                pending.flight.settle(batch, outcomes, made)
                for entry, outcome, item in zip(entries, outcomes, made, strict=True):
                    self._log_death(entry, outcome, item.update)
                    self._waiters.settle(entry, outcome, item.update, pending.erasures.erased)
                self.answer_blocked()
                self._changed.notify_all()
        self._requeue_refused()
        self._bound_dead()

    def _settle_delivered(self, batch: Batch) -> None:
        pending, health = self._pending, self._health
        troubled = not health.untroubled
        if troubled:
            with pending.lock:
                self._report(health.delivered(batch.snapshot.names.values()))
        if self._durable or pending.state.unacked.updates:
            pending.state.unacked.ack(batch.entries, partial(self._move_delivered, batch))
        else:
            self._move_delivered(batch)
        if troubled:
            self._bound_dead()  # those of the run that has ended are not spared any more

    def _move_delivered(self, batch: Batch) -> None:
        pending = self._pending
        with pending.lock:
            pending.flight.settle_delivered(batch)
            if self._waiters.waiting:
                self._waiters.delivered(batch.entries)
            self._changed.notify_all()

    def _write(self) -> None:
        self._pending.state.unacked.write()
        with self._pending.lock:
            self._changed.notify_all()
        self._bound_dead()

    def answer_blocked(self) -> None:
        """Answer the pushes that wait for a destination without deliveries, or behind a retry."""
        if not self._waiters.waiting:
            return
        state = self._pending.state
        if self._pending.paused(self._now(), self._health):
            self._waiters.blocked(state.in_flight, self._health.reason)
        elif state.queue.retries:
            self._waiters.behind_retry(state.queue.people.behind_retry(state.in_flight))

    def _judge(self, batch: Batch, outcomes: list[Outcome], now: int) -> list[Outcome]:
        """Update the destination's health; return the outcomes corrected by it."""
        seqs = [entry[0] for entry in batch.entries]
        people = [person or f"event {seq}" for seq, person in zip(seqs, batch.people, strict=True)]
        # One that was postponed before its call says nothing about the destination.
        postponed = {seq for seq, item in zip(seqs, outcomes, strict=True) if item.postponed}
        outcomes = self._health.single_out(people, outcomes)
        judged = [
            (seq, person, NOT_ATTEMPTED if seq in postponed else item)
            for seq, person, item in zip(seqs, people, outcomes, strict=True)
            if not item.part
        ]
        self._report(self._health.judge(judged, now))
        self._report(self._health.note_parts(outcomes))
        return self._health.without_refusals(seqs, outcomes)

    def _dispose(self, entry: Entry, outcome: Outcome, now: int) -> Disposition:
        return dispose(
            entry,
            outcome,
            self._pending.state.attempts.get(entry[0], FRESH),
            self._retry,
            failing=self._health.failing,
            now=now,
            age=self._now.earlier() - entry[2],
            random=self._health.random,
        )

    def _requeue_refused(self) -> None:
        """Queue the dead letters of a general run of refusals again."""
        refused = self._health.refusals.take_dead()
        if not refused:
            return
        try:
            count = self._pending.dead_letters.requeue_refused(refused)
        except SpoolError as error:
            self._log.error("destination %s: %s", self._id, storable(error))
            return
        self._log.warning(
            "destination %s: %s queued again", self._id, counted(count, "dead letter")
        )
        with self._pending.lock:
            self._changed.notify_all()

    def _bound_dead(self) -> None:
        try:
            dropped = self._pending.dead_letters.bound(self._health.refusals.spared)
        except SpoolError as error:
            self._log.error("destination %s: %s", self._id, storable(error))
            return
        if dropped:
            self._log.error(
                "destination %s: the oldest %s dropped (dlqMax)",
                self._id,
                counted(dropped, "dead letter"),
            )

    # --- log lines -------------------------------------------------------------------------

    def _report(self, change: HealthChange | None) -> None:
        log, reason = self._log, self._health.reason
        if change == "down":
            log.error("destination %s is down: %s", self._id, reason, topic="down")
        elif change == "part down":
            log.error(
                "a part of destination %s cannot be used; events that need it wait: %s",
                self._id,
                self._health.part_reason,
                topic="part down",
            )
        # One topic: what begins with some events often turns out to concern the destination.
        elif change == "failing":
            log.warning(
                "destination %s is failing, retrying: %s", self._id, reason, topic="failing"
            )
        elif change == "retrying":
            log.warning(
                "destination %s: failed events will be retried: %s",
                self._id,
                reason,
                topic="failing",
            )
        elif change == "recovered":
            log.end("down", "failing")
            log.info("destination %s delivers again", self._id)

    def _log_death(self, entry: Entry, outcome: Outcome, update: SpoolUpdate | None) -> None:
        if update is None or update.kind is not UpdateKind.DEAD:
            return
        self._health.refusals.died(entry[0])
        # In brief: a breach of the contract was logged in full already.
        cause = outcome.brief or update.delivery.reason
        event = event_id(entry)
        self._log.warning(
            "destination %s: event %s is a dead letter: %s", self._id, event, cause, event=event
        )
        if outcome.kind != "rejected":  # else the outcome itself says so
            self._dispatcher.watch.died(self._pending.state.destination, entry, cause)
