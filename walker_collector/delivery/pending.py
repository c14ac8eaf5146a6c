"""The pending events of one destination: which of them are delivered next, and when."""

from itertools import islice
from typing import Final

from attrs import frozen

from walker_collector.delivery.dead_letters import DeadLetters
from walker_collector.delivery.entries_in_flight import Batch, EntriesInFlight
from walker_collector.delivery.erasures import Erasures
from walker_collector.delivery.health import Health
from walker_collector.delivery.holds import Holds
from walker_collector.delivery.keyed_queue import size_of
from walker_collector.delivery.linger import Linger
from walker_collector.delivery.own_fates import OwnFates
from walker_collector.delivery.owned_shards import OwnedShards
from walker_collector.delivery.pending_state import PendingState
from walker_collector.delivery.probe import has_probe, take_probe
from walker_collector.delivery.quick_calls import QuickCalls
from walker_collector.delivery.refill import Refill
from walker_collector.delivery.restore import Restore
from walker_collector.people.consent import ConsentSnapshot
from walker_collector.spool import Entry, State

_NOTHING: Final = Batch([], ConsentSnapshot(0, {}, {}))
"""Nothing to deliver; but there are updates to write."""


@frozen
class Wait:
    """A wait (ms) until a batch may be taken; None: until something changes."""

    ms: int | None


_IDLE: Final = Wait(None)
_OUTDATED: Final = Wait(0)
"""Nothing is taken before the knowledge of people is refreshed."""
_AGAIN: Final = Wait(0)
"""Nothing of what was read can be taken, but there is more to be read."""


class PendingEvents:
    """The entries of one destination: `add` queues them, `next` takes batches.

    Entries in flight, shards, holds, erasures and dead letters have modules of their own, over the
    same state.
    """

    def __init__(self, state: PendingState) -> None:
        destination = state.destination
        self.state = state
        self.lock = state.lock
        self._restore = Restore(state)
        self.holds = Holds(state, self._restore)
        self.erasures = Erasures(state, self.holds)
        self.own = OwnFates(state)
        self.dead_letters = DeadLetters(state, self.own)
        self.shards = OwnedShards(state, self.holds, self.erasures, self._restore)
        self._linger = Linger.of(destination.config.batch, destination.linger)
        self._refill = Refill(state, self.holds, self._restore, self._linger)
        self._batch_size = destination.batch_size
        self._batches = destination.hooks.push_batch is not None and destination.batch_size > 1
        self.flight = EntriesInFlight(state, self.holds, self.erasures, self.shards)
        self._retry_turns = self.flight.retry_turns
        self.quick_calls = QuickCalls()
        self._may_share = state.spool.durable and destination.config.rate_limit is None
        self.has_more = False
        """Whether other threads may have something to do after the last batch, now or later."""
        self._newest = 0
        """The number of the last entry that was added."""

    # --- add -------------------------------------------------------------------------------

    def add(self, entries: list[Entry], state: State) -> None:
        """Take committed entries, in the order of their numbers.

        A signal handler may raise in here. The call is then repeated with the same entries, and
        none of them is added or counted twice.
        """
        first, last = entries[0][0], entries[-1][0]
        if last <= self._newest:  # the call before was complete
            return
        self.own.entries.add(first, last)
        if not self.state.leased or self.state.sharded:
            self._leave_in_spool(entries, held=state is State.HELD)
        elif state is State.HELD:
            self._hold(entries)
        else:
            self._queue(entries)

    def _leave_in_spool(self, entries: list[Entry], *, held: bool) -> None:
        """Count entries that whoever delivers them reads from the spool."""
        pending = self.state
        pending.counts.accepted += len(entries)
        self._newest = entries[-1][0]
        if pending.leased:
            pending.window.keep(entries, held=held)
        else:
            pending.window.note_foreign()

    def _hold(self, entries: list[Entry]) -> None:
        last = entries[-1][0]
        self.holds.hold(entries)
        self.state.window.seen(last)
        self.state.counts.accepted += len(entries)
        self._newest = last

    def _queue(self, entries: list[Entry]) -> None:
        """Queue entries, up to the first one that does not fit into memory."""
        count, first, last = len(entries), entries[0][0], entries[-1][0]
        pending, linger = self.state, self._linger
        window, counts = pending.window, pending.counts
        fitting, more_on_disk, loaded_up_to = entries, False, last
        size = size_of(entries) if count > 1 else len(entries[0][3])
        if (
            window.more_on_disk
            or first <= window.loaded_up_to
            or pending.waiting + count > window.limit
            or pending.bytes + size > window.limit_bytes
        ):
            in_memory = len(pending.queue), pending.bytes
            fitting, more_on_disk, loaded_up_to = window.admit(entries, *in_memory)
            size = size_of(fitting)
        added, known = count, max(last, window.known_up_to)
        if window.foreign:  # counted when it is read
            added, known = 0, window.known_up_to
        elif first <= window.known_up_to:  # read, and counted, before it was handed over
            added = sum(entry[0] > window.known_up_to for entry in entries)
        enqueue = pending.queue.ready.extend
        # By the clock of the wait: the system's, of the entries, may be ahead of it.
        now = pending.now()
        # No call between these lines, so no signal handler can run: all of them happen, or none.
        counts.accepted += count
        pending.waiting += added
        pending.bytes += size
        self._newest = last
        window.known_up_to = known
        window.more_on_disk = more_on_disk
        window.loaded_up_to = loaded_up_to
        linger.last_at = now
        linger.first_at = linger.first_at or now
        enqueue(fitting)

    def queued(self) -> None:
        """Note that entries were queued otherwise: released, replayed, or put back."""
        self._linger.arrived(self.state.now())

    # --- other processes -------------------------------------------------------------------

    def note_foreign(self, *, surely: bool = True) -> None:
        """Read on: another process may have added entries. Not `surely`: if it is heard of any."""
        with self.state.lock:
            if self.state.leased and (surely or self.state.window.may_have_more()):
                self.state.window.note_foreign()

    # --- next ------------------------------------------------------------------------------

    def next(self, now: int, health: Health, *, hurried: bool) -> Batch | Wait:
        """Return the next batch, or the wait for one; `hurried`: without linger.

        An empty batch means that updates are to be written. Checks cheap attributes first: it runs
        several times per event.

        Raises SpoolError, with nothing taken.
        """
        state, linger = self.state, self._linger
        if not state.leased:
            return _IDLE
        if self.holds.joins or self.holds.arrived:
            self.shards.follow_joins()
        queue, retries = state.queue, state.queue.retries
        if queue.has_freed:
            queue.has_freed = False
            linger.freed(now)
        if retries.later and retries.later[0][0] <= now:
            queue.wake(now)
        if not health.untroubled and (wait := self.paused(now, health)) != 0:
            return Wait(wait)
        has_read = state.window.more_on_disk and self._refill.run(now)
        if state.consents.is_stale:
            # A sign-in may be news, and its event be queued already, ahead of the session's.
            return _OUTDATED
        if state.unwritten:
            state.unwritten = False
            return _NOTHING
        wait = 0
        if queue.ready or retries.due:
            if not (hurried or retries.due) and now - linger.first_at < linger.age:
                wait = linger.left(now, others_in_flight=bool(state.in_flight))
            if wait and len(queue.ready) < self._batch_size:
                return self._wait(wait, now)
            # None although entries are ready: their people are busy, and they were parked, or too
            # few are left to fill a batch.
            if batch := self._next_batch(now, health, self._batch_size if wait else 1):
                return batch
        if has_read and state.window.wants_refill(len(queue), state.bytes):
            return _AGAIN
        return self._wait(wait if queue.ready else 0, now)

    def _wait(self, linger: int, now: int) -> Wait:
        """Return the wait for the end of the linger (0: there is none) or the next retry."""
        later = self.state.queue.retries.later
        waits = [linger] if linger else []
        if later:
            waits.append(max(1, later[0][0] - now))
        return Wait(min(waits)) if waits else _IDLE

    def paused(self, now: int, health: Health) -> int | None:
        """Return the wait (ms) before the destination's health allows a delivery to start.

        None: until the probe in flight is back.
        """
        return health.wait(now, lambda: has_probe(self.state.queue, health.is_new))

    def _next_batch(self, now: int, health: Health, least: int) -> Batch | None:
        """Take the next batch, of at least so many events if it may wait for more."""
        queue, destination = self.state.queue, self.state.destination
        size, size_bytes = destination.batch_size, destination.batch_bytes
        if not health.untroubled and health.cautious:
            batch = self.flight.take(take_probe, queue, health.is_new, health.random)
        elif self._batches:
            size *= self._calls(least)
            batch = self.flight.take(queue.take, size, size_bytes, least)
        # Each event is a call of its own: retries that are slow to fail get some of the threads.
        elif self._retry_turns.next(bool(queue.ready), bool(queue.retries.due)):
            batch = self.flight.take(queue.take_retry)
            self._retry_turns.taken(batch.entries if batch else ())
        else:
            # The ready events are split evenly by threads.
            share = -(-len(queue.ready) // destination.concurrency)
            batch = self.flight.take(queue.take_ready, max(1, min(size, share)), size_bytes)
            self._retry_turns.taken_ready()
        if batch is not None:
            if not health.untroubled:
                health.started()
            self._linger.taken(now, is_any_left=bool(queue.ready))
            self.has_more = bool(
                queue.ready
                or queue.retries.later
                or queue.retries.due
                or self.state.window.more_on_disk
            )
        elif not queue.ready:  # all were parked
            self._linger.taken(now, is_any_left=False)
        return batch

    def _calls(self, least: int) -> int:
        """Return the number of calls to take a batch for, which share a claim and an ack.

        One call, if anything waits for its end: a push, a retry, or the people of another batch.
        """
        state, most = self.state, self.quick_calls.count
        if most == 1 or not self._may_share or state.waiters.waiting or state.queue.retries:
            return 1
        if not state.queue.people.none_waits:
            return 1
        ready, size = state.queue.ready, state.destination.batch_size
        # Those that are not full may linger.
        full = len(ready) // size if least > 1 else -(-len(ready) // size)
        calls = max(1, min(full, most))
        limit = state.destination.batch_bytes
        if calls > 1 and limit is not None and size_of(islice(ready, calls * size)) > limit:
            return 1  # a call has no more bytes, and would be a part of one
        return calls
