"""The state of one destination's pending events, shared by the modules that work on it."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress

from walker_collector.delivery.consent_hold import ConsentHold
from walker_collector.delivery.destination import Destination
from walker_collector.delivery.keyed_queue import KeyedQueue, size_of
from walker_collector.delivery.log_limiter import LogLimiter
from walker_collector.delivery.status import Counts
from walker_collector.delivery.unacked import UnackedUpdates
from walker_collector.delivery.waiters import Waiters
from walker_collector.delivery.window import SpoolWindow
from walker_collector.errors import SpoolError
from walker_collector.interrupts import Notifier
from walker_collector.moments import SteadyClock
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import LAST_SEQ, DeliveryState, Entry, Spool, State, shard_of


class PendingState:
    """The entries of one destination by their place (queue, hold, flight, disk), and counters.

    `lock` guards everything. It is never held while the spool is written; but entries are read
    from disk under it, so that none is read twice. `wake` wakes a worker for queued entries.
    """

    def __init__(
        self,
        destination: Destination,
        spool: Spool,
        consents: ConsentStore,
        now: SteadyClock,
        log: LogLimiter,
        wake: Callable[[], None],
    ) -> None:
        self.destination = destination
        self.spool = spool
        self.consents = consents
        self.now = now
        self.log = log
        self.wake = wake
        self.lock = threading.RLock()
        self.queue = KeyedQueue(consents.ordering_key, consents.ordering_keys)
        self.held = ConsentHold(destination.config.queue_max)
        self.in_flight: dict[int, Entry] = {}
        self.window = SpoolWindow(spool, destination.id, self.owns_entry)
        self.unacked = UnackedUpdates(spool, destination.id, self.lock, self.window, wake, log)
        self.waiters = Waiters(destination.id, durable=spool.durable)
        self.changed = Notifier()
        """Notified when entries have moved."""
        self.attempts: dict[int, DeliveryState] = {}
        """Delivery states of entries that were tried before, by their numbers."""
        self.bytes = 0
        """The bytes of JSON of the waiting entries in memory: queued, or in flight."""
        self.unwritten = False
        """Whether damaged entries have become dead letters that the spool does not know of."""
        self.counts = Counts()
        self.waiting = 0
        self.dead = 0
        self.held_elsewhere = 0
        """Held entries of a spool that another process delivers from."""
        self.figures: Mapping[State, int] = {}
        """With several shards: the counts of all of them, as they were when they were asked for."""
        self.sharded = spool.shards > 1
        """Whether other processes may deliver at the same time, to other people."""
        self.shards = frozenset[int]() if spool.durable else frozenset((0,))
        """The shards that this process delivers."""

    @property
    def shards(self) -> frozenset[int]:
        return self._shards

    @shards.setter
    def shards(self, shards: frozenset[int]) -> None:
        self._shards = shards
        self.leased = bool(shards)
        """Whether this process delivers: others may, from a spool that they share."""
        self.window.shards = shards if self.sharded else None
        self.destination.share.value = len(shards) / self.spool.shards

    @property
    def delivers_all(self) -> bool:
        """Whether no other process delivers to the destination."""
        return len(self._shards) == self.spool.shards

    def owns(self, person: str, seq: int = 0) -> bool:
        """Return whether an event is in this process's shards, given the key of its person."""
        return shard_of(person, seq, self.spool.shards) in self._shards

    def owns_entry(self, entry: Entry) -> bool:
        """Return whether an event is in this process's shards, as its person is known now."""
        return self.owns(self.consents.canonical(entry[1]), entry[0])

    def count_stored(self, up_to: int = LAST_SEQ) -> None:
        """Count the entries of a durable spool, of all processes, up to a number."""
        in_flight = list(self.in_flight)
        on_disk = self._states_on_disk(in_flight)
        while True:
            counts = self.spool.counts(up_to).get(self.destination.id, {})
            before, on_disk = on_disk, self._states_on_disk(in_flight)
            if on_disk == before:  # else their results were written in between
                break
        # They count as waiting until they are settled in memory; on disk some are already.
        self.waiting = counts.get(State.WAITING, 0) + len(in_flight) - on_disk[State.WAITING]
        self.dead = counts.get(State.DEAD, 0) - on_disk[State.DEAD]
        self.held_elsewhere = 0 if self.leased else counts.get(State.HELD, 0)

    def _states_on_disk(self, in_flight: Collection[int]) -> Counter[State]:
        if not in_flight or not self.spool.durable:
            return Counter({State.WAITING: len(in_flight)})
        return Counter(
            fate.state for fate in self.spool.fates(self.destination.id, in_flight).values()
        )

    def count_again(self) -> None:
        """Count the entries on disk, before all of them are read; call with the lock held."""
        if self.spool.durable:
            newest = self.window.known_up_to = self.spool.newest()
            self.count_stored(newest)  # later ones are counted as they are read

    def places(self) -> dict[str, int]:
        """Return how many entries wait, are held, and are dead letters; of all processes."""
        if self.sharded:
            waiting, held, dead = (self.figures.get(place, 0) for place in State)
        else:
            waiting, dead = self.waiting, self.dead
            held = len(self.held) or self.held_elsewhere
        return {"waiting": waiting, "held": held, "dead": dead}

    def oldest(self) -> int | None:
        """Return the time of acceptance (ms) of the oldest waiting entry; None if none waits."""
        found = self.queue.oldest
        if self.spool.durable and not self.delivers_all:  # it may be another process's
            with suppress(SpoolError):  # once it is closed
                for stored in self.spool.load(self.destination.id, 0, 1):
                    return stored.entry[2] if found is None else min(found, stored.entry[2])
        return found

    def forget_entries(self, which: Callable[[Entry], bool] = lambda entry: True) -> None:
        """Drop entries in memory that are not in flight; the spool has them."""
        self.queue.remove(which)
        self.bytes = size_of(self.queue) + size_of(self.in_flight.values())
        for entry in [entry for entry in self.held.entries.values() if which(entry)]:
            self.held.remove(entry)
        for seq in [seq for seq in self.attempts if seq not in self.in_flight]:
            del self.attempts[seq]

    def queue_again(self, entries: list[Entry]) -> None:
        """Queue entries that had left the queue; those beyond the window are read in their turn."""
        self.waiting += len(entries)
        queued = sorted(filter(self.window.covers, entries))
        self.bytes += size_of(queued)
        self.queue.insert(queued)

    @contextmanager
    def refill_paused(self) -> Iterator[None]:
        """Read nothing from disk inside the block, so that no entry is queued twice."""
        with self.lock:
            self.window.pause_refill()
        try:
            yield
        finally:
            self.unacked.resume_refill()
