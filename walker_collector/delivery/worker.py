"""The worker of one destination: queues its events, delivers them on threads, has the figures."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import attrs

from walker_collector.clients import RateLimiter
from walker_collector.delivery.backoff import Breaker
from walker_collector.delivery.destination import Destination
from walker_collector.delivery.dispatcher import Dispatcher
from walker_collector.delivery.health import Health
from walker_collector.delivery.initialisation import Initialisation
from walker_collector.delivery.log_limiter import LogLimiter
from walker_collector.delivery.pending import Batch, PendingEvents, Wait
from walker_collector.delivery.progress import EntryProgress
from walker_collector.delivery.settlement import Settlement
from walker_collector.delivery.status import DestinationStatus
from walker_collector.delivery.threads import PAUSE, WorkerThreads
from walker_collector.delivery.waiters import OnAnswer, Waiters
from walker_collector.error_details import place_of
from walker_collector.hookspecs import Person
from walker_collector.interrupts import Notifier
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import DeadLetter, Entry, Erased, Spool, State


class DestinationWorker:
    """Delivers to one destination.

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
    ) -> None:
        config = destination.config
        self._log = log = LogLimiter(destination.context.logger, time.monotonic)
        self.id = destination.id
        self.destination = destination
        self._now = now
        self._pending = PendingEvents(destination, spool, consents, now, log, self._notify_worker)
        self._lock = self._pending.lock
        self._health = Health(config.retry, Breaker(config.breaker), random)
        self._rate_limit = RateLimiter(config.rate_limit) if config.rate_limit else None
        self._waiters = Waiters(destination.id, durable=spool.durable)
        self._changed = Notifier()
        self._flushing: set[object] = set()
        self._initialisation = Initialisation(destination, log)
        self._settlement = Settlement(
            destination,
            self._pending,
            self._health,
            self._initialisation,
            Dispatcher(
                destination,
                consents,
                self._pending.attempt_of,
                partial(EntryProgress, self._pending),
                self._acquire_rate_limit,
                self._health.is_new,
                self._pending.erasures.may_proceed,
                log,
            ),
            self._waiters,
            self._notify_all,
            now,
            log,
        )
        self._threads = WorkerThreads(
            destination.id,
            destination.concurrency,
            self._lock,
            self._next_batch,
            self._settlement.deliver,
            self._interrupted,
            log,
        )

    # --- work ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start with the events that a durable spool has from earlier processes.

        Held ones are checked again: a crash may have come between a grant and its release, and the
        flow may require less consent than before.
        """
        self._pending.holds.release(None)
        self._notify_worker()

    def require(self, others: Sequence["DestinationWorker"]) -> None:
        """Deliver nothing before these other destinations are initialised (`require`)."""
        self._initialisation.require([other._initialisation for other in others])

    def enqueue(self, entries: list[Entry], state: State, on_answer: OnAnswer | None) -> None:
        """Take committed entries, in the order of their numbers. Writes nothing to the spool."""
        with self._lock:
            ready = self._pending.state.queue.ready
            quiet = not ready
            self._pending.add(entries, state)
            if on_answer is not None:
                self._waiters.add(entries, state, on_answer)
                self._settlement.answer_blocked()
                if self._threads.stopping:
                    self._waiters.closed()
            self._pending.linger.arrived(entries[-1][2])
            # If events were ready before, a thread lingers already, and need not wake until the
            # batch is full. But a cautious one may be waiting for an event that can be the probe.
            full = len(ready) >= self.destination.batch_size
            if quiet or on_answer or full or self._health.cautious:
                self._threads.notify()

    def _next_batch(self) -> Batch | Wait:
        hurried = bool(self._flushing or self._waiters)
        found = self._pending.next(self._now(), self._health, hurried=hurried)
        if (
            isinstance(found, Batch)
            and self._pending.state.queue.ready
            and not self._health.cautious
        ):
            self._threads.notify()  # each thread wakes the next, as long as events are ready
        return found

    def _acquire_rate_limit(self) -> bool:
        """Wait until `rateLimit` allows a call; False when the threads stop."""
        if self._rate_limit is None:
            return not self._threads.stopping
        return self._threads.sleep(self._rate_limit.reserve())

    def _interrupted(self, batch: Batch | None) -> None:
        """Put the entries of a delivery back that ended with an error in the collector itself."""
        self._health.breaker.probing = False
        if batch is not None:
            self._pending.put_back(batch, self._now() + int(PAUSE * 1000))
        self._changed.notify_all()

    def _notify_worker(self) -> None:
        """Wake a thread if entries wait."""
        with self._lock:
            if self._pending.state.waiting:
                self._pending.linger.arrived(self._now())
                self._threads.notify()

    def _notify_all(self) -> None:
        self._threads.notify_all()
        self._changed.notify_all()

    def is_worker(self, thread: int) -> bool:
        """Return whether the thread with this identifier delivers to this destination."""
        return self._threads.includes(thread)

    # --- held, dead and erased events ------------------------------------------------------

    def concerns(self, people: set[str] | None) -> bool:
        """Return whether any of these people (None: everybody) has events to release."""
        return people is None or self._pending.holds.holds_any_of(people)

    def release(self, people: set[str] | None) -> list[Entry]:
        """Queue the held events of these people (None: everybody's) that consent admits now."""
        entries = self._pending.holds.release(people)
        # A release pauses the reading from disk; a thread that wanted to read has gone to sleep.
        if entries or people is None or self._pending.state.window.more_on_disk:
            self._notify_worker()
        return entries

    def replay(self, letters: Sequence[DeadLetter], without: Collection[str] = ()) -> int:
        """Queue dead letters again, without the parts in `without`; return their count."""
        count = self._pending.dead_letters.replay(letters, without)
        self._notify_worker()
        return count

    def erase(self, people: set[str], deadline: float) -> set[int]:
        """Remove these people's events from memory; return their numbers.

        The spool removes those on disk. Waits for their entries in flight, until the monotonic
        `deadline` (s).
        """
        with self._lock:
            wait = partial(self._changed.wait, lock=self._lock)
            gone = self._pending.erasures.erase(people, wait, deadline)
            self._waiters.erased(gone)
            self._changed.notify_all()
        return gone

    @contextmanager
    def erasing(self, people: set[str]) -> Iterator[None]:
        """Start no delivery of these people's events inside the block."""
        with self._pending.erasures.erasing(people):
            yield
        self._notify_worker()

    def in_step(self) -> AbstractContextManager[None]:
        """Keep memory and spool the same inside the block."""
        return self._pending.state.unacked.in_step()

    def on_erased(self, people: set[str], removed: Erased) -> set[int]:
        """Adjust memory after the spool has removed these people's events.

        Returns the numbers of events that were in memory only.
        """
        with self._lock:
            gone = self._pending.erasures.on_erased(people, removed)
            self._waiters.erased((gone | removed.seqs) - self._pending.state.in_flight.keys())
            self._changed.notify_all()
        return gone

    def tell_erased(self, person: Person) -> None:
        """Call the hook `erased`, for the destination to drop its memory of a person."""
        try:
            self.destination.hooks.erased(person=person, context=self.destination.context)
        except BaseException as error:  # a plugin's bug must not stop an erasure
            self._log.error(
                "destination %s: erased raised %s at %s",
                self.id,
                type(error).__name__,
                place_of(error),
            )

    def count_deleted(self, count: int) -> None:
        """Subtract dead letters that the spool has deleted."""
        with self._lock:
            self._pending.state.dead -= count

    def count_dropped(self) -> None:
        """Count an event that was dropped at once: consent is denied, and `queue` is false."""
        with self._lock:
            self._pending.state.counts.dropped += 1

    def count_ignored(self, id_: str, name: str) -> None:
        """Count an event that the destination's rules ignore by its name alone."""
        with self._lock:
            self._pending.state.counts.accepted += 1
            self._pending.state.counts.ignored += 1
        logger = self.destination.context.logger
        logger.debug("destination %s: event %s (%s): ignored", self.id, id_, name)

    @property
    def message_parts(self) -> tuple[str, ...]:
        """The parts of a delivery that are messages to people, as the plugin declares them."""
        return tuple(getattr(self.destination.instance, "message_parts", ()))

    # --- room, and figures -----------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """The number of waiting events."""
        return self._pending.state.waiting

    @property
    def needs_maintenance(self) -> bool:
        """Whether `maintain` may have anything to do."""
        return self._pending.holds.needs_maintenance

    def maintain(self) -> None:
        """Drop events held longer than `queueAge`, and write unwritten updates to the spool."""
        self._pending.holds.expire()

    def wait_for_room(
        self, count: int, limit: int, deadline: float, given_up: Callable[[], bool]
    ) -> bool:
        """Wait until `count` more entries fit under `limit`.

        Returns False at the monotonic `deadline` (s), or when `given_up` returns True.
        """

        def fits() -> bool:
            # More than the limit at once fit into an empty queue: else they never would.
            return self._pending.state.waiting + count <= max(limit, count)

        return self._changed.wait_for(lambda: fits() or given_up(), deadline) and fits()

    def wake_waiting(self) -> None:
        """Wake the threads in `wait_for_room` and `flush`, to check their conditions again."""
        self._changed.notify_all()

    def status(self) -> DestinationStatus:
        """Return the current figures."""
        pending = self._pending
        with self._lock:
            oldest = pending.state.queue.oldest
            return DestinationStatus(
                state=self._health.state,
                reason=self._health.reason,
                waiting=pending.state.waiting,
                due=pending.state.queue.retrying,
                held=len(pending.state.held),
                dead=pending.state.dead,
                in_flight=len(pending.state.in_flight),
                oldest_age=0.0 if oldest is None else max(0.0, (self._now() - oldest) / 1000),
                unrecorded=pending.state.unacked.count,
                **attrs.asdict(pending.state.counts),
            )

    # --- end -------------------------------------------------------------------------------

    def flush(self, deadline: float, given_up: Callable[[], bool] = lambda: False) -> bool:
        """Wait until no events wait.

        Returns False at the monotonic `deadline` (s), when `given_up` returns True, or as soon as
        it is clear that the waiting events cannot go before the deadline.
        """
        hurry = object()
        try:
            self._flushing.add(hurry)
            with self._lock:
                self._threads.notify_all()
            over = self._changed.wait_for(
                lambda: not self.waiting or given_up() or self._is_stuck(deadline), deadline
            )
            return over and not self.waiting
        finally:
            self._flushing.discard(hurry)

    def _is_stuck(self, deadline: float) -> bool:
        """Return whether no event can move until the deadline; if one can, wake a thread."""
        with self._lock:
            horizon = self._now() + int((deadline - time.monotonic()) * 1000)
            if self._threads.stopping or self._nothing_moves_before(horizon):
                return True
            self._threads.notify()
            return False

    def _nothing_moves_before(self, horizon: int) -> bool:
        pending = self._pending
        if pending.state.in_flight:
            return False
        if self._health.blocked_beyond(horizon):
            return True
        due = pending.state.queue.next_due
        queue = pending.state.queue
        more = queue.ready or queue.due or pending.state.window.more_on_disk
        return not more and due is not None and due > horizon

    def stop(self, expired: Callable[[], bool]) -> None:
        """Stop the threads and shut the destination down.

        Waits for the deliveries in flight until `expired` returns True.
        """
        self._threads.stop(expired)
        self._pending.state.unacked.write()
        with self._lock:
            self._waiters.closed()
            self._changed.notify_all()
        self._initialisation.shut_down()
