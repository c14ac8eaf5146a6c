"""A lane: the threads that deliver to one destination, and who waits for its answers.

What waits is in the backlog, whose lock guards the lane too; how the destination fares is in
its health; what becomes of an event is a verdict. Hooks are called without the lock.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Final

import attrs

from walker_collector.consent import Ledger
from walker_collector.delivery.backlog import Backlog, Batch
from walker_collector.delivery.dispatch import Destination, Dispatch, event_id
from walker_collector.delivery.disposition import Disposition, dispose, in_order
from walker_collector.delivery.health import Health
from walker_collector.delivery.outcome import DELIVERED, Outcome
from walker_collector.delivery.progress import EntryProgress
from walker_collector.delivery.retry import Breaker, Pace
from walker_collector.delivery.status import Answer, DestinationStatus
from walker_collector.delivery.throttle import Throttle
from walker_collector.errors import DestinationDown, RetryLater, SpoolError
from walker_collector.failures import after_of, place_of, reason_of
from walker_collector.hookspecs import Person
from walker_collector.interrupts import Notifier, uninterrupted
from walker_collector.spool import Change, DeadLetter, Entry, Forgotten, Spool, State
from walker_collector.text import describe, storable

_GLANCE: Final = 0.1
"""How long (s) a worker that ends is waited for at once."""
_ERASED: Final = Answer("erased", "its person was erased")
_CLOSED: Final = {
    True: Answer("closed", "the collector was closed before; it waits in the spool"),
    False: Answer("closed", "the collector was closed before; it is lost, as there is no spool"),
}
_SPOOL_PAUSE: Final = 1.0
"""How long (s) a worker waits before it reads again from a spool that could not be read."""
_LONGEST_WAIT: Final = 3600.0
"""How long (s) a worker waits at most before it looks again: locks take no longer times."""

Waiter = Callable[[str, Answer], None]


class Lane:
    """Delivers to one destination."""

    def __init__(
        self,
        destination: Destination,
        spool: Spool,
        ledger: Ledger,
        now: Callable[[], int],
        random: Callable[[], float],
    ) -> None:
        config = destination.config
        self.id = destination.id
        self.destination = destination
        self._now = now
        self._random = random
        self._logger = destination.context.logger
        self._log = Throttle(self._logger, time.monotonic)
        self._backlog = Backlog(destination, spool, ledger, now, self._log, self._stir)
        self._health = Health(config.retry, Breaker(config.breaker), random)
        self._dispatch = Dispatch(
            destination,
            ledger,
            self._backlog.attempt_of,
            partial(EntryProgress, self._backlog),
            self._turn,
            self._health.is_new,
            self._backlog.may_proceed,
            self._log,
        )
        self._closed = _CLOSED[spool.durable]
        self._pace = Pace(config.rate_limit) if config.rate_limit else None
        self._lock = self._backlog.lock
        self._work_waits = threading.Condition(self._lock)
        self._settled = Notifier()
        self._initializing = threading.Lock()
        self._stopping = threading.Event()
        self._required: tuple[Lane, ...] = ()
        self._waiters: dict[int, Waiter] = {}
        self._workers: list[threading.Thread] = []
        self._idle = 0
        self._flushing: set[object] = set()

    # --- what waits ------------------------------------------------------------------------

    def start(self) -> None:
        """Begin with what a durable spool holds from before.

        A crash may have come between a grant and what it releases, and the flow may ask for less
        than it did.
        """
        self._backlog.release(None)
        self._stir()

    def offer(self, entries: list[Entry], state: State, waiter: Waiter | None) -> None:
        """Take accepted entries, in the order of their numbers. Writes nothing to the spool."""
        with self._lock:
            quiet = bool(self._backlog.queue.ready)
            self._backlog.add(entries, state)
            if waiter is not None:
                for entry in entries:
                    self._waiters[entry[0]] = waiter
                    if state is State.HELD:
                        self._answer(entry[0], Answer("held", "consent not granted"))
                self._answer_blocked()
                if self._stopping.is_set():
                    self._answer_all(self._waiters.keys(), self._closed)
            self._backlog.linger.arrived(entries[-1][2])
            # A worker that waits for company already need not look before the batch is full.
            full = len(self._backlog.queue.ready) >= self.destination.batch_size
            # And while it is cautious, an event of somebody new may be the probe.
            if not quiet or waiter or full or self._health.cautious:
                self._wake_worker()

    def concerns(self, people: set[str] | None) -> bool:
        """Whether `release` has anything to look at."""
        return people is None or self._backlog.concerns(people)

    def release(self, people: set[str] | None) -> list[Entry]:
        """Deliver the held events of these people (None: everybody's) that may now go."""
        entries = self._backlog.release(people)
        # A worker that wanted to read on meanwhile was sent to sleep.
        if entries or people is None or self._backlog.behind:
            self._stir()
        return entries

    def replay(self, letters: Sequence[DeadLetter], without: Collection[str] = ()) -> int:
        """Deliver dead letters again but for the parts in `without`; return how many there were."""
        count = self._backlog.replay(letters, without)
        self._stir()
        return count

    def forget(self, people: set[str], deadline: float) -> set[int]:
        """Remove these people's events from memory; the spool removes them on disk.

        Waits, until the monotonic `deadline` (s), for what is under way to them.
        """
        with self._lock:
            wait = partial(self._settled.wait, lock=self._lock)
            gone = self._backlog.forget(people, wait, deadline)
            self._answer_all(gone, _ERASED)
            self._settled.notify_all()
        return gone

    @contextmanager
    def erasing(self, people: set[str]) -> Iterator[None]:
        """Begin no delivery to these people meanwhile."""
        with self._backlog.erasing(people):
            yield
        self._stir()

    def recorded(self) -> AbstractContextManager[None]:
        """Keep the spool's record and memory the same meanwhile."""
        return self._backlog.recorded()

    def forgotten(self, people: set[str], removed: Forgotten) -> set[int]:
        """Note what the spool has removed of these people; return what was in memory alone."""
        with self._lock:
            gone = self._backlog.forgotten(people, removed)
            self._answer_all((gone | removed.seqs) - self._backlog.flying.keys(), _ERASED)
            self._settled.notify_all()
        return gone

    def tell_erased(self, person: Person) -> None:
        """Have the destination drop what it remembers of a person."""
        try:
            self.destination.hooks.erased(person=person, context=self.destination.context)
        except Exception as error:  # a plugin's bug must not stop an erasure
            self._log.error("destination %s: erased raised %s", self.id, type(error).__name__)

    def count_buried(self, count: int) -> None:
        """Note how many dead letters the spool has removed."""
        with self._lock:
            self._backlog.dead -= count

    def count_dropped(self) -> None:
        """Note an event that was not even held: its consent was denied, and `queue` is false."""
        with self._lock:
            self._backlog.counts.dropped += 1

    def count_ignored(self, id_: str, name: str) -> None:
        """Note an event that the destination need not be asked about."""
        with self._lock:
            self._backlog.counts.accepted += 1
            self._backlog.counts.ignored += 1
        self._logger.debug("destination %s: event %s (%s): ignored", self.id, id_, name)

    @property
    def message_parts(self) -> tuple[str, ...]:
        """The parts of a delivery that are messages to people, as the plugin declares them."""
        return tuple(getattr(self.destination.instance, "message_parts", ()))

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return self._backlog.waiting

    @property
    def untidy(self) -> bool:
        """Whether there may be anything to `tidy`."""
        return self._backlog.untidy

    def tidy(self) -> None:
        """Let go of what has been held longer than `queueAge`, and record what is yet to be."""
        self._backlog.tidy()

    def wait_for_room(
        self, count: int, limit: int, deadline: float, given_up: Callable[[], bool]
    ) -> bool:
        """Wait until `count` more entries fit under `limit`; False at the monotonic deadline, or
        once the waiting is given up.
        """

        def fits() -> bool:
            return self._backlog.waiting + count <= max(limit, count)

        return self._settled.wait_for(lambda: fits() or given_up(), deadline) and fits()

    def wake_waiting(self) -> None:
        """Have those who wait for room, or for everything to be delivered, look again."""
        self._settled.notify_all()

    def _stir(self) -> None:
        """Have a worker look at what waits now."""
        with self._lock:
            if self._backlog.waiting:
                self._backlog.linger.arrived(self._now())
                self._wake_worker()

    # --- workers ---------------------------------------------------------------------------

    def _wake_worker(self) -> None:
        if self._idle:
            self._work_waits.notify()
        elif len(self._workers) < self.destination.concurrency and not self._stopping.is_set():
            try:
                uninterrupted(self._add_worker)
            except RuntimeError as error:  # too many threads, or the interpreter ends
                self._log.error("destination %s: no thread to deliver: %s", self.id, error)

    def _add_worker(self) -> None:
        name = f"walker-{self.id}-{len(self._workers) + 1}"
        worker = threading.Thread(target=self._run, name=name, daemon=True)
        worker.start()
        self._workers.append(worker)

    def is_worker(self, thread: int) -> bool:
        """Whether a thread, by its identifier, delivers to this destination."""
        return any(worker.ident == thread for worker in list(self._workers))

    def _run(self) -> None:
        """Work until the lane stops; a thread that ends otherwise may be replaced."""
        try:
            while self._work():
                pass
        finally:
            with self._lock:
                if not self._stopping.is_set():
                    self._workers.remove(threading.current_thread())

    def _work(self) -> bool:
        """Deliver the next batch; False when the lane stops. Never raises."""
        batch: Batch | None = None
        try:
            batch = self._next()
            if batch is not None:
                self._deliver(batch)
        except SpoolError as error:
            self._interrupted(batch, storable(error))
        except BaseException as error:  # the last resort: nothing may end the thread unseen
            self._interrupted(batch, f"{describe(error)} at {place_of(error)}")
        else:
            return batch is not None
        return not self._stopping.is_set()

    def _interrupted(self, batch: Batch | None, reason: str) -> None:
        """Put the entries of a delivery back that ended with an error of our own, and wait."""
        self._log.error("destination %s: delivery interrupted: %s", self.id, reason)
        with self._lock:
            self._health.breaker.probing = False
            if batch is not None:
                self._backlog.put_back(batch.entries, self._now() + int(_SPOOL_PAUSE * 1000))
            self._work_waits.notify_all()
            self._settled.notify_all()
        self._stopping.wait(_SPOOL_PAUSE)

    def _next(self) -> Batch | None:
        """Wait for the next batch; None when the lane stops."""
        with self._lock:
            while not self._stopping.is_set():
                hurried = bool(self._flushing or self._waiters)
                found = self._backlog.next(self._now(), self._health, hurried=hurried)
                if isinstance(found, Batch):
                    if self._backlog.queue.ready and not self._health.cautious:
                        self._wake_worker()
                    return found
                wait = _LONGEST_WAIT if found.ms is None else min(found.ms / 1000, _LONGEST_WAIT)
                self._idle += 1
                try:
                    self._work_waits.wait(wait)
                finally:
                    self._idle -= 1
        return None

    def _turn(self) -> bool:
        """Wait for a call's turn under `rateLimit`; False once the lane stops."""
        if self._pace is not None:
            with self._lock:
                delay = self._pace.delay(time.monotonic())
            self._stopping.wait(delay)
        return not self._stopping.is_set()

    # --- delivery --------------------------------------------------------------------------

    def _deliver(self, batch: Batch) -> None:
        refused = self.begin()
        if refused is not None:
            self._settle(batch, [refused] * len(batch.entries))
            return
        outcomes = self._dispatch.run(batch.entries, batch.said)
        if outcomes.count(DELIVERED) == len(outcomes):
            self._settle_delivered(batch)
        else:
            self._settle(batch, outcomes)

    def require(self, lanes: Sequence["Lane"]) -> None:
        """Deliver nothing before these other destinations are initialised."""
        self._required = tuple(lanes)

    def begin(self) -> Outcome | None:
        """Initialise the destination before its first delivery; why it can't be, or None."""
        with self._initializing:
            if self._health.ready:
                return None
            for lane in self._required:
                refused = lane.begin()
                if refused is not None:
                    reason = f"waits for destination {lane.id}: {refused.reason}"
                    return attrs.evolve(refused, reason=reason)
            try:
                self.destination.hooks.init(context=self.destination.context)
            except DestinationDown as error:
                return Outcome("unavailable", reason_of(error), down=True)
            except RetryLater as error:
                return Outcome("unavailable", reason_of(error), after=after_of(error))
            except BaseException as error:  # a plugin's bug must not stop the other destinations
                self._log.error(
                    "destination %s: init raised %s at %s",
                    self.id,
                    type(error).__name__,
                    place_of(error),
                )
                return Outcome("unavailable", f"init failed: {describe(error)}", down=True)
            self._health.ready = True
            self._logger.info("destination %s: initialised", self.id)
        return None

    def _settle(self, batch: Batch, outcomes: list[Outcome]) -> None:
        entries, now = batch.entries, self._now()
        with self._lock:
            outcomes = self._judge(batch, outcomes, now)
            made = [self._dispose(*item, now) for item in zip(entries, outcomes, strict=True)]
            made = in_order(entries, batch.people, made, now)
            made = self._backlog.settling(entries, made)
        self._backlog.record([item.change for item in made if item.change is not None])
        with self._lock:
            self._backlog.counts.batches += 1
            self._backlog.finish(entries, outcomes, made)
            for entry, outcome, item in zip(entries, outcomes, made, strict=True):
                self._publish(entry, outcome, item.change)
            self._answer_blocked()
            self._work_waits.notify_all()
            self._settled.notify_all()
        self._requeue_refused()
        self._backlog.bound_dead(self._health.refusals.spared)

    def _judge(self, batch: Batch, outcomes: list[Outcome], now: int) -> list[Outcome]:
        """Learn from the outcomes; return them in the light of what is known then."""
        seqs = [entry[0] for entry in batch.entries]
        people = [person or f"event {seq}" for seq, person in zip(seqs, batch.people, strict=True)]
        outcomes = self._health.single_out(people, outcomes)
        news = self._health.judge(list(zip(seqs, people, outcomes, strict=True)), now)
        self._report(news)
        return self._health.without_refusals(seqs, outcomes)

    def _requeue_refused(self) -> None:
        """Queue the dead letters again that were not the events' fault."""
        refused = self._health.refusals.take_dead()
        if not refused:
            return
        try:
            count = self._backlog.requeue_refused(refused)
        except SpoolError as error:
            self._log.error("destination %s: %s", self.id, storable(error))
            return
        self._log.warning("destination %s: %d dead letter(s) wait again", self.id, count)
        self._stir()

    def _settle_delivered(self, batch: Batch) -> None:
        """Do at once for all what `_settle` does for each: mostly everything is delivered."""
        entries = batch.entries
        with self._lock:
            self._report(self._health.delivered(batch.said.names.values()))
        self._backlog.record_done(entries)
        with self._lock:
            self._backlog.counts.batches += 1
            self._backlog.finish_all(entries)
            if self._waiters:
                for entry in entries:
                    self._answer(entry[0], Answer("delivered"))
            self._work_waits.notify_all()
            self._settled.notify_all()

    def _report(self, news: str | None) -> None:
        if news == "down":
            self._log.error("destination %s is down: %s", self.id, self._health.reason)
        elif news == "failing":
            self._log.warning("destination %s: %s; trying again", self.id, self._health.reason)
        elif news == "retrying":
            self._log.warning(
                "destination %s: events are to be tried again: %s", self.id, self._health.reason
            )
        elif news == "recovered":
            self._log.info("destination %s delivers again", self.id)

    def _dispose(self, entry: Entry, outcome: Outcome, now: int) -> Disposition:
        return dispose(
            entry,
            outcome,
            self._backlog.attempt_of(entry[0]),
            self.destination.config.retry,
            failing=self._health.failing,
            now=now,
            random=self._random,
        )

    # --- answers, progress, figures --------------------------------------------------------

    def _publish(self, entry: Entry, outcome: Outcome, change: Change | None) -> None:
        """Update the figures, log a dead letter, answer a push that waits."""
        counts = self._backlog.counts
        counts.delivered += outcome.kind == "delivered"
        counts.ignored += outcome.kind == "ignored"
        counts.empty += outcome.kind == "empty"
        counts.dropped += outcome.kind == "dropped"
        died = change is not None and change.state is State.DEAD
        reason = change.attempt.reason if change is not None and died else outcome.reason
        if died:
            self._health.refusals.died(entry[0])
            # The text of an unexpected exception may quote the event; it is kept with that alone.
            cause = outcome.brief or reason
            self._log.warning(
                "destination %s: event %s is a dead letter: %s", self.id, event_id(entry), cause
            )
        if not self._waiters:
            return
        if entry[0] in self._backlog.erased:
            self._answer(entry[0], _ERASED)
        elif outcome.kind == "not_attempted":
            return
        elif died:
            self._answer(entry[0], Answer("failed", reason))
        elif outcome.kind in ("delivered", "ignored", "empty", "held", "dropped"):
            self._answer(entry[0], Answer(outcome.kind, reason))
        else:
            self._answer(entry[0], Answer("accepted", f"will be tried again: {reason}"))

    def _answer_blocked(self) -> None:
        """Let nobody wait for a destination that is left alone for a while."""
        if self._waiters and self._backlog.paused(self._now(), self._health):
            answer = Answer("accepted", f"will be tried later: {self._health.reason}")
            for seq in self._waiters.keys() - self._backlog.flying.keys():
                self._answer(seq, answer)

    def _answer_all(self, seqs: Collection[int], answer: Answer) -> None:
        """Give the same answer to those who wait for it of these entries."""
        for seq in self._waiters.keys() & seqs:
            self._answer(seq, answer)

    def _answer(self, seq: int, answer: Answer) -> None:
        waiter = self._waiters.pop(seq, None)
        if waiter is not None:
            waiter(self.id, answer)

    def status(self) -> DestinationStatus:
        """Return the figures as they are now."""
        backlog = self._backlog
        with self._lock:
            oldest = backlog.queue.oldest
            return DestinationStatus(
                state=self._health.state,
                reason=self._health.reason,
                waiting=backlog.waiting,
                due=backlog.queue.retrying,
                held=len(backlog.held),
                dead=backlog.dead,
                in_flight=len(backlog.flying),
                oldest_age=0.0 if oldest is None else max(0.0, (self._now() - oldest) / 1000),
                unrecorded=backlog.unrecorded,
                **attrs.asdict(backlog.counts),
            )

    # --- end -------------------------------------------------------------------------------

    def flush(self, deadline: float, given_up: Callable[[], bool] = lambda: False) -> bool:
        """Wait until nothing waits any more; False at the monotonic `deadline` (s), once the
        waiting is given up, or as soon as it is clear that what waits cannot go before that.
        """
        hurry = object()
        try:
            self._flushing.add(hurry)
            with self._lock:
                self._work_waits.notify_all()
            over = self._settled.wait_for(
                lambda: self._flushed() or given_up() or self._is_stuck(deadline), deadline
            )
            return over and self._flushed()
        finally:
            self._flushing.discard(hurry)

    def _flushed(self) -> bool:
        return not self._backlog.waiting

    def _is_stuck(self, deadline: float) -> bool:
        """Whether what waits stays until the deadline; if not, a worker looks at it."""
        with self._lock:
            if self._stopping.is_set() or self._stuck(deadline - time.monotonic()):
                return True
            self._wake_worker()
            return False

    def _stuck(self, left: float) -> bool:
        """Whether nothing can move within `left` seconds."""
        backlog = self._backlog
        if backlog.flying:
            return False
        horizon = self._now() + int(left * 1000)
        if self._health.blocked_beyond(horizon):
            return True
        due = backlog.queue.next_due
        return not backlog.queue.ready and not backlog.behind and due is not None and due > horizon

    def stop(self, expired: Callable[[], bool]) -> None:
        """Stop the workers, waiting until the time has expired for what is under way, and shut the
        destination down.
        """
        with self._lock:
            self._stopping.set()
            self._work_waits.notify_all()
        for worker in list(self._workers):
            worker.join(_GLANCE)
            while worker.is_alive() and not expired():
                worker.join(_GLANCE)
        self._backlog.record([])
        with self._lock:
            self._answer_all(self._waiters.keys(), self._closed)
            self._settled.notify_all()
        if self._health.ready:
            try:
                self.destination.hooks.shutdown(context=self.destination.context)
            except BaseException as error:  # a plugin's bug must not stop the others' shutdown
                self._log.error("destination %s: shutdown raised %s", self.id, type(error).__name__)
            else:
                self._logger.info("destination %s: shut down", self.id)
