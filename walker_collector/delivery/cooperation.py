"""Deliveries from a spool of several processes: leases and news, passed to the workers."""

import time
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from typing import Final

import attrs

from walker_collector.delivery.own_entries import OwnEntries
from walker_collector.delivery.sharing import Sharing
from walker_collector.delivery.workers import DestinationWorkers
from walker_collector.errors import SpoolError
from walker_collector.moments import now_ms
from walker_collector.people.consent import ConsentStore
from walker_collector.people.erasure import Erasure
from walker_collector.spool import Deliveries, DestinationHealth, DurableSpool, Lease
from walker_collector.spool.deliverer import trouble

_LEASES_WAIT: Final = 1.0
_LEASES_POLL: Final = 0.01
"""Seconds that a process which leaves waits for the leases of others that leave."""
_RELOAD_PAUSE: Final = 1.0
"""Seconds between reloads: each reads up to 10,000 events and all that are held."""


class Cooperation:
    """Hands destinations to their workers while this process holds their leases.

    `delivers`: whether it takes any. One that does not only accepts.
    """

    def __init__(
        self,
        spool: DurableSpool,
        workers: DestinationWorkers,
        consents: ConsentStore,
        erasure: Erasure,
        *,
        delivers: bool,
    ) -> None:
        self._spool = spool
        self._workers = workers
        self._consents = consents
        self._erasure = erasure
        self._erasures_seen = spool.erasures
        self._reloaded_at = -_RELOAD_PAUSE
        self._published: dict[str, DestinationHealth] = {}
        self._sharing = Sharing(spool, workers)
        self._moved = False
        """Whether other processes have erased or replayed events since the last reload."""
        consents.on_news = self._on_news
        consents.on_moved = self._on_moved
        for worker in workers.values():
            if not delivers:  # whoever does has to deliver what earlier processes have left
                worker.pending.own.entries = OwnEntries(None)
            worker.trouble_elsewhere = partial(self._trouble_of, worker.id)
            worker.flushes.take_rest = self._take_rest
        ids = [worker.id for worker, _ in workers.active] if delivers else []
        self._membership = spool.join(
            ids,
            Deliveries(self._take_over, self._abandon, self._look_around),
            self._on_foreign,
            self._on_change,
        )

    def start(self) -> None:
        """Take over the destinations without a deliverer."""
        self._membership.start()

    def _trouble_of(self, destination: str) -> str:
        return trouble(self._membership.deliverers(destination))

    def _take_over(self, lease: Lease) -> None:
        self._workers[lease.destination].take_over(lease.shard)
        with suppress(SpoolError):  # they are in nobody's way: the next one to take over does it
            self._spool.end_calls_of_the_dead()  # waits for others that write, as nothing before

    def _abandon(self, lease: Lease) -> bool:
        return self._workers[lease.destination].pending.shards.abandon(lease.shard)

    def _on_foreign(self) -> None:
        for worker, _ in self._workers.active:
            worker.pending.own.entries.others_added()
            worker.pending.note_foreign()

    def _on_news(self, people: set[str] | None) -> None:
        if people is None:
            self._on_moved(frozenset())
            self._reload()
        else:
            self._workers.release(None if "" in people else people)

    def _on_moved(self, marks: frozenset[int]) -> None:
        self._moved = True
        for worker, _ in self._workers.active:
            worker.pending.own.note_erased(marks)
        erasures = self._spool.erasures
        erased, self._erasures_seen = erasures != self._erasures_seen, erasures
        if erased:  # nobody says who was: destinations may remember them
            for worker, _ in self._workers.active:
                worker.tell_erased(None)

    def _look_around(self) -> None:
        self._publish_health()
        self._look()
        self._write_unstored()
        self._sharing.look()

    def _write_unstored(self) -> None:
        with suppress(SpoolError):  # nothing depends on them
            self._spool.write_unstored()

    def _publish_health(self) -> None:
        """Publish how deliveries go, where that has changed."""
        for worker, _ in self._workers.active:
            last, health = self._published.get(worker.id), worker.health()
            same = last is not None and _condition(last) == _condition(health)
            health = attrs.evolve(health, since=last.since if last and same else now_ms())
            if health != last:
                self._membership.publish_health(worker.id, health)
                self._published[worker.id] = health

    def _look(self) -> None:
        """Reload once after several erasures: until then no claim finds the erased events."""
        if self._moved and time.monotonic() >= self._reloaded_at + _RELOAD_PAUSE:
            self._reload()

    def _reload(self) -> None:
        self._moved = False
        try:
            for worker, _ in self._workers.active:
                worker.reload()
        except SpoolError:
            self._moved = True
            raise
        finally:
            self._reloaded_at = time.monotonic()

    def _on_change(self) -> None:
        if self._consents.is_stale:
            self._consents.refresh()
        self._look()  # before newer events are read: what was replayed is older
        self._erasure.look()
        for worker, _ in self._workers.active:
            worker.read_on(surely=False)
        self._workers.maintain()

    def leave(self) -> Collection[str]:
        """Leave deliveries to others; return the destinations that they can deliver to."""
        left = self._membership.leave()
        # A process that closes at the same time gives its leases up in a moment.
        until = time.monotonic() + _LEASES_WAIT
        while not self._take_rest() and time.monotonic() < until:
            time.sleep(_LEASES_POLL)
        if self._moved:
            self._reload()
        return left

    def _take_rest(self) -> bool:
        with suppress(SpoolError):  # it is tried again
            return self._membership.take_rest()
        return False

    def stop(self) -> None:
        """Take over and give up nothing more."""
        self._membership.stop()

    def close(self) -> None:
        """Give all leases up, for other processes to take over."""
        self._sharing.close()
        self._publish_health()
        self._write_unstored()
        self._membership.close()


def _condition(health: DestinationHealth) -> tuple[str, bool]:
    return health.state, bool(health.reason)
