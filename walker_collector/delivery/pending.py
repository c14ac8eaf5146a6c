"""The events of one destination that have not left it: waiting, held for consent, in flight."""

import threading
import time
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from attrs import frozen

from walker_collector.config import Consent, PartState
from walker_collector.consent import Ledger, Said, granted
from walker_collector.delivery.consent_hold import ConsentHold
from walker_collector.delivery.destination import Destination
from walker_collector.delivery.health import Health
from walker_collector.delivery.keyed_queue import KeyedQueue
from walker_collector.delivery.linger import Linger
from walker_collector.delivery.log_limiter import LogLimiter
from walker_collector.delivery.outcome import Disposition, Outcome
from walker_collector.delivery.status import Counts
from walker_collector.delivery.unacked import UnackedUpdates
from walker_collector.delivery.window import SpoolWindow
from walker_collector.errors import RetryLater
from walker_collector.events import decode
from walker_collector.interrupts import uninterrupted
from walker_collector.spool import (
    FRESH,
    Attempt,
    Change,
    DeadLetter,
    Entry,
    Forgotten,
    Spool,
    State,
)

_TOO_MANY_HELD: Final = "queueMax: more events held for consent than that"
_TOO_LONG_HELD: Final = "queueAge: held for consent longer than that"


@frozen
class Batch:
    """Entries in flight, with the consent of their people when they were taken."""

    entries: list[Entry]
    said: Said

    @property
    def people(self) -> list[str]:
        """The person of each entry, by the key that was known when it was taken."""
        return [self.said.names[entry[1]] for entry in self.entries]


@frozen
class Wait:
    """How long (ms) until a batch may be taken; None: until something changes."""

    ms: int | None


class PendingEvents:
    """Owns the queue, the hold and the entries in flight of one destination.

    Everything is guarded by `lock`, which is never held while the spool is written; only reading on
    from disk happens under it, so that no entry is read twice.
    """

    def __init__(
        self,
        destination: Destination,
        spool: Spool,
        ledger: Ledger,
        now: Callable[[], int],
        log: LogLimiter,
        on_refill_resumed: Callable[[], None],
    ) -> None:
        self.lock = threading.RLock()
        self.queue = KeyedQueue(ledger.canonical)
        self.held = ConsentHold(destination.config.queue_max)
        self.in_flight: dict[int, Entry] = {}
        self.window = SpoolWindow(spool, destination.id)
        self.unacked = UnackedUpdates(
            spool, destination.id, self.lock, self.window, on_refill_resumed, log
        )
        self.linger = Linger.of(destination.config.batch, destination.linger)
        self.counts = Counts()
        self._destination = destination
        self._spool = spool
        self._ledger = ledger
        self._joins = ledger.follow()
        self._now = now
        self._log = log
        self._attempts: dict[int, Attempt] = {}
        self._newest = 0
        """The number of the last entry that was added."""
        self._revoked: set[int] = set()
        """Entries in flight whose person was erased: nothing of them is sent any more."""
        self._settling: set[int] = set()
        """Entries in flight whose disposition is decided, but not followed yet."""
        self.erased: set[int] = set()
        """Entries that were in flight when their person was erased, and were not delivered."""
        counts = spool.counts().get(destination.id, {})
        self.waiting = counts.get(State.WAITING, 0)
        self.dead = counts.get(State.DEAD, 0)
        for stored in spool.held(destination.id):
            # The consent of which rule it waits for is not stored: it is looked at again.
            self._drop(self.held.add(self._owned(stored.entry)), _TOO_MANY_HELD)
            if stored.attempt.parts:
                self._attempts[stored.entry[0]] = stored.attempt

    # --- add -------------------------------------------------------------------------------

    def add(self, entries: list[Entry], state: State) -> None:
        """Take committed entries, in the order of their numbers.

        A signal handler may raise in the midst. Called again with the same entries then, it ends
        what it has begun: nothing is taken or counted twice.
        """
        last, count = entries[-1][0], len(entries)
        if last <= self._newest:
            return
        if state is State.HELD:
            try:
                evicted = [out for entry in entries for out in self.held.add(self._owned(entry))]
            except BaseException:
                self.held.mend()
                raise
            self.window.seen(last)
            self.counts.accepted += count
            self._newest = last
            self._drop(evicted, _TOO_MANY_HELD)
            return
        window, counts, enqueue = self.window, self.counts, self.queue.ready.extend
        fitting, more_on_disk, loaded_up_to = window.admit(entries, len(self.queue))
        # Nothing is called between these lines, so that no signal handler runs: all or nothing.
        counts.accepted += count
        self.waiting += count
        self._newest = last
        window.more_on_disk = more_on_disk
        window.loaded_up_to = loaded_up_to
        enqueue(fitting)

    def _refill(self) -> bool:
        """Load the next slice of waiting entries from disk when memory runs low.

        Returns whether any were loaded.
        """
        if not self.window.wants_refill(len(self.queue)):
            return False
        if self.unacked.releases_beyond(self.window.loaded_up_to):
            return False
        stored, now = self.window.read_on(), self._now()
        for item in stored:
            if item.attempt is not FRESH:
                self._attempts[item.entry[0]] = item.attempt
            if item.attempt.due > now:
                self.queue.restore(item.attempt.due, item.entry)
            else:
                self.queue.add([item.entry])
        return bool(stored)

    # --- next ------------------------------------------------------------------------------

    def next(self, now: int, health: Health, *, hurried: bool) -> Batch | Wait:
        """Return the next batch, or how long to wait for one; `hurried`: not for company.

        Raises SpoolError, with nothing taken.
        """
        self.queue.wake(now)
        wait = self.paused(now, health)
        if wait != 0:
            return Wait(wait)
        if self._refill():
            self.linger.arrived(now)
        if self.queue.ready:
            full = len(self.queue.ready) >= self._destination.batch_size
            wait = 0 if hurried or full else self.linger.left(now)
            if wait:
                return Wait(wait)
            if batch := self._next_batch(now, health):
                return batch
        due = self.queue.next_due
        return Wait(None if due is None else max(1, due - now))

    def paused(self, now: int, health: Health) -> int | None:
        """Return how long (ms) the destination's health keeps deliveries from starting."""
        return health.wait(now, lambda: self.queue.has_new(health.is_new))

    def _next_batch(self, now: int, health: Health) -> Batch | None:
        if health.cautious:
            batch = self.take(lambda: self.queue.take_probe(health.is_new, health.random))
        else:
            size, size_bytes = self._batch_size(), self._destination.batch_bytes
            batch = self.take(lambda: self.queue.take(size, size_bytes))
        if batch is not None:
            health.started()
            self.linger.taken(now, more=bool(self.queue.ready))
        return batch

    def _batch_size(self) -> int:
        """Return the batch size. Without push_batch, split ready events among the threads."""
        destination = self._destination
        if destination.hooks.push_batch is not None:
            return destination.batch_size
        share = -(-len(self.queue.ready) // destination.concurrency)
        return max(1, min(destination.batch_size, share))

    def take(self, take: Callable[[], list[Entry]]) -> Batch | None:
        """Put into flight what `take` takes from the queue; None where that is nothing."""
        self._follow_joins()
        entries = take()
        try:
            said = self._ledger.said({entry[1] for entry in entries})
        except BaseException:
            self.queue.put_back(entries)
            raise
        if overtaken := self._overtaken(entries, said):
            # A grant is known, but what it releases is not queued yet: those go first.
            self.queue.put_back(entries)
            self._unhold(overtaken)
            return self.take(take)
        self.in_flight.update({entry[0]: entry for entry in entries})
        return Batch(entries, said) if entries else None

    # --- settle ----------------------------------------------------------------------------

    def decide(self, batch: Batch, dispositions: list[Disposition]) -> list[Disposition]:
        """Return the dispositions to write: entries erased while in flight are done, however their
        delivery went. An erasure that begins now waits until the others are followed.
        """
        self._settling.update(entry[0] for entry in batch.entries)
        if not self._revoked:
            return dispositions
        return [
            Disposition(Change(entry, None), FRESH) if entry[0] in self._revoked else item
            for entry, item in zip(batch.entries, dispositions, strict=True)
        ]

    def settle(
        self, batch: Batch, outcomes: list[Outcome], dispositions: list[Disposition]
    ) -> None:
        """Follow the dispositions of a batch, which the spool has: move its entries."""
        self._follow_joins()
        self._move(batch.entries, outcomes, dispositions)

    def settle_delivered(self, batch: Batch) -> None:
        """Do at once for all what `settle` does for each: mostly everything is delivered."""
        entries = batch.entries
        self.counts.batches += 1
        self.counts.delivered += len(entries)
        self.waiting -= len(entries)
        for entry in entries:
            del self.in_flight[entry[0]]
            if self._attempts:
                self._attempts.pop(entry[0], None)
        if self._revoked:
            self._revoked.difference_update(entry[0] for entry in entries)
        self.queue.finish(entries)

    def _move(
        self, entries: list[Entry], outcomes: list[Outcome], dispositions: list[Disposition]
    ) -> None:
        """Move entries out of flight: away, on hold, to a retry, or back in line."""
        self.counts.batches += 1
        done: list[Entry] = []
        back: list[Entry] = []
        behind: list[Entry] = []
        bases: dict[str, Consent] = {}
        retrying: set[str] = set()
        for entry, outcome, disposition in zip(entries, outcomes, dispositions, strict=True):
            del self.in_flight[entry[0]]
            self._settling.discard(entry[0])
            self.counts.add(outcome.kind)
            person = self.queue.person(entry)
            change = disposition.change
            if entry[0] in self._revoked:
                self._revoked.discard(entry[0])
                self._leave(entry)
                done.append(entry)
                if outcome.kind not in ("delivered", "notified"):
                    self.erased.add(entry[0])
            elif outcome.kind == "held" and self._consent(entry, bases) != outcome.consent:
                # A grant has overtaken the decision: not held, but first in line again.
                self.unacked.add([Change(entry, State.WAITING, released=True)])
                back.append(entry)
            elif change is not None and change.state is not State.WAITING:
                self._leave(entry, change)
                done.append(entry)
            else:
                self._remember(entry, disposition)
                if person in retrying:
                    # Its person's earlier entry waits for a retry, and this one for that.
                    behind.append(entry)
                elif change is None:
                    back.append(entry)
                else:
                    self.queue.retry(change.attempt.due, entry)
                    retrying |= {person} - {""}
        self.queue.hold_back(behind)
        self.queue.finish(done)
        self.queue.put_back(back)

    def _remember(self, entry: Entry, disposition: Disposition) -> None:
        if disposition.change is not None:
            self.counts.retried += 1
        if disposition.attempt != FRESH:
            self._attempts[entry[0]] = disposition.attempt

    def _leave(self, entry: Entry, change: Change | None = None) -> None:
        """Note that an entry waits no longer: it is gone, held or dead."""
        self.waiting -= 1
        self._attempts.pop(entry[0], None)
        if change is None or change.state is None:
            return
        if change.state is State.DEAD:
            self.dead += 1
            self.counts.died += 1
            return
        if change.attempt.parts:
            self._attempts[entry[0]] = change.attempt
        evicted = self.held.add(self._owned(entry), change.attempt.consent)
        self._drop(evicted, _TOO_MANY_HELD)

    def put_back(self, batch: Batch, due: int) -> None:
        """Have the entries of an interrupted delivery wait until `due` (ms), in order."""
        first: set[str] = set()
        behind: list[Entry] = []
        for entry in batch.entries:
            if self.in_flight.pop(entry[0], None) is None:
                continue
            person = self.queue.person(entry)
            if person in first:
                behind.append(entry)
            else:
                first |= {person} - {""}
                self.queue.retry(due, entry)
        self.queue.hold_back(behind)

    # --- release ---------------------------------------------------------------------------

    def release(self, people: set[str] | None) -> list[Entry]:
        """Queue the held events of these people (None: everybody's) that consent admits now."""
        with self.lock:
            self._follow_joins()
            if people is not None and not self.held.concerns(people):
                return []
        self.expire_held()
        with self.unacked.writing, self._refill_paused():
            with self.lock:
                bases: dict[str, Consent] = {}
                candidates = self.held.of(people)
                entries = [entry for entry in candidates if self._admits(entry, bases)]
                self._unhold(entries)
            if entries:
                self.unacked.write()
        return entries

    def holds_any_of(self, people: set[str]) -> bool:
        """Return whether anything is held of these people, or of keys that turned out theirs."""
        with self.lock:
            return bool(self.held) and self.held.concerns({*people, *dict(self._joins.copy())})

    def _follow_joins(self) -> None:
        """Re-key held and in-flight entries after keys have turned out to be other people's.

        Called before anything is taken, so that whoever signs in waits for what is in flight of
        the session: nothing accepted after a join is seen before the join is.
        """
        while self._joins:
            key, person = self._joins.popleft()
            self.queue.rejoin([key])
            self.held.join(key, person)

    def _owned(self, entry: Entry) -> Entry:
        """Return an entry under the key of the person it belongs to now."""
        person = self._ledger.canonical(entry[1])
        return entry if person == entry[1] else (entry[0], person, *entry[2:])

    def _unhold(self, entries: list[Entry]) -> None:
        for entry in entries:
            self.held.remove(entry)
        self.unacked.add(Change(entry, State.WAITING, released=True) for entry in entries)
        self._queue_again(entries)

    def _overtaken(self, batch: list[Entry], said: Said) -> list[Entry]:
        """Return the held events that a batch would overtake, although consent admits them now."""
        if not self.held:
            return []
        people = {person for person in said.names.values() if person in self.held}
        bases: dict[str, Consent] = {}
        # Newer ones overtake nobody; and those beyond the window would be read once more.
        older = [entry for entry in self.held.of(people) if entry < max(batch)]
        return [entry for entry in older if self._admits(entry, bases)]

    def _admits(self, entry: Entry, bases: dict[str, Consent]) -> bool:
        """Return whether a held entry may go, or its rule's consent must be asked again."""
        consent = self._consent(entry, bases)
        return self._destination.admits(consent) and consent != self.held.under(entry)

    def _consent(self, entry: Entry, bases: dict[str, Consent]) -> Consent:
        """Return the keys granted for an entry; `bases` caches those of each person."""
        person = entry[1]
        if person not in bases:
            bases[person] = self._ledger.base(person)
        return granted({**bases[person], **(decode(entry[3]).get("consent") or {})})

    def _queue_again(self, entries: list[Entry]) -> None:
        """Queue entries that were set aside; those beyond the window are read in their turn."""
        self.waiting += len(entries)
        self.queue.insert(sorted(filter(self.window.covers, entries)))

    @contextmanager
    def _refill_paused(self) -> Iterator[None]:
        """Keep entries from being both queued here and read from disk."""
        with self.lock:
            self.window.pause_refill()
        try:
            yield
        finally:
            self.unacked.resume_refill()

    @property
    def needs_maintenance(self) -> bool:
        """Whether anything is held, or not written yet."""
        return bool(self.unacked or self.held)

    def expire_held(self) -> None:
        """Drop entries held longer than `queueAge`, and write the updates that are kept."""
        with self.lock:
            needed = bool(self.unacked or self._expired())
        if needed:
            uninterrupted(self._expire_held)

    def _expired(self) -> list[Entry]:
        return self.held.older_than(self._now() - self._destination.config.queue_age)

    def _expire_held(self) -> None:
        with self.lock:
            expired = self._expired()
            for entry in expired:
                self.held.remove(entry)
            self._drop(expired, _TOO_LONG_HELD)
            unacked = bool(self.unacked)
        if unacked:
            self.unacked.write()

    def _drop(self, entries: list[Entry], reason: str) -> None:
        """Drop held entries; the spool learns of it with the next write."""
        if not entries:
            return
        self.counts.dropped += len(entries)
        for entry in entries:
            self._attempts.pop(entry[0], None)
        self.unacked.add(Change(entry, None) for entry in entries)
        self._log.warning(
            "destination %s: %d event(s) dropped (%s)", self._destination.id, len(entries), reason
        )

    # --- requeue ---------------------------------------------------------------------------

    def requeue(self, letters: Sequence[DeadLetter], without: Collection[str] = ()) -> int:
        """Queue dead letters again, with their attempts cleared; return how many there were.

        The parts named in `without` are left out.
        """
        with self.unacked.writing, self._refill_paused():
            revived = self._spool.revive(letters, without)
            with self.lock:
                self.dead -= len(revived)
                self._attempts.update(
                    (item.entry[0], item.attempt) for item in revived if item.attempt.parts
                )
                self._queue_again([stored.entry for stored in revived])
        return len(revived)

    def replay(self, letters: Sequence[DeadLetter], without: Collection[str] = ()) -> int:
        """Do as `requeue`, on somebody's word."""
        count = self.requeue(letters, without)
        self.counts.replayed += count
        return count

    def requeue_refused(self, seqs: Container[int]) -> int:
        """Queue the dead letters with these numbers again; return how many there were."""
        letters = [item for item in self._spool.dead(self._destination.id) if item.seq in seqs]
        count = self.requeue(letters) if letters else 0
        self.counts.requeued += count
        return count

    def bound_dead(self, spared: int) -> int:
        """Delete the oldest dead letters beyond `dlqMax`, but for the newest `spared`.

        Returns how many. Raises SpoolError.
        """
        excess = self.dead - spared - self._destination.config.dlq_max
        if excess <= 0:
            return 0
        dropped = self._spool.bury(self._spool.dead(self._destination.id, excess))
        with self.lock:
            self.dead -= dropped
            self.counts.dead_dropped += dropped
        return dropped

    # --- erase -----------------------------------------------------------------------------

    @contextmanager
    def erasing(self, people: set[str]) -> Iterator[None]:
        """Let nothing of these people be read or taken meanwhile."""
        with self._refill_paused():
            with self.lock:
                self.queue.block(people)
            try:
                yield
            finally:
                with self.lock:
                    self.queue.unblock(people)

    def erase(self, people: set[str], wait: Callable[[float], object], deadline: float) -> set[int]:
        """Remove these people's events from memory; the spool removes them on disk.

        `wait`s, until the monotonic `deadline` (s), for their entries in flight.
        """

        def in_flight() -> set[int]:
            return {seq for seq, entry in self.in_flight.items() if entry[1] in people}

        self._follow_joins()
        self.erased.clear()
        revoked = in_flight() - self._settling
        self._revoked |= revoked
        gone = self._remove(people)
        while in_flight() and time.monotonic() < deadline:
            wait(deadline - time.monotonic())
        self._revoked |= in_flight()
        return gone | self._remove(people) | (self.erased & revoked)

    def _remove(self, people: set[str]) -> set[int]:
        removed = self.queue.remove(lambda entry: entry[1] in people)
        if not self._spool.durable:  # else the spool counts what it removes
            self.waiting -= len(removed)
        held = self.held.of(people)
        for entry in held:
            self.held.remove(entry)
        for entry in [*removed, *held]:
            self._attempts.pop(entry[0], None)
        return {entry[0] for entry in [*removed, *held]}

    def on_erased(self, people: set[str], removed: Forgotten) -> set[int]:
        """Follow the spool, which has removed these people's events.

        Returns the numbers of those that were in memory alone.
        """
        gone = self._remove(people)  # pushed or replayed meanwhile
        waiting = removed.counts.get((self._destination.id, State.WAITING), 0)
        # Entries in flight are counted when their outcome comes.
        self.waiting -= waiting - sum(seq in removed.seqs for seq in self.in_flight)
        self.dead -= removed.counts.get((self._destination.id, State.DEAD), 0)
        return gone

    def may_proceed(self, entry: Entry) -> bool:
        """Tell whether an entry in flight may still be sent, or its person is being erased."""
        return entry[0] not in self._revoked and not self.queue.is_blocked(self.queue.person(entry))

    # --- delivery states -------------------------------------------------------------------

    def attempt_of(self, seq: int) -> Attempt:
        """Return the delivery state that earlier attempts left behind."""
        return self._attempts.get(seq, FRESH)

    def mark(self, entry: Entry, part: str, state: PartState | None, reason: str = "") -> None:
        """Write durably how far a part of an entry's delivery is; None: it was not begun.

        Raises RetryLater once the delivery was given up, so that a call that hung goes no further.
        """
        with self.lock:
            if entry[0] not in self.in_flight:
                raise RetryLater("this delivery was given up")
            after = self.attempt_of(entry[0]).with_part(part, state, reason)
            self._attempts[entry[0]] = after
        self._spool.settle(self._destination.id, [Change(entry, State.WAITING, after, self._now())])
