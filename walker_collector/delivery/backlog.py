"""What waits for one destination, is held for consent, or is under way; and the spool's record.

Everything here is guarded by `lock`. The spool is written without it: the spool offers new
entries while it is writing, so waiting for it under the lock would be a deadlock. Only reading
on (`refill`) happens under it, so that no entry is read twice; `thawed` is called when more may
be read after it could not for a while.
"""

import threading
import time
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from attrs import frozen

from walker_collector.config import Consent, PartState
from walker_collector.consent import Ledger, Said, granted
from walker_collector.delivery.consent_hold import ConsentHold
from walker_collector.delivery.dispatch import Destination
from walker_collector.delivery.disposition import Disposition
from walker_collector.delivery.health import Health
from walker_collector.delivery.linger import Linger
from walker_collector.delivery.outcome import Outcome
from walker_collector.delivery.queue import PersonQueue
from walker_collector.delivery.status import Counts
from walker_collector.delivery.throttle import Throttle
from walker_collector.errors import RetryLater, SpoolError
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
    Stored,
)

WINDOW: Final = 10_000
"""Waiting entries that are kept in memory beside a durable spool; the others stay on disk."""
_SLICE: Final = 1_000
"""Entries that are read at once, with the lane locked: a push may wait for that."""
_TOO_MANY_HELD: Final = "queueMax: more events held for consent than that"


@frozen
class Batch:
    """Entries under way, with what their people's consent was when they were taken."""

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


class Backlog:
    """The entries of one destination that are not done with."""

    def __init__(
        self,
        destination: Destination,
        spool: Spool,
        ledger: Ledger,
        now: Callable[[], int],
        log: Throttle,
        thawed: Callable[[], None],
    ) -> None:
        self.lock = threading.RLock()
        self.queue = PersonQueue(ledger.canonical)
        self.held = ConsentHold(destination.config.queue_max)
        self.flying: dict[int, Entry] = {}
        self.counts = Counts()
        self.linger = Linger.of(destination.config.batch, destination.linger)
        self._revoked: set[int] = set()
        """Entries under way whose person was erased: nothing of them is sent any more."""
        self._settling: set[int] = set()
        """Entries under way of which it is decided what becomes of them."""
        self.erased: set[int] = set()
        """Entries that were under way when their person was erased, and were not delivered."""
        self._writing = threading.RLock()
        """Held while memory is ahead of the spool, or it of memory; never waited for under `lock`.
        An erasure counts what it removes by the spool, when both say the same."""
        self._destination = destination
        self._spool = spool
        self._ledger = ledger
        self._joins = ledger.follow()
        self._now = now
        self._log = log
        self._attempts: dict[int, Attempt] = {}
        self._unsettled: list[Change] = []
        self._newest = 0
        """The number of the last entry that was taken."""
        self._loaded = 0
        self._behind = spool.durable
        self._frozen = 0
        self._thawed = thawed
        counts = spool.counts().get(destination.id, {})
        self.waiting = counts.get(State.WAITING, 0)
        self.dead = counts.get(State.DEAD, 0)
        for stored in spool.held(destination.id):
            # By which rule is not known: looked at again.
            self._drop(self.held.add(self._owned(stored.entry)), _TOO_MANY_HELD)
            if stored.attempt.parts:
                self._attempts[stored.entry[0]] = stored.attempt

    # --- coming in -------------------------------------------------------------------------

    def add(self, entries: list[Entry], state: State) -> None:
        """Take accepted entries, in the order of their numbers; the spool is not written.

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
            if not self._behind:
                self._loaded = max(self._loaded, last)
            self.counts.accepted += count
            self._newest = last
            self._drop(evicted, _TOO_MANY_HELD)
            return
        fitting, behind, loaded = self._fitting(entries)
        enqueue = self.queue.ready.extend
        # Nothing is called between these lines, so that no signal handler runs: all or nothing.
        self.counts.accepted += count
        self.waiting += count
        self._newest = last
        self._behind = behind
        self._loaded = loaded
        enqueue(fitting)

    def _fitting(self, entries: list[Entry]) -> tuple[list[Entry], bool, int]:
        """Return those of new entries that memory has room for, the others staying on disk until
        their turn; whether any do; and the number up to which entries are in memory then.
        """
        if self._behind:
            return [], True, self._loaded
        last = entries[-1][0]
        if entries[0][0] <= self._loaded:  # read from the spool before it was offered
            entries = [entry for entry in entries if entry[0] > self._loaded]
        room = max(0, WINDOW - len(self.queue)) if self._spool.durable else len(entries)
        if len(entries) <= room:
            return entries, False, max(self._loaded, last)
        return entries[:room], True, max(self._loaded, entries[room][0] - 1)

    @property
    def behind(self) -> bool:
        """Whether more waits on disk than in memory."""
        return self._behind

    def refill(self) -> bool:
        """Read on where memory ends, where that is due; tell whether there was anything."""
        if not self._behind or self._frozen or len(self.queue) >= WINDOW // 2:
            return False
        if any(change.released and change.entry[0] > self._loaded for change in self._unsettled):
            return False  # on disk it is held still, and would be passed over
        limit = min(_SLICE, WINDOW)
        stored = self._spool.load(self._destination.id, self._loaded, limit)
        now = self._now()
        for item in stored:
            self._take_back(item, now)
            self._loaded = item.entry[0]
        if len(stored) < limit:
            self._behind = False
        return bool(stored)

    def _take_back(self, stored: Stored, now: int) -> None:
        if stored.attempt is not FRESH:
            self._attempts[stored.entry[0]] = stored.attempt
        if stored.attempt.due > now:
            self.queue.restore(stored.attempt.due, stored.entry)
        else:
            self.queue.add([stored.entry])

    # --- going out -------------------------------------------------------------------------

    def next(self, now: int, health: Health, *, hurried: bool) -> Batch | Wait:
        """Return the next batch, or how long to wait for one; `hurried`: not for company."""
        self.queue.wake(now)
        wait = self.paused(now, health)
        if wait != 0:
            return Wait(wait)
        if self.refill():
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
            batch = self._with_consent(lambda: self.queue.take_probe(health.is_new, health.random))
        else:
            batch = self.take(self._share(), self._destination.batch_bytes)
        if batch is not None:
            health.started()
            self.linger.taken(now, more=bool(self.queue.ready))
        return batch

    def _share(self) -> int:
        """Return the batch size. Without push_batch, split ready events among the workers."""
        destination = self._destination
        if destination.hooks.push_batch is not None:
            return destination.batch_size
        share = -(-len(self.queue.ready) // destination.concurrency)
        return max(1, min(destination.batch_size, share))

    def take(self, size: int, size_bytes: int | None) -> Batch | None:
        """Take the next batch; None where nothing is ready. Raises SpoolError, taking nothing."""
        return self._with_consent(lambda: self.queue.take(size, size_bytes))

    def _with_consent(self, take: Callable[[], list[Entry]]) -> Batch | None:
        self._follow_joins()
        entries = take()
        try:
            said = self._ledger.said({entry[1] for entry in entries})
        except SpoolError:
            self.queue.put_back(entries)
            raise
        if overtaken := self._overtaken(entries, said):
            # A grant is known, but what it releases is not queued yet: those go first.
            self.queue.put_back(entries)
            self._unhold(overtaken)
            return self._with_consent(take)
        self.flying.update({entry[0]: entry for entry in entries})
        return Batch(entries, said) if entries else None

    def finish_all(self, entries: list[Entry]) -> None:
        """Note that all of a batch was delivered."""
        self.counts.delivered += len(entries)
        self.waiting -= len(entries)
        for entry in entries:
            del self.flying[entry[0]]
            if self._attempts:
                self._attempts.pop(entry[0], None)
        if self._revoked:
            self._revoked.difference_update(entry[0] for entry in entries)
        self.queue.finish(entries)

    def settling(self, entries: list[Entry], dispositions: list[Disposition]) -> list[Disposition]:
        """Return what to record of a batch: what was erased while it was under way is done, however
        it went. An erasure that begins now waits for the others to be where they belong.
        """
        self._settling.update(entry[0] for entry in entries)
        if not self._revoked:
            return dispositions
        return [
            Disposition(Change(entry, None), FRESH) if entry[0] in self._revoked else item
            for entry, item in zip(entries, dispositions, strict=True)
        ]

    def finish(
        self, entries: list[Entry], outcomes: list[Outcome], dispositions: list[Disposition]
    ) -> None:
        """Move the entries of a batch: away, on hold, to a retry, or back in line."""
        done: list[Entry] = []
        back: list[Entry] = []
        behind: list[Entry] = []
        evicted: list[Entry] = []
        self._follow_joins()
        bases: dict[str, Consent] = {}
        retrying: set[str] = set()
        for entry, outcome, disposition in zip(entries, outcomes, dispositions, strict=True):
            del self.flying[entry[0]]
            self._settling.discard(entry[0])
            person = self.queue.person(entry)
            change = disposition.change
            if entry[0] in self._revoked:
                done.append(entry)
                self._revoked.discard(entry[0])
                self._attempts.pop(entry[0], None)
                self.waiting -= 1
                if outcome.kind not in ("delivered", "notified"):
                    self.erased.add(entry[0])
            elif outcome.kind == "held" and self._consent(entry, bases) != outcome.consent:
                # A grant has overtaken the decision: not held, but first in line again.
                self._unsettled.append(Change(entry, State.WAITING, released=True))
                back.append(entry)
            elif change is not None and change.state is not State.WAITING:
                done.append(entry)
                evicted += self._leave(entry, change)
            else:
                self._remember(entry, disposition)
                if person in retrying:
                    behind.append(entry)
                elif change is None:
                    back.append(entry)
                else:
                    self.queue.retry(change.attempt.due, entry)
                    retrying |= {person} - {""}
        self.queue.hold_back(behind)
        self.queue.finish(done)
        self.queue.put_back(back)
        self._drop(evicted, _TOO_MANY_HELD)

    def _remember(self, entry: Entry, disposition: Disposition) -> None:
        if disposition.change is not None:
            self.counts.retried += 1
        if disposition.attempt != FRESH:
            self._attempts[entry[0]] = disposition.attempt

    def _leave(self, entry: Entry, change: Change) -> list[Entry]:
        """Note that an entry waits no longer; return what must go to make room for it."""
        self.waiting -= 1
        self._attempts.pop(entry[0], None)
        if change.state is State.HELD:
            if change.attempt.parts:
                self._attempts[entry[0]] = change.attempt
            return self.held.add(self._owned(entry), change.attempt.consent)
        if change.state is State.DEAD:
            self.dead += 1
            self.counts.died += 1
        return []

    # --- consent ---------------------------------------------------------------------------

    def release(self, people: set[str] | None) -> list[Entry]:
        """Queue the held events of these people (None: everybody's) that may now go."""
        with self.lock:
            self._follow_joins()
            if people is not None and not self.held.concerns(people):
                return []
        self.tidy()
        with self._writing, self.reading_paused():
            with self.lock:
                bases: dict[str, Consent] = {}
                candidates = self.held.of(people)
                entries = [entry for entry in candidates if self._admitted(entry, bases)]
                self._unhold(entries)
            if entries:
                self.record([])
        return entries

    def concerns(self, people: set[str]) -> bool:
        """Whether anything is held of these people, or of keys that have turned out theirs."""
        with self.lock:
            return bool(self.held) and self.held.concerns({*people, *dict(self._joins.copy())})

    def _follow_joins(self) -> None:
        """Let what is held or under way be of the people whom keys have turned out to be.

        Called before anything is taken, so that whoever signs in waits for what is under way to
        the session: nothing accepted after a join is seen before the join is.
        """
        while self._joins:
            key, person = self._joins.popleft()
            self.queue.rejoin([key])
            self.held.join(key, person)

    def _owned(self, entry: Entry) -> Entry:
        """Return an entry as one of the person it belongs to by now."""
        person = self._ledger.canonical(entry[1])
        return entry if person == entry[1] else (entry[0], person, *entry[2:])

    def _unhold(self, entries: list[Entry]) -> None:
        """Hold entries no longer; the spool is told with the next record."""
        for entry in entries:
            self.held.remove(entry)
        self._unsettled += [Change(entry, State.WAITING, released=True) for entry in entries]
        self._queue_again(entries)

    def _overtaken(self, batch: list[Entry], said: Said) -> list[Entry]:
        """Return the held events that a batch would overtake, although they may go by now."""
        if not self.held:
            return []
        people = {person for person in said.names.values() if person in self.held}
        bases: dict[str, Consent] = {}
        # Newer ones overtake nobody; and what is beyond the part read would be read once more.
        older = [entry for entry in self.held.of(people) if entry < max(batch)]
        return [entry for entry in older if self._admitted(entry, bases)]

    def _admitted(self, entry: Entry, bases: dict[str, Consent]) -> bool:
        """Whether a held entry may go, or must be looked at again for its rule's consent."""
        consent = self._consent(entry, bases)
        return self._destination.admits(consent) and consent != self.held.under(entry)

    def _consent(self, entry: Entry, bases: dict[str, Consent]) -> Consent:
        """Return what is granted for an entry; `bases` remembers what each person said."""
        person = entry[1]
        if person not in bases:
            bases[person] = self._ledger.base(person)
        return granted({**bases[person], **(decode(entry[3]).get("consent") or {})})

    def _queue_again(self, entries: list[Entry]) -> None:
        """Queue entries that were set aside; those beyond the part read will be read in turn."""
        self.waiting += len(entries)
        read = [entry for entry in entries if not self._behind or entry[0] <= self._loaded]
        self.queue.insert(sorted(read))

    @contextmanager
    def reading_paused(self) -> Iterator[None]:
        """Keep the queue from being refilled, so that an entry is not both queued and read."""
        with self.lock:
            self._frozen += 1
        try:
            yield
        finally:
            self._thaw()

    def _thaw(self) -> None:
        with self.lock:
            self._frozen -= 1
            if self._behind and not self._frozen:
                self._thawed()

    @contextmanager
    def erasing(self, people: set[str]) -> Iterator[None]:
        """Let nothing of these people be read or taken meanwhile."""
        with self.reading_paused():
            with self.lock:
                self.queue.block(people)
            try:
                yield
            finally:
                with self.lock:
                    self.queue.unblock(people)

    # --- set aside, and gone ---------------------------------------------------------------

    def replay(self, letters: Sequence[DeadLetter], without: Collection[str] = ()) -> int:
        """Queue dead letters again, with their attempts forgotten; return how many there were.

        The parts named in `without` are left out.
        """
        count = self._requeue(letters, without)
        self.counts.replayed += count
        return count

    def _requeue(self, letters: Sequence[DeadLetter], without: Collection[str] = ()) -> int:
        with self._writing, self.reading_paused():
            revived = self._spool.revive(letters, without)
            with self.lock:
                self.dead -= len(revived)
                self._attempts.update(
                    (item.entry[0], item.attempt) for item in revived if item.attempt.parts
                )
                self._queue_again([stored.entry for stored in revived])
        return len(revived)

    def forget(
        self, people: set[str], wait: Callable[[float], object], deadline: float
    ) -> set[int]:
        """Remove these people's events from memory; the spool removes them on disk.

        `wait`s, until the monotonic `deadline` (s), for what is under way to them.
        """

        def under_way() -> set[int]:
            return {seq for seq, entry in self.flying.items() if entry[1] in people}

        self._follow_joins()
        self.erased.clear()
        revoked = under_way() - self._settling
        self._revoked |= revoked
        gone = self._remove(people)
        while under_way() and time.monotonic() < deadline:
            wait(deadline - time.monotonic())
        self._revoked |= under_way()
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

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Keep the spool's record and memory the same: what is yet to be recorded is, and nothing
        is released or replayed meanwhile.
        """
        with self._writing:
            self.record([])
            yield

    def forgotten(self, people: set[str], removed: Forgotten) -> set[int]:
        """Note what the spool has removed of these people: none of it is sent any more. Return
        what was in memory alone.
        """
        gone = self._remove(people)  # what was pushed or replayed meanwhile
        waiting = removed.counts.get((self._destination.id, State.WAITING), 0)
        # What is under way still is counted when its answer comes.
        self.waiting -= waiting - sum(seq in removed.seqs for seq in self.flying)
        self.dead -= removed.counts.get((self._destination.id, State.DEAD), 0)
        return gone

    @property
    def untidy(self) -> bool:
        """Whether anything is held, or yet to be recorded."""
        return bool(self._unsettled or self.held)

    def tidy(self) -> None:
        """Let go of what has been held longer than `queueAge`, and record what is yet to be."""
        with self.lock:
            needed = bool(self._unsettled or self._expired())
        if needed:
            uninterrupted(self._tidy)

    def _expired(self) -> list[Entry]:
        return self.held.older_than(self._now() - self._destination.config.queue_age)

    def _tidy(self) -> None:
        with self.lock:
            expired = self._expired()
            for entry in expired:
                self.held.remove(entry)
            self._drop(expired, "queueAge: held for consent longer than that")
            unsettled = bool(self._unsettled)
        if unsettled:
            self.record([])

    def _drop(self, entries: list[Entry], reason: str) -> None:
        """Let go of held entries; the spool is told with the next record."""
        if entries:
            self.counts.dropped += len(entries)
            for entry in entries:
                self._attempts.pop(entry[0], None)
            self._unsettled += [Change(entry, None) for entry in entries]
            self._log.warning(
                "destination %s: %d event(s) dropped (%s)",
                self._destination.id,
                len(entries),
                reason,
            )

    def may_proceed(self, entry: Entry) -> bool:
        """Tell whether an entry under way may still be sent, or its person is being erased."""
        return entry[0] not in self._revoked and not self.queue.is_blocked(self.queue.person(entry))

    def put_back(self, entries: list[Entry], due: int) -> None:
        """Have entries of an interrupted delivery wait until `due` (ms), each person's in order."""
        first: set[str] = set()
        behind: list[Entry] = []
        for entry in entries:
            if self.flying.pop(entry[0], None) is None:
                continue
            person = self.queue.person(entry)
            if person in first:
                behind.append(entry)
            else:
                first |= {person} - {""}
                self.queue.retry(due, entry)
        self.queue.hold_back(behind)

    def requeue_refused(self, seqs: Container[int]) -> int:
        """Queue the dead letters with these numbers again; return how many there were."""
        letters = [item for item in self._spool.dead(self._destination.id) if item.seq in seqs]
        count = self._requeue(letters) if letters else 0
        self.counts.requeued += count
        return count

    def bound_dead(self, spared: int) -> None:
        """Delete the oldest dead letters beyond `dlqMax`; the newest `spared` do not count yet."""
        excess = self.dead - spared - self._destination.config.dlq_max
        if excess <= 0:
            return
        try:
            dropped = self._spool.bury(self._spool.dead(self._destination.id, excess))
        except SpoolError as error:
            self._log.error("destination %s: %s", self._destination.id, error)
            return
        with self.lock:
            self.dead -= dropped
            self.counts.dead_dropped += dropped
        self._log.error(
            "destination %s: %d oldest dead letter(s) dropped (dlqMax)",
            self._destination.id,
            dropped,
        )

    # --- the record ------------------------------------------------------------------------

    def record(self, changes: list[Change]) -> None:
        """Tell the spool; what it cannot take now is told again with the next."""
        with self._writing:
            self._record(changes)

    def _record(self, changes: list[Change]) -> None:
        with self.lock:
            changes = [*self._unsettled, *changes]
            self._unsettled = []
            # What is released must be so on disk as well before more is read from there.
            releases = any(change.released for change in changes)
            self._frozen += releases
        if not changes:
            return
        try:
            self._spool.settle(self._destination.id, changes)
        except BaseException as error:
            with self.lock:
                self._unsettled = [*changes, *self._unsettled]
            if not isinstance(error, SpoolError):
                raise  # a signal handler raised
            self._log.error("destination %s: %s", self._destination.id, error)
        finally:
            if releases:
                self._thaw()

    def record_done(self, entries: list[Entry]) -> None:
        """Tell the spool of entries that are done with, as most are."""
        if not self._unsettled:
            try:
                self._spool.finish(self._destination.id, entries)
            except SpoolError as error:
                self._log.error("destination %s: %s", self._destination.id, error)
                with self.lock:
                    self._unsettled += [Change(entry, None) for entry in entries]
        else:
            self.record([Change(entry, None) for entry in entries])

    @property
    def unrecorded(self) -> int:
        """How many entries are done with, of which the spool could not be told yet."""
        done = (None, State.DEAD)
        return len({change.entry[0] for change in self._unsettled if change.state in done})

    def attempt_of(self, seq: int) -> Attempt:
        """Return what earlier deliveries of an entry left behind."""
        return self._attempts.get(seq, FRESH)

    def mark(self, entry: Entry, part: str, state: PartState | None, reason: str = "") -> None:
        """Record durably how far a part of an entry's delivery is; None: it was not begun.

        Raises RetryLater once the delivery was given up, so that a call that hung goes no further.
        """
        with self.lock:
            if entry[0] not in self.flying:
                raise RetryLater("this delivery was given up")
            before = self.attempt_of(entry[0])
            after = before.with_part(part, state, reason)
            self._attempts[entry[0]] = after
        self._spool.settle(self._destination.id, [Change(entry, State.WAITING, after, self._now())])
