"""The pending events of one destination: waiting, held for consent, or in flight."""

from collections.abc import Callable
from typing import Final

from attrs import frozen

from walker_collector.config import Consent, PartState
from walker_collector.delivery.dead_letters import DeadLetters
from walker_collector.delivery.destination import Destination
from walker_collector.delivery.erasures import Erasures
from walker_collector.delivery.health import Health
from walker_collector.delivery.holds import Holds
from walker_collector.delivery.linger import Linger
from walker_collector.delivery.log_limiter import LogLimiter
from walker_collector.delivery.outcome import Disposition, Outcome
from walker_collector.delivery.pending_state import PendingState
from walker_collector.delivery.restore import Restore
from walker_collector.delivery.retry_turns import RetryTurns
from walker_collector.errors import RetryLater
from walker_collector.people.consent import ConsentSnapshot, ConsentStore
from walker_collector.spool import (
    FRESH,
    DeliveryState,
    Entry,
    Spool,
    SpoolUpdate,
    State,
    UpdateKind,
)


@frozen
class Batch:
    """Entries in flight, with the consent of their people when they were taken."""

    entries: list[Entry]
    said: ConsentSnapshot

    @property
    def people(self) -> list[str]:
        """The person of each entry, by the key that was known when it was taken."""
        return [self.said.names[entry[1]] for entry in self.entries]


_NOTHING: Final = Batch([], ConsentSnapshot(0, {}, {}))
"""Nothing to deliver; but there are updates to write."""


@frozen
class Wait:
    """A wait (ms) until a batch may be taken; None: until something changes."""

    ms: int | None


class PendingEvents:
    """The entries of one destination: `add` queues them, `next` takes batches, `settle` ends them.

    Holds, erasures and dead letters have modules of their own, over the same state.
    """

    def __init__(
        self,
        destination: Destination,
        spool: Spool,
        consents: ConsentStore,
        now: Callable[[], int],
        log: LogLimiter,
        on_refill_resumed: Callable[[], None],
    ) -> None:
        self.state = state = PendingState(destination, spool, consents, now, log, on_refill_resumed)
        self.lock = state.lock
        self._restore = Restore(state)
        self.holds = Holds(state, self._restore)
        self.erasures = Erasures(state, self.holds)
        self.dead_letters = DeadLetters(state)
        self.linger = Linger.of(destination.config.batch, destination.linger)
        self.retry_turns = RetryTurns(max(1, destination.concurrency // 2))
        self._newest = 0
        """The number of the last entry that was added."""

    # --- add -------------------------------------------------------------------------------

    def add(self, entries: list[Entry], state: State) -> None:
        """Take committed entries, in the order of their numbers.

        A signal handler may raise in here. The call is then repeated with the same entries, and
        none of them is added or counted twice.
        """
        last, count = entries[-1][0], len(entries)
        if last <= self._newest:  # the call before was complete
            return
        if state is State.HELD:
            self.holds.hold(entries)
            self.state.window.seen(last)
            self.state.counts.accepted += count
            self._newest = last
            return
        pending = self.state
        window, counts, enqueue = pending.window, pending.counts, pending.queue.ready.extend
        fitting, more_on_disk, loaded_up_to = window.admit(entries, len(pending.queue))
        # No call between these lines, so no signal handler can run: all of them happen, or none.
        counts.accepted += count
        pending.waiting += count
        self._newest = last
        window.more_on_disk = more_on_disk
        window.loaded_up_to = loaded_up_to
        enqueue(fitting)

    def _refill(self) -> bool:
        """Load the next slice of waiting entries from disk when memory runs low.

        Returns whether any were loaded.
        """
        if not self.state.window.wants_refill(len(self.state.queue)):
            return False
        # A released entry that the disk still calls held would be passed over for good.
        if self.state.unacked.releases_beyond(self.state.window.loaded_up_to):
            return False
        stored, now = self.state.window.read_on(), self.state.now()
        for item in stored:
            self._restore.waiting(item, now)
        return bool(stored)

    # --- next ------------------------------------------------------------------------------

    def next(self, now: int, health: Health, *, hurried: bool) -> Batch | Wait:
        """Return the next batch, or the wait for one; `hurried`: without linger.

        An empty batch means that updates are to be written.

        Raises SpoolError, with nothing taken.
        """
        self.state.queue.wake(now)
        wait = self.paused(now, health)
        if wait != 0:
            return Wait(wait)
        if self._refill():
            self.linger.arrived(now)
        if self._restore.take_unwritten():
            return _NOTHING
        queue = self.state.queue
        if queue.ready or queue.due:
            full = len(self.state.queue.ready) >= self.state.destination.batch_size
            wait = 0 if hurried or full or queue.due else self.linger.left(now)
            if wait:
                return Wait(wait)
            # None although entries are ready: all of their people are busy, and they were parked.
            if batch := self._next_batch(now, health):
                return batch
        due = self.state.queue.next_due
        return Wait(None if due is None else max(1, due - now))

    def paused(self, now: int, health: Health) -> int | None:
        """Return the wait (ms) before the destination's health allows a delivery to start.

        None: until the probe in flight is back.
        """
        return health.wait(now, lambda: self.state.queue.has_new(health.is_new))

    def _next_batch(self, now: int, health: Health) -> Batch | None:
        queue, destination = self.state.queue, self.state.destination
        batch_size, size_bytes = destination.batch_size, destination.batch_bytes
        if health.cautious:
            batch = self.take(lambda: queue.take_probe(health.is_new, health.random))
        elif destination.hooks.push_batch is not None and batch_size > 1:
            batch = self.take(lambda: queue.take(batch_size, size_bytes))
        # Each event is a call of its own: retries that are slow to fail get some of the threads.
        elif self.retry_turns.next(bool(queue.ready), bool(queue.due)):
            batch = self.take(queue.take_retry)
            self.retry_turns.taken(batch.entries if batch else ())
        else:
            size = self._batch_size()
            batch = self.take(lambda: queue.take_ready(size, size_bytes))
            self.retry_turns.taken_ready()
        if batch is not None:
            health.started()
            self.linger.taken(now, more=bool(self.state.queue.ready))
        return batch

    def _batch_size(self) -> int:
        """Return the batch size without push_batch: the ready events, split evenly by threads."""
        destination = self.state.destination
        share = -(-len(self.state.queue.ready) // destination.concurrency)
        return max(1, min(destination.batch_size, share))

    def take(self, take: Callable[[], list[Entry]]) -> Batch | None:
        """Put the entries that `take` takes from the queue in flight; None if there are none."""
        self.holds.follow_joins()
        entries = take()
        try:
            # One snapshot for the whole batch, so that a grant cannot come between two events.
            said = self.state.consents.snapshot({entry[1] for entry in entries})
        except BaseException:
            self.state.queue.put_back(entries)
            raise
        if self.holds.has_new_joins:
            # Somebody signed in meanwhile: an entry may have been taken as the person's although
            # the session's earlier ones are in flight.
            self.state.queue.put_back(entries)
            return self.take(take)
        if overtaken := self.holds.overtaken(entries, said):
            # A grant is known, but its held events are not queued yet, and they must go first.
            self.state.queue.put_back(entries)
            self.holds.unhold(overtaken)
            return self.take(take)
        self.state.in_flight.update({entry[0]: entry for entry in entries})
        return Batch(entries, said) if entries else None

    # --- settle ----------------------------------------------------------------------------

    def settle(
        self, batch: Batch, outcomes: list[Outcome], dispositions: list[Disposition]
    ) -> None:
        """Move the entries of a batch by their dispositions, which are in the spool."""
        self.holds.follow_joins()
        self._move(batch.entries, outcomes, dispositions)

    def settle_delivered(self, batch: Batch) -> None:
        """Settle a batch of which every event was delivered, as most are.

        The fast twin of `settle`: the same result, without a decision per entry.
        """
        entries = batch.entries
        self.state.counts.batches += 1
        self.state.counts.delivered += len(entries)
        self.state.waiting -= len(entries)
        for entry in entries:
            del self.state.in_flight[entry[0]]
            if self.state.attempts:  # mostly empty, as mostly nothing was tried before
                self.state.attempts.pop(entry[0], None)
                self.retry_turns.settled(entry)
        self.erasures.all_delivered(entries)
        self.state.queue.finish(entries)

    def _move(
        self, entries: list[Entry], outcomes: list[Outcome], dispositions: list[Disposition]
    ) -> None:
        """Move entries out of flight: out of the queue, on hold, to a retry, or back in line."""
        self.state.counts.batches += 1
        # Collected first: the queue sorts the entries that return to it, so they return at once.
        done: list[Entry] = []
        back: list[Entry] = []
        behind: list[Entry] = []
        bases: dict[str, Consent] = {}
        retrying: set[str] = set()
        for entry, outcome, disposition in zip(entries, outcomes, dispositions, strict=True):
            del self.state.in_flight[entry[0]]
            self.retry_turns.settled(entry)
            self.state.counts.add(outcome.kind)
            person = self.state.queue.person(entry)
            change = disposition.change
            arrived = outcome.kind in ("delivered", "notified")
            if self.erasures.settled(entry, delivered=arrived):
                self._leave(entry)
                done.append(entry)
            elif outcome.kind == "held" and self.holds.consent(entry, bases) != outcome.consent:
                # The consent has changed since the decision, and the release that followed did not
                # find this entry held. It is decided on again; the spool has it as held so far.
                self.state.unacked.add([SpoolUpdate(entry, UpdateKind.RELEASED)])
                back.append(entry)
            elif change is not None and change.kind is not UpdateKind.RETRIED:
                self._leave(entry, change)
                done.append(entry)
            else:
                self._remember(entry, disposition)
                if person in retrying:
                    # An earlier entry of its person waits for a retry, and this one goes after it.
                    behind.append(entry)
                elif change is None:  # not attempted, or the destination was unavailable
                    back.append(entry)
                else:
                    self.state.queue.retry(change.delivery.due, entry)
                    retrying |= {person} - {""}
        self.state.queue.hold_back(behind)
        self.state.queue.finish(done)
        self.state.queue.put_back(back)

    def _remember(self, entry: Entry, disposition: Disposition) -> None:
        if disposition.change is not None:
            self.state.counts.retried += 1
        if disposition.attempt != FRESH:
            self.state.attempts[entry[0]] = disposition.attempt

    def _leave(self, entry: Entry, change: SpoolUpdate | None = None) -> None:
        """Take an entry out of the waiting ones: it is gone, held or dead."""
        self.state.waiting -= 1
        self.state.attempts.pop(entry[0], None)
        if change is None or change.kind is UpdateKind.ACKED:
            return
        if change.kind is UpdateKind.DEAD:
            self.state.dead += 1
            self.state.counts.died += 1
            return
        if change.delivery.parts:
            self.state.attempts[entry[0]] = change.delivery
        self.holds.hold([entry], change.delivery.consent)

    def put_back(self, batch: Batch, due: int) -> None:
        """Make the entries of an interrupted delivery wait until `due` (ms), in order."""
        first: set[str] = set()
        behind: list[Entry] = []
        for entry in batch.entries:
            if self.state.in_flight.pop(entry[0], None) is None:  # settled before the interruption
                continue
            self.retry_turns.settled(entry)
            person = self.state.queue.person(entry)
            if person in first:
                behind.append(entry)
            else:
                first |= {person} - {""}
                self.state.queue.retry(due, entry)
        self.state.queue.hold_back(behind)

    # --- delivery states -------------------------------------------------------------------

    def attempt_of(self, seq: int) -> DeliveryState:
        """Return the delivery state that earlier attempts have left."""
        return self.state.attempts.get(seq, FRESH)

    def mark(
        self, entry: Entry, part: str, state: PartState | None, reason: str = ""
    ) -> DeliveryState:
        """Write the state of one part of an entry's delivery durably; None: not begun.

        Return the delivery state with it. Raises RetryLater after the delivery was given up
        (`timeout`), so that a call that hung goes no further when it returns.
        """
        with self.lock:
            if entry[0] not in self.state.in_flight:
                raise RetryLater("this delivery was given up")
            after = self.attempt_of(entry[0]).with_part(part, state, reason)
            self.state.attempts[entry[0]] = after
        self.state.spool.settle(
            self.state.destination.id,
            [SpoolUpdate(entry, UpdateKind.RETRIED, after, self.state.now())],
        )
        return after
