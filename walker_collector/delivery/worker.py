"""The worker of one destination: takes batches of its events, and delivers them on threads."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import attrs

from walker_collector.clients import RateLimiter
from walker_collector.delivery.backoff import Breaker
from walker_collector.delivery.claims import Claim
from walker_collector.delivery.destination import Destination
from walker_collector.delivery.dispatcher import Dispatcher
from walker_collector.delivery.entries_in_flight import Batch
from walker_collector.delivery.flushes import Flushes
from walker_collector.delivery.health import Health
from walker_collector.delivery.hook_calls import HookCalls
from walker_collector.delivery.initialisation import Initialisation
from walker_collector.delivery.log_limiter import INTERVAL
from walker_collector.delivery.pending import PendingEvents
from walker_collector.delivery.pending_state import PendingState
from walker_collector.delivery.preparation import Preparation
from walker_collector.delivery.progress import EntryProgress
from walker_collector.delivery.settlement import Settlement
from walker_collector.delivery.status import DestinationStatus
from walker_collector.delivery.threads import WorkerThreads
from walker_collector.delivery.waiters import Listener, Listeners
from walker_collector.delivery.watch import Watch
from walker_collector.delivery.window import EVENT_BYTES
from walker_collector.error_details import place_of
from walker_collector.errors import SpoolError
from walker_collector.hookspecs import Person
from walker_collector.moments import SteadyClock
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import DestinationHealth, Entry, Spool, State
from walker_collector.text import describe, storable

PAUSE: Final = 1.0
"""Wait (s) of a thread after an error in the collector itself, or of an unreadable spool."""
_MAX_WAIT: Final = 3600.0
"""Longest wait (s) of an idle thread: locks do not accept any number of seconds."""


class DestinationWorker:
    """Delivers to one destination; `pending` has its events.

    The parts share the lock of `PendingEvents`. Hooks are called, and the spool is written,
    without it.
    """

    def __init__(
        self,
        destination: Destination,
        spool: Spool,
        consents: ConsentStore,
        now: Callable[[], int],
        random: Callable[[], float],
        watch: Watch | None = None,
    ) -> None:
        config = destination.config
        self._watch = watch or Watch()
        self._log = log = destination.log
        self.id = destination.id
        self.destination = destination
        self._now = clock = SteadyClock(now)
        self._state = state = PendingState(destination, spool, consents, clock, log, self._wake)
        self._lock = state.lock
        self._waiters, self._changed = state.waiters, state.changed
        self.pending = pending = PendingEvents(state)
        self._health = health = Health(config.retry, Breaker(config.breaker), random)
        self.trouble_elsewhere: Callable[[], str] = lambda: ""
        """Returns the reason why the process that has to deliver does not, "" if it does."""
        self._initialisation = Initialisation(destination, log)
        self._threads = WorkerThreads(self.id, destination.concurrency, self._lock, self._work, log)
        self.calls = HookCalls(destination)
        dispatcher = self._dispatcher(spool, consents)
        self._settlement = Settlement(pending, health, self._initialisation, dispatcher)
        self.flushes = Flushes(pending, health, self._threads)

    def _dispatcher(self, spool: Spool, consents: ConsentStore) -> Dispatcher:
        """Make the part that checks, maps and calls, from those that it asks."""
        destination, state, pending = self.destination, self._state, self.pending
        limit, erasures = destination.config.rate_limit, pending.erasures
        progress = partial(EntryProgress, state)
        claim: Callable[[], Claim] | None = None
        if spool.durable:
            joins = pending.shards.note_joins
            claim = partial(Claim, self.id, spool, consents, erasures.revoked, joins)
        return Dispatcher(
            destination,
            consents,
            Preparation(destination, state.attempts, progress, self.calls),
            self.calls,
            RateLimiter(limit, share=destination.share) if limit else None,
            self._threads,
            self._health.is_new,
            erasures,
            claim,
            self._watch,
            pending.quick_calls,
        )

    # --- work ------------------------------------------------------------------------------

    def take_over(self, shard: int) -> None:
        """Begin to deliver the events of a shard in a durable spool, of all processes.

        Held ones are checked again: a crash may have come between a grant and its release, and the
        flow may require less consent than before.
        """
        self.pending.shards.take_over(shard)
        self.pending.holds.release(None)
        self.pending.own.answer_from_disk()  # of events that the process before has delivered
        self._wake()

    def reload(self) -> None:
        """Read everything anew: another process has erased people, or changed too much to tell."""
        if self._state.leased:
            self.pending.shards.reload()
            self.pending.own.answer_gone()
            self.pending.holds.release(None)
            self._wake()

    def read_on(self, *, surely: bool = True) -> None:
        """Look for events that another process has added; not `surely`: if it is heard of any."""
        state = self._state
        if state.leased:
            self.pending.note_foreign(surely=surely)
            self._wake()
        if self._waiters.waiting and not state.delivers_all:
            self.pending.own.answer_from_disk()
        if self.flushes.under_way:  # they may wait for what another process has delivered
            self._changed.notify_all()

    def follow_joins(self) -> None:
        """Look for events that a merge of people may have brought from another shard."""
        if self._state.sharded and self.pending.holds.joins:
            with self._lock:
                self._threads.notify()

    def require(self, others: Sequence["DestinationWorker"]) -> None:
        """Deliver nothing before these other destinations are initialised (`require`)."""
        self._initialisation.require([other._initialisation for other in others])

    def enqueue(self, entries: list[Entry], state: State, listeners: Listeners | None) -> None:
        """Take committed entries, in the order of their numbers. Writes nothing to the spool."""
        if self._watch.watchers and state is State.HELD:
            self._watch.held(self.destination, self._state.consents, entries)
        with self._lock:
            queue = self._state.queue
            quiet = not queue.ready
            self.pending.add(entries, state)
            if listeners:
                self._waiters.add(entries, state, listeners)
                self._answer_at_once()
            if quiet or listeners or self._may_begin():
                served = self._threads.notify()
                if listeners and not served:
                    self._waiters.blocked((), "no thread to deliver")

    def _may_begin(self) -> bool:
        """Return whether a thread that waits already has something to do, now that there is more.

        One that lingers need not wake until the batch is full, and none while the destination is
        paused: a call of `push` would wait for it, as only one thread runs at a time. But a
        cautious one may be waiting for an event that can be the probe.
        """
        health = self._health
        if not health.untroubled:
            if not health.heeds_events(self._now()):
                return False
            if health.cautious:
                return True
        ready = len(self._state.queue.ready) + self._state.window.kept_count
        return ready >= self.destination.batch_size

    def listen_again(self, pairs: Sequence[tuple[Entry, Listener]]) -> None:
        """Have the answers to entries that were enqueued before given to further listeners."""
        with self._lock:
            for entry, listener in pairs:
                self._waiters.add([entry], State.WAITING, {entry[0]: listener})
            self._answer_at_once()
        self.pending.own.answer_repeats({entry[0] for entry, _ in pairs})

    def _answer_at_once(self) -> None:
        """Answer calls that have begun to wait, and would do so in vain."""
        self._settlement.answer_blocked()
        if self._threads.stopping:
            self._waiters.closed()

    def _work(self) -> None:
        """Take batches and deliver them until the threads stop: the work of each thread.

        Nothing that a delivery raises ends it: a dead thread would mean events that wait for ever.
        """
        threads, pending, log = self._threads, self.pending, self._log
        consents = self._state.consents
        while not threads.stopping:
            batch: Batch | None = None
            try:
                if log.suppressed:
                    log.flush()
                if consents.is_stale:
                    consents.refresh()
                with self._lock:
                    batch = self._take_batch()
                    if batch is None:
                        continue
                    if pending.has_more:  # each thread wakes the next, as long as there is work
                        threads.notify()
                self._settlement.deliver(batch)
            except BaseException as error:
                self._recover(batch, error)

    def _take_batch(self) -> Batch | None:
        """Return the next batch; None after a wait for one. Call it with the lock held."""
        if self._threads.stopping:  # set since then: nobody would wake this thread again
            return None
        hurried = bool(self.flushes.under_way or self._waiters.waiting)
        found = self.pending.next(self._now(), self._health, hurried=hurried)
        if isinstance(found, Batch):
            return found
        if found.ms != 0:  # else others have changed something about people: look again at once
            longest = INTERVAL if self._log.suppressed else _MAX_WAIT
            self._threads.wait(longest if found.ms is None else min(found.ms / 1000, longest))
        return None

    def _recover(self, batch: Batch | None, error: BaseException) -> None:
        """Put the entries of a delivery back that ended with an error in the collector itself."""
        spool = isinstance(error, SpoolError)
        reason = storable(error) if spool else f"{describe(error)} at {place_of(error)}"
        with self._lock:
            self._health.breaker.probing = False
            if batch is not None:
                self.pending.flight.retry_later(batch, self._now() + int(PAUSE * 1000))
            self._waiters.blocked(self._state.in_flight, reason)
            self._changed.notify_all()
            self._threads.notify_all()
        self._log.error("destination %s: delivery interrupted: %s", self.id, reason, error=error)
        self._threads.sleep(PAUSE)

    def _wake(self) -> None:
        """Wake a thread if entries wait: some were queued otherwise than by `enqueue`."""
        with self._lock:
            if self._state.waiting or self._state.window.more_on_disk:
                self.pending.queued()
                self._threads.notify()

    def is_worker(self, thread: int) -> bool:
        """Return whether the thread with this identifier delivers to this destination."""
        return self._threads.includes(thread) or self.calls.includes(thread)

    def tell_erased(self, person: Person | None) -> None:
        """Have the destination drop its memory of an erased person; None: of everybody."""
        self.calls.erased(person)

    # --- room, and figures -----------------------------------------------------------------

    def count_unstored(self, status: str, id_: str, name: str) -> None:
        """Count an event that is not stored: its status is "ignored" or "dropped"."""
        counts = self._state.counts
        with self._lock:
            counts.accepted += 1
            counts.add(status)
        logger = self.destination.context.logger
        fields = {"destination": self.id, "event": id_}
        logger.debug("destination %s: event %s (%s): %s", self.id, id_, name, status, extra=fields)
        self._watch.left_out(self.destination, id_, name, status)

    @property
    def message_parts(self) -> tuple[str, ...]:
        """The parts of a delivery that are messages to people, as the plugin declares them."""
        return tuple(getattr(self.destination.instance, "message_parts", ()))

    @property
    def waiting(self) -> int:
        """The number of waiting events."""
        return self._state.waiting

    def wait_for_room(
        self, count: int, limit: int, deadline: float, given_up: Callable[[], bool]
    ) -> bool:
        """Wait until `count` more entries fit under `limit`, and their bytes as well.

        Returns False at the monotonic `deadline` (s), or when `given_up` returns True.
        """

        def fits() -> bool:
            # More than the limit at once fit into an empty queue: else they never would.
            state = self._state
            if state.bytes > limit * EVENT_BYTES and state.waiting:
                return False
            return state.waiting + count <= max(limit, count)

        return self._changed.wait_for(lambda: fits() or given_up(), deadline) and fits()

    def wake_waiting(self) -> None:
        """Wake the threads in `wait_for_room` and `flush`, to check their conditions again."""
        self._changed.notify_all()

    def health(self) -> DestinationHealth:
        """Return how deliveries of this process go."""
        with self._lock:
            health = self._health
            reason = health.reason or (health.part_reason if self._state.queue.retries else "")
            until = health.next_start if health.next_start > self._now() else 0
            if not reason and self._threads.abandoned and (call := self.calls.longest_call()):
                return DestinationHealth("failing", storable(call))  # the next process has to know
            return DestinationHealth(health.state, storable(reason), until=until)

    def status(self) -> DestinationStatus:
        """Return the current figures."""
        state = self._state
        elsewhere = ""
        with suppress(SpoolError):  # once it is closed, the figures stay as they were
            if state.sharded:
                state.figures = state.spool.counts().get(self.id, {})
            elif not state.leased:
                state.count_stored()
        if state.spool.durable and not self._threads.stopping:
            elsewhere = state.spool.trouble
            if not state.delivers_all and not elsewhere:
                elsewhere = self.trouble_elsewhere()
        with self._lock:
            if (
                state.delivers_all and state.window.foreign and not state.sharded
            ):  # not all that waits was read, or counted
                with suppress(SpoolError):
                    state.count_again()
            oldest, retries = state.oldest(), len(state.queue.retries)
            age = 0 if oldest is None else max(0, self._now.earlier() - oldest)
            return DestinationStatus(
                state=self._health.state,
                initialised=self._initialisation.done,
                reason=self._health.reason or (self._health.part_reason if retries else elsewhere),
                due=retries,
                **state.places(),
                in_flight=len(state.in_flight),
                oldest_age=age / 1000,
                unrecorded=state.unacked.count,
                **attrs.asdict(state.counts),
            )

    # --- end -------------------------------------------------------------------------------

    def stop(self, expired: Callable[[], bool]) -> None:
        """Stop the threads and shut the destination down.

        Waits for the deliveries in flight until `expired` returns True.
        """
        self._threads.stop(expired)
        self._state.unacked.write()
        with self._lock:
            self._waiters.closed()
            self._changed.notify_all()
        self._initialisation.shut_down()
        self._log.flush(due=False)
