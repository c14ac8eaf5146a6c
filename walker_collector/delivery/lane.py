"""A lane: one destination's queue and the threads that deliver from it.

Everything that changes is guarded by one lock. Hooks are called and the spool is written without
it: the spool offers new entries while it is writing, so waiting for it under the lock would be a
deadlock. Only reading on (`_refill`) happens under it, so that no entry is read twice.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import attrs
from attrs import define, frozen

from walker_collector.config import Consent
from walker_collector.consent import Ledger, Said, granted
from walker_collector.delivery.dispatch import (
    DELIVERED,
    Destination,
    Dispatch,
    Outcome,
    admits,
)
from walker_collector.delivery.queue import HeldEvents, PersonQueue
from walker_collector.delivery.retry import Breaker, Pace, asked, backoff, down_delay, exhausted
from walker_collector.delivery.throttle import Throttle
from walker_collector.errors import DestinationDown, RetryLater, SpoolError
from walker_collector.events import decode
from walker_collector.spool import (
    FRESH,
    Attempt,
    Change,
    DeadLetter,
    Entry,
    Spool,
    State,
    Stored,
)

WINDOW: Final = 10_000
"""Waiting entries that a durable lane keeps in memory; the others stay on disk."""
_SPOOL_PAUSE: Final = 1.0
"""How long (s) a lane waits before it reads again from a spool that could not be read."""
_TOO_MANY_HELD: Final = "queueMax: more events held for consent than that"
BUG_ATTEMPTS: Final = 5
"""How often an event is tried that makes its destination raise something unexpected."""


@frozen
class Answer:
    """What one destination said of one event: "delivered", "held", "ignored", "failed", ..."""

    status: str
    reason: str = ""


@frozen(kw_only=True)
class DestinationStatus:
    """The figures of one destination; counts since the process began, ages in s.

    `dead` are the dead letters that are kept, `died` those that came since the process began.
    """

    state: str
    reason: str = ""
    waiting: int = 0
    due: int = 0
    held: int = 0
    dead: int = 0
    in_flight: int = 0
    accepted: int = 0
    delivered: int = 0
    ignored: int = 0
    retried: int = 0
    died: int = 0
    dropped: int = 0
    batches: int = 0
    oldest_age: float = 0.0


@define
class _Counts:
    accepted: int = 0
    delivered: int = 0
    ignored: int = 0
    retried: int = 0
    died: int = 0
    dropped: int = 0
    batches: int = 0


class Lane:
    """Delivers to one destination; see the module for what is guarded how."""

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
        self._spool = spool
        self._ledger = ledger
        self._now = now
        self._random = random
        self._lock = threading.RLock()
        self._work_waits = threading.Condition(self._lock)
        self._settled = threading.Condition(self._lock)
        self._initializing = threading.Lock()
        self._queue = PersonQueue(ledger.canonical)
        self._held = HeldEvents(config.queue_max)
        self._attempts: dict[int, Attempt] = {}
        self._waiters: dict[int, Callable[[str, Answer], None]] = {}
        self._unsettled: list[Change] = []
        self._dispatch = Dispatch(
            destination, ledger, self._attempt_of, self._progress_of, self._turn
        )
        self._breaker = Breaker(config.breaker)
        self._pace = Pace(config.rate_limit) if config.rate_limit else None
        self._log = Throttle(logging.getLogger("walker_collector.delivery"), time.monotonic)
        self._counts = _Counts()
        self._loaded = 0
        self._behind = spool.durable
        self._waiting = 0
        self._dead = 0
        self._flying: dict[int, Entry] = {}
        self._workers: list[threading.Thread] = []
        self._idle = 0
        self._flushing = 0
        self._frozen = 0
        self._stopping = threading.Event()
        self._ready = False
        self._down = 0
        self._reason = ""
        self._pause_until = 0
        self._whole_failures = 0
        self._first_at = 0
        self._last_at = 0
        self._restore()

    # --- what waits ------------------------------------------------------------------------

    def _restore(self) -> None:
        counts = self._spool.counts().get(self.id, {})
        self._waiting = counts.get(State.WAITING, 0)
        self._dead = counts.get(State.DEAD, 0)
        for stored in self._spool.held(self.id):
            # By which rule is not known: looked at again.
            self._drop(self._held.add(stored.entry), _TOO_MANY_HELD)
            if stored.attempt.parts:
                self._attempts[stored.entry[0]] = stored.attempt

    def start(self) -> None:
        """Begin with what a durable spool holds from before.

        A crash may have come between a grant and what it releases, and the flow may ask for less
        than it did.
        """
        self.release(None)
        with self._lock:
            if self._waiting:
                self._wake_worker()

    def offer(
        self, entries: Sequence[tuple[Entry, State]], waiter: Callable[[str, Answer], None] | None
    ) -> None:
        """Take accepted entries, in the order of their numbers. Writes nothing to the spool."""
        evicted: list[Entry] = []
        with self._lock:
            self._counts.accepted += len(entries)
            quiet = bool(self._queue.ready)
            for entry, state in entries:
                if waiter is not None:
                    self._waiters[entry[0]] = waiter
                if state is State.HELD:
                    evicted += self._held.add(entry)
                    self._answer(entry, Answer("held", "consent not granted"))
            waiting = [entry for entry, state in entries if state is not State.HELD]
            self._waiting += len(waiting)
            self._enqueue(waiting)
            if not self._behind:
                self._loaded = max(self._loaded, entries[-1][0][0])
            self._drop(evicted, _TOO_MANY_HELD)
            self._note_arrival()
            # A worker that waits for company already need not look before the batch is full.
            if not quiet or waiter or len(self._queue.ready) >= self.destination.batch_size:
                self._wake_worker()

    def _enqueue(self, entries: list[Entry]) -> None:
        """Queue new entries; what is too much for a durable lane stays on disk until its turn."""
        if self._behind:
            return
        if entries and entries[0][0] <= self._loaded:  # read from the spool before it was offered
            entries = [entry for entry in entries if entry[0] > self._loaded]
        room = max(0, WINDOW - len(self._queue))
        if self._spool.durable and len(entries) > room:
            self._behind = True
            self._loaded = max(self._loaded, entries[room][0] - 1)
            entries = entries[:room]
        self._queue.add(entries)

    def _note_arrival(self) -> None:
        now = self._now()
        self._last_at = now
        if not self._first_at:
            self._first_at = now

    def _refill(self) -> None:
        """Read on where memory ends."""
        stored = self._spool.load(self.id, self._loaded, WINDOW)
        now = self._now()
        for item in stored:
            self._take_back(item, now)
            self._loaded = item.entry[0]
        if len(stored) < WINDOW:
            self._behind = False
        if stored:
            self._note_arrival()

    def _take_back(self, stored: Stored, now: int) -> None:
        if stored.attempt != FRESH:
            self._attempts[stored.entry[0]] = stored.attempt
        if stored.attempt.due > now:
            self._queue.restore(stored.attempt.due, stored.entry)
        else:
            self._queue.add([stored.entry])

    def wait_for_room(self, count: int, limit: int, deadline: float) -> bool:
        """Wait until `count` more entries fit under `limit`; False at the monotonic deadline."""
        with self._lock:
            while self._waiting + count > max(limit, count):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._settled.wait(left)
        return True

    # --- consent ---------------------------------------------------------------------------

    def release(self, people: set[str] | None) -> list[Entry]:
        """Make ready the held events of these people (None: everybody's) that may now go.

        `people` are all keys of one person: what is under way to one of them holds back all.
        """
        self.tidy()
        with self._reading_paused():
            with self._lock:
                if people is not None:
                    self._queue.rejoin(people)
                bases: dict[str, Consent] = {}
                candidates = self._held.of(people)
                entries = [entry for entry in candidates if self._admitted(entry, bases)]
                self._unhold(entries)
                self._queue_again(entries)
            if entries:
                self._record([])
        return entries

    def _unhold(self, entries: list[Entry]) -> None:
        """Hold entries no longer; the spool is told with the next record."""
        for entry in entries:
            self._held.remove(entry)
        self._unsettled += [Change(entry, State.WAITING, released=True) for entry in entries]

    def _overtaken(self, batch: list[Entry], bases: dict[str, Consent]) -> list[Entry]:
        """Return the held events that a batch would overtake, although they may go by now."""
        if not self._held:
            return []
        people = {entry[1] for entry in batch if entry[1] in self._held}
        # Newer ones overtake nobody; and what is beyond the part read would be read once more.
        older = [entry for entry in self._held.of(people) if entry < max(batch)]
        return [entry for entry in older if self._admitted(entry, bases)]

    def replay(self, letters: Sequence[DeadLetter]) -> int:
        """Queue dead letters again, with their attempts forgotten; return how many there were."""
        with self._reading_paused():
            revived = self._spool.revive(letters)
            with self._lock:
                self._dead -= len(revived)
                self._attempts.update(
                    (item.entry[0], item.attempt) for item in revived if item.attempt.parts
                )
                self._queue_again([stored.entry for stored in revived])
        return len(revived)

    def _queue_again(self, entries: list[Entry]) -> None:
        """Queue entries that were set aside; those beyond the part read will be read in turn."""
        self._waiting += len(entries)
        if entries and not self._behind:
            self._loaded = max(self._loaded, entries[-1][0])
        self._queue.insert([e for e in entries if not self._behind or e[0] <= self._loaded])
        self._note_arrival()
        self._wake_worker()

    @contextmanager
    def _reading_paused(self) -> Iterator[None]:
        """Keep the queue from being refilled, so that an entry is not both queued and read."""
        with self._lock:
            self._frozen += 1
        try:
            yield
        finally:
            with self._lock:
                self._frozen -= 1
                self._work_waits.notify()

    def _admitted(self, entry: Entry, bases: dict[str, Consent]) -> bool:
        """Whether a held entry may go, or must be looked at again for its rule's consent."""
        consent = self._consent(entry, bases)
        return admits(self.destination, consent) and consent != self._held.under(entry)

    def _consent(self, entry: Entry, bases: dict[str, Consent]) -> Consent:
        """Return what is granted for an entry; `bases` remembers what each person said."""
        person = entry[1]
        if person not in bases:
            bases[person] = self._ledger.base(person)
        return granted({**bases[person], **(decode(entry[3]).get("consent") or {})})

    def forget(self, people: set[str], deadline: float) -> set[int]:
        """Remove these people's events from the queue; the spool removes them on disk.

        Waits, until the monotonic `deadline` (s), for what is under way to them.
        """

        def theirs(entry: Entry) -> bool:
            return entry[1] in people

        with self._lock:
            removed = self._queue.remove(theirs)
            while any(map(theirs, self._flying.values())) and time.monotonic() < deadline:
                self._settled.wait(deadline - time.monotonic())
                removed += self._queue.remove(theirs)
            if not self._spool.durable:  # else the spool counts what it removes
                self._waiting -= len(removed)
            held = self._held.of(people)
            for entry in held:
                self._held.remove(entry)
            for entry in [*removed, *held]:
                self._attempts.pop(entry[0], None)
                self._waiters.pop(entry[0], None)
            self._settled.notify_all()
        return {entry[0] for entry in [*removed, *held]}

    def forgotten(self, waiting: int, dead: int) -> None:
        """Note how many waiting events and dead letters the spool has removed."""
        with self._lock:
            self._waiting -= waiting
            self._dead -= dead
            self._settled.notify_all()

    def tidy(self) -> None:
        """Let go of what has been held longer than `queueAge`, and record what is yet to be."""
        limit = self._now() - self.destination.config.queue_age
        with self._lock:
            expired = self._held.older_than(limit)
            for entry in expired:
                self._held.remove(entry)
            self._drop(expired, "queueAge: held for consent longer than that")
            nothing = not self._unsettled
        if not nothing:
            self._record([])

    def _drop(self, entries: list[Entry], reason: str) -> None:
        """Let go of held entries; the spool is told with the next record."""
        if entries:
            self._counts.dropped += len(entries)
            for entry in entries:
                self._attempts.pop(entry[0], None)
            self._unsettled += [Change(entry, None) for entry in entries]
            self._log.warning(
                "destination %s: %d event(s) dropped (%s)", self.id, len(entries), reason
            )

    # --- workers ---------------------------------------------------------------------------

    def _wake_worker(self) -> None:
        if self._idle:
            self._work_waits.notify()
        elif len(self._workers) < self.destination.concurrency and not self._stopping.is_set():
            name = f"walker-{self.id}-{len(self._workers) + 1}"
            worker = threading.Thread(target=self._work, name=name, daemon=True)
            try:
                worker.start()
            except RuntimeError as error:  # too many threads, or the interpreter ends
                self._log.error("destination %s: no thread to deliver: %s", self.id, error)
            else:
                self._workers.append(worker)

    def _work(self) -> None:
        while True:
            try:
                batch = self._next()
            except SpoolError as error:
                self._log.error("destination %s: %s", self.id, error)
                self._stopping.wait(_SPOOL_PAUSE)
                continue
            if batch is None:
                return
            self._deliver(batch)

    def _next(self) -> "_Batch | None":
        """Wait for the next batch; None when the lane stops."""
        with self._lock:
            while not self._stopping.is_set():
                now = self._now()
                wait = self._wait(now)
                if wait == 0:
                    batch = self._take()
                    if batch is not None:
                        return batch
                    wait = self._until_due(now)
                self._idle += 1
                self._work_waits.wait(None if wait is None else wait / 1000)
                self._idle -= 1
        return None

    def _wait(self, now: int) -> int | None:
        """Return how long (ms) until a batch may be taken; None: until something changes."""
        self._queue.wake(now)
        if now < self._pause_until:
            return self._pause_until - now
        if not self._breaker.allows(now):
            return max(1, self._breaker.opens_at - now) if not self._breaker.probing else None
        if self._behind and not self._frozen and len(self._queue) < WINDOW // 2:
            self._refill()
        if not self._queue.ready:
            return self._until_due(now)
        return self._linger(now)

    def _until_due(self, now: int) -> int | None:
        due = self._queue.next_due
        return None if due is None else max(1, due - now)

    def _linger(self, now: int) -> int:
        """Return how long (ms) a batch that is not full may still wait for company."""
        destination = self.destination
        if self._flushing or len(self._queue.ready) >= destination.batch_size:
            return 0
        if self._waiters:
            return 0
        batch = destination.config.batch
        age = batch.age if batch and batch.age is not None else destination.linger
        wait = batch.wait if batch and batch.wait is not None else age
        if batch and batch.age is None:
            age = max(age, wait)
        return max(0, min(self._last_at + wait, self._first_at + age) - now)

    def _take(self) -> "_Batch | None":
        destination = self.destination
        size = 1 if self._breaker.open else self._share()
        entries = self._queue.take(size, destination.batch_bytes)
        try:
            said = self._ledger.said({entry[1] for entry in entries})
        except SpoolError:
            self._queue.put_back(entries)
            raise
        if overtaken := self._overtaken(entries, said.bases):
            # A grant is known, but what it releases is not queued yet: those go first.
            self._queue.put_back(entries)
            self._unhold(overtaken)
            self._queue_again(overtaken)
            return self._take()
        if not entries:
            return None
        self._flying.update({entry[0]: entry for entry in entries})
        self._breaker.started()
        self._first_at = self._now() if self._queue.ready else 0
        if self._queue.ready:
            self._wake_worker()
        return _Batch(entries, said)

    def _share(self) -> int:
        """Return how many events one worker takes: where each is a call of its own, no more than
        leaves the other workers theirs.
        """
        destination = self.destination
        if destination.hooks.push_batch is not None:
            return destination.batch_size
        share = -(-len(self._queue.ready) // destination.concurrency)
        return max(1, min(destination.batch_size, share))

    def _deliver(self, batch: "_Batch") -> None:
        outcomes = self._begin() or self._run(batch)
        if isinstance(outcomes, Outcome):
            outcomes = [outcomes] * len(batch.entries)
        self._settle(batch.entries, outcomes)

    def _run(self, batch: "_Batch") -> list[Outcome]:
        return self._dispatch.run(batch.entries, batch.said)

    def _turn(self) -> bool:
        """Wait for a call's turn under `rateLimit`; False once the lane stops."""
        if self._pace is not None:
            with self._lock:
                delay = self._pace.delay(time.monotonic())
            self._stopping.wait(delay)
        return not self._stopping.is_set()

    def _begin(self) -> Outcome | None:
        """Initialise the destination before its first delivery; why it can't be, or None."""
        with self._initializing:
            if self._ready:
                return None
            try:
                self.destination.hooks.init(context=self.destination.context)
            except DestinationDown as error:
                return Outcome("back", error.reason, down=True)
            except Exception as error:  # a plugin's bug must not stop the other destinations
                self._log.error("destination %s: init raised %s", self.id, type(error).__name__)
                return Outcome("back", f"init failed: {type(error).__name__}: {error}", down=True)
            self._ready = True
        return None

    # --- what came of it -------------------------------------------------------------------

    def _settle(self, batch: list[Entry], outcomes: list[Outcome]) -> None:
        if outcomes.count(DELIVERED) == len(batch):
            self._settle_delivered(batch)
            return
        now = self._now()
        with self._lock:
            self._counts.batches += 1
            self._judge(outcomes, now)
            verdicts = [
                self._verdict(entry, outcome, now)
                for entry, outcome in zip(batch, outcomes, strict=True)
            ]
        self._record([verdict for verdict in verdicts if verdict is not None])
        with self._lock:
            for entry in batch:
                del self._flying[entry[0]]
            self._drop(self._move(batch, outcomes, verdicts), _TOO_MANY_HELD)
            self._work_waits.notify_all()
            self._settled.notify_all()
        self._bound_dead()

    def _settle_delivered(self, batch: list[Entry]) -> None:
        """Do at once for all what `_settle` does for each: mostly everything is delivered."""
        with self._lock:
            self._recovered()
        self._record([Change(entry, None) for entry in batch])
        with self._lock:
            self._counts.batches += 1
            self._counts.delivered += len(batch)
            self._waiting -= len(batch)
            for entry in batch:
                del self._flying[entry[0]]
                if self._attempts:
                    self._attempts.pop(entry[0], None)
                if self._waiters:
                    self._answer(entry, Answer("delivered"))
            self._queue.finish(batch)
            self._work_waits.notify_all()
            self._settled.notify_all()

    def _judge(self, outcomes: list[Outcome], now: int) -> None:
        """Learn from a batch how the destination fares."""
        whole = next((item for item in outcomes if item.kind == "back" and item.reason), None)
        config = self.destination.config
        if whole is not None and whole.down:
            self._down += 1
            self._reason = whole.reason
            self._pause(now + down_delay(self._down))
            self._breaker.probing = False
            self._log.error("destination %s is down: %s", self.id, whole.reason)
        elif whole is not None:
            self._whole_failures += 1
            self._reason = whole.reason
            self._breaker.failed(now)
            pause = max(
                backoff(config.retry, self._whole_failures, self._random),
                asked(whole.after, config.retry.cap),
            )
            self._pause(now + pause)
            self._log.warning("destination %s: %s; trying again", self.id, whole.reason)
        elif any(item.kind in ("delivered", "told", "rejected") for item in outcomes):
            self._recovered()
        else:
            self._breaker.probing = False
            for outcome in outcomes:
                if outcome.kind == "retry":
                    self._breaker.failed(now)
                    self._reason = outcome.reason

    def _recovered(self) -> None:
        if self._down or self._breaker.open:
            self._log.info("destination %s delivers again", self.id)
        self._breaker.succeeded()
        self._down = 0
        self._whole_failures = 0
        self._reason = ""

    def _pause(self, until: int) -> None:
        self._pause_until = max(self._pause_until, until)

    def _verdict(self, entry: Entry, outcome: Outcome, now: int) -> Change | None:
        """Return what is to be recorded of an entry; None: nothing, it stays as it was."""
        before = self._attempts.get(entry[0], FRESH)
        kind = outcome.kind
        if kind in ("delivered", "told", "ignored", "dropped"):
            return Change(entry, None)
        if kind == "held":
            return Change(entry, State.HELD, attrs.evolve(before, consent=outcome.consent), now)
        if kind == "back" and not outcome.reason:
            return None
        fails = self._breaker.open or kind == "back"
        attempt = attrs.evolve(
            before,
            # While it fails for everybody, a failure says nothing about this event.
            count=before.count + (not fails or kind in ("rejected", "bug")),
            reason=outcome.reason,
            consent=outcome.consent,
        )
        if kind == "rejected":
            return Change(entry, State.DEAD, attempt, now)
        return self._again(entry, outcome, attempt, now)

    def _again(self, entry: Entry, outcome: Outcome, attempt: Attempt, now: int) -> Change | None:
        retry = self.destination.config.retry
        limit = BUG_ATTEMPTS if outcome.kind == "bug" else retry.attempts
        over = exhausted(attempt.count, min(limit, retry.attempts), now - entry[2], retry.age)
        if over and not outcome.down:
            dead = attrs.evolve(attempt, reason=f"given up after {over}: {outcome.reason}")
            return Change(entry, State.DEAD, dead, now)
        if outcome.kind == "back":
            self._attempts[entry[0]] = attempt
            return None
        wait = backoff(retry, max(1, attempt.count), self._random)
        due = now + max(wait, asked(outcome.after, retry.cap))
        return Change(entry, State.WAITING, attrs.evolve(attempt, due=due), now)

    def _record(self, changes: list[Change]) -> None:
        """Tell the spool; what it cannot take now is told again with the next."""
        with self._lock:
            changes = [*self._unsettled, *changes]
            self._unsettled = []
        if not changes:
            return
        try:
            self._spool.settle(self.id, changes)
        except SpoolError as error:
            self._log.error("destination %s: %s", self.id, error)
            with self._lock:
                self._unsettled = [*changes, *self._unsettled]

    def _move(
        self, batch: list[Entry], outcomes: list[Outcome], verdicts: list[Change | None]
    ) -> list[Entry]:
        """Bring queue, figures and those who wait for an answer up to date; who had to go."""
        evicted: list[Entry] = []
        done: list[Entry] = []
        back: list[Entry] = []
        behind: list[Entry] = []
        bases: dict[str, Consent] = {}
        retrying: set[str] = set()
        for entry, outcome, change in zip(batch, outcomes, verdicts, strict=True):
            person = self._queue.person(entry)
            if change is not None and change.state is State.WAITING:
                self._attempts[entry[0]] = change.attempt
                self._counts.retried += 1
            if outcome.kind == "held" and self._consent(entry, bases) != outcome.consent:
                # A grant has overtaken the decision: not held, but first in line again.
                self._unsettled.append(Change(entry, State.WAITING, released=True))
                back.append(entry)
            elif change is not None and change.state is not State.WAITING:
                done.append(entry)
                evicted += self._leave(entry, change)
                if change.state is State.DEAD:
                    self._log_dead(entry, outcome, change)
            elif person in retrying:
                behind.append(entry)
            elif change is None:
                back.append(entry)
            else:
                self._queue.retry(change.attempt.due, entry)
                retrying |= {person} - {""}
            self._answer_outcome(entry, outcome, change)
        self._queue.hold_back(behind)
        self._queue.finish(done)
        self._queue.put_back(back)
        return evicted

    def _leave(self, entry: Entry, change: Change) -> list[Entry]:
        """Note that an entry waits no longer."""
        self._waiting -= 1
        self._attempts.pop(entry[0], None)
        if change.state is State.HELD:
            if change.attempt.parts:
                self._attempts[entry[0]] = change.attempt
            return self._held.add(entry, change.attempt.consent)
        if change.state is State.DEAD:
            self._dead += 1
            self._counts.died += 1
        return []

    def _log_dead(self, entry: Entry, outcome: Outcome, change: Change) -> None:
        # The text of an unexpected exception may quote the event; it is kept with that alone.
        reason = "an unexpected exception" if outcome.kind == "bug" else change.attempt.reason
        self._log.warning(
            "destination %s: event %s is a dead letter: %s", self.id, entry[0], reason
        )

    def _bound_dead(self) -> None:
        excess = self._dead - self.destination.config.dlq_max
        if excess <= 0:
            return
        try:
            dropped = self._spool.bury(self._spool.dead(self.id, excess))
        except SpoolError as error:
            self._log.error("destination %s: %s", self.id, error)
            return
        with self._lock:
            self._dead -= dropped
            self._counts.dropped += dropped
        self._log.error(
            "destination %s: %d oldest dead letter(s) dropped (dlqMax)", self.id, dropped
        )

    # --- answers, progress, figures --------------------------------------------------------

    def _answer_outcome(self, entry: Entry, outcome: Outcome, change: Change | None) -> None:
        if outcome.kind == "delivered":
            self._counts.delivered += 1
        elif outcome.kind == "ignored":
            self._counts.ignored += 1
        elif outcome.kind == "dropped":
            self._counts.dropped += 1
        if not self._waiters or (outcome.kind == "back" and not outcome.reason):
            return
        if change is not None and change.state is State.DEAD:
            self._answer(entry, Answer("failed", change.attempt.reason))
        elif outcome.kind in ("delivered", "ignored", "held", "dropped"):
            self._answer(entry, Answer(outcome.kind, outcome.reason))
        else:
            self._answer(entry, Answer("accepted", f"will be tried again: {outcome.reason}"))

    def _answer(self, entry: Entry, answer: Answer) -> None:
        waiter = self._waiters.pop(entry[0], None)
        if waiter is not None:
            waiter(self.id, answer)

    def _attempt_of(self, seq: int) -> Attempt:
        return self._attempts.get(seq, FRESH)

    def _progress_of(self, entry: Entry) -> "_Progress":
        return _Progress(self, entry)

    def part(self, entry: Entry, part: str) -> str | None:
        """Return how far a part of an entry's delivery is."""
        return self._attempt_of(entry[0]).parts.get(part)

    def mark(self, entry: Entry, part: str, state: str) -> None:
        """Record durably how far a part of an entry's delivery is.

        Raises RetryLater once the delivery was given up, so that a call that hung goes no further.
        """
        with self._lock:
            if entry[0] not in self._flying:
                raise RetryLater("this delivery was given up")
            before = self._attempt_of(entry[0])
            after = attrs.evolve(before, parts={**before.parts, part: state})
            self._attempts[entry[0]] = after
        self._spool.settle(self.id, [Change(entry, State.WAITING, after, self._now())])

    def status(self) -> DestinationStatus:
        """Return the figures as they are now."""
        with self._lock:
            oldest = min((entry[2] for entry in self._queue.entries()), default=None)
            return DestinationStatus(
                state=self._state(),
                reason=self._reason,
                waiting=self._waiting,
                due=self._queue.retrying,
                held=len(self._held),
                dead=self._dead,
                in_flight=len(self._flying),
                oldest_age=0.0 if oldest is None else max(0.0, (self._now() - oldest) / 1000),
                **attrs.asdict(self._counts),
            )

    def _state(self) -> str:
        if self._down:
            return "down"
        if self._breaker.open:
            return "failing"
        return "ready" if self._ready else "idle"

    # --- end -------------------------------------------------------------------------------

    def flush(self, deadline: float) -> bool:
        """Wait until nothing waits any more; False at the monotonic `deadline` (s), or as soon
        as it is clear that what waits cannot go before it.
        """
        with self._lock:
            self._flushing += 1
            self._work_waits.notify_all()
            try:
                while self._waiting:
                    left = deadline - time.monotonic()
                    if left <= 0 or self._stuck(left):
                        return False
                    self._wake_worker()
                    self._settled.wait(min(left, 1.0))
            finally:
                self._flushing -= 1
        return True

    def _stuck(self, left: float) -> bool:
        """Whether nothing can move within `left` seconds."""
        if self._flying:
            return False
        horizon = self._now() + int(left * 1000)
        if self._pause_until > horizon:
            return True
        if self._breaker.open and self._breaker.opens_at > horizon:
            return True
        due = self._queue.next_due
        return not self._queue.ready and not self._behind and due is not None and due > horizon

    def stop(self, deadline: float) -> None:
        """Stop the workers, waiting for what is under way, and shut the destination down."""
        with self._lock:
            self._stopping.set()
            self._work_waits.notify_all()
        for worker in self._workers:
            worker.join(max(0.1, deadline - time.monotonic()))
        self._record([])
        if self._ready:
            try:
                self.destination.hooks.shutdown(context=self.destination.context)
            except Exception as error:  # a plugin's bug must not stop the others' shutdown
                self._log.error("destination %s: shutdown raised %s", self.id, type(error).__name__)


@frozen
class _Batch:
    """Entries under way, with what their people's consent was when they were taken."""

    entries: list[Entry]
    said: Said


@define(eq=False)  # not frozen: one is made per event, which takes three times as long
class _Progress:
    """How far the delivery of one entry is; see hookspecs.Progress."""

    _lane: Lane
    _entry: Entry

    def state(self, part: str) -> str | None:
        return self._lane.part(self._entry, part)

    def begin(self, part: str) -> None:
        self._lane.mark(self._entry, part, "begun")

    def finish(self, part: str) -> None:
        self._lane.mark(self._entry, part, "done")
