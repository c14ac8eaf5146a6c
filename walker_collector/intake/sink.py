"""The sink of an intake: the spool and its workers, which accepted events go to."""

import sys
import time
from _thread import get_ident
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from walker_collector.config import CollectorConfig
from walker_collector.delivery.destination import Destination
from walker_collector.delivery.pending_state import PendingState
from walker_collector.delivery.window import EVENT_BYTES
from walker_collector.delivery.workers import DestinationWorkers
from walker_collector.errors import SpoolError, SpoolFull
from walker_collector.intake.in_flight import InFlight
from walker_collector.offsets import Position
from walker_collector.people.calls import IN_FLIGHT_WAIT, wait_for_calls
from walker_collector.spool import (
    EntryRun,
    NewEvent,
    OnCommitted,
    PeopleUpdate,
    Spool,
    State,
    positions_after,
)
from walker_collector.spool.repeats import Unstored
from walker_collector.text import get_logger

T = TypeVar("T")

logger = get_logger("walker_collector")

_POLL_INTERVAL: Final = 0.01
"""Time (s) between attempts to write to a spool that is full."""


class Sink(Protocol):
    """The place where an intake puts events: spool and workers, or a simulation."""

    @property
    def destinations(self) -> Sequence[Destination]:
        """The destinations that events go to."""

    def store(self, records: Sequence[NewEvent], *, waits: bool = True) -> int:
        """Store events, also those that no destination takes.

        A single one waits for room, unless `waits` is False. Returns the number of the first events
        that this is done for: as many as there is room for.
        """

    def store_learning(
        self, records: Sequence[NewEvent], update: PeopleUpdate, show: Callable[[], None]
    ) -> None:
        """Store events together with an update about people: all or nothing.

        `show` is called when they are stored, and before any is queued. Raises SpoolFull at once,
        as the caller holds a lock that others wait for.
        """

    def came_before(self, marks: Collection[bytes], now: int) -> set[bytes]:
        """Return those of these marks of ids that came lately."""

    def keep_mark(self, mark: bytes, now: int) -> None:
        """Remember the mark of a command's id."""

    def keep_unstored(self, events: Sequence[Unstored]) -> None:
        """Remember events that no destination takes."""

    def count_unstored(self, event: Mapping[str, Any], statuses: Mapping[str, str]) -> None:
        """Count an event at the destinations that do not take it."""

    def record(
        self,
        update: PeopleUpdate | None,
        notice: Sequence[NewEvent],
        position: Position | None = None,
    ) -> None:
        """Store a statement with its notice and position, all or none; raises SpoolFull at once."""

    def keep_positions(self, positions: Sequence[Position]) -> None:
        """Store positions in inputs alone."""

    def maintain(self) -> None:
        """Write the delayed updates of events that have left a destination.

        Not while people are learned: an erasure that may write waits for that.
        """

    def release(self, people: set[str] | None) -> None:
        """Release held events of these people (None: everybody's) that consent admits now."""

    def wait_for_calls(self, people: set[str] | None) -> int:
        """Wait for the calls under way with events of these people, for a second; None: with any.

        Returns how many are left.
        """

    def wait_for_room(self, work: Callable[[], T]) -> T:
        """Call `work`, again and again while it raises SpoolFull, for as long as a push waits."""


class SpoolSink:
    """Stores events in the spool, hands them to the workers, and waits for room in both.

    A call waits up to `collector.queueWait`, then it raises SpoolFull.
    """

    def __init__(
        self,
        config: CollectorConfig,
        spool: Spool,
        workers: DestinationWorkers,
        in_flight: InFlight,
    ) -> None:
        self.destinations = [destination for _, destination in workers.active]
        self._config = config
        self._spool = spool
        self._workers = workers
        self._in_flight = in_flight
        self._has_warned = False
        active = [] if spool.durable else workers.active
        self._bounded = [(worker, worker.pending.state) for worker, _ in active]
        """The workers that keep their queue in memory."""

    @property
    def is_full(self) -> bool:
        """Whether there is no room for an event just now."""
        limit = self._config.queue_max
        return self._spool.is_full or any(
            state.waiting >= limit or state.bytes > limit * EVENT_BYTES
            for _, state in self._bounded
        )

    def store(self, records: Sequence[NewEvent], *, waits: bool = True) -> int:
        """Store the events that any destination takes, and queue them.

        Returns the number of the first records that this is done for: of a group for which there is
        no room as a whole, only as many as fit. `waits`: for the room of a single event.
        """
        count = len(records)
        while count > 1:
            try:
                self._store(records[:count], 0)
                return count
            except SpoolFull:
                count //= 2
        self._store(records[:1], self._config.queue_wait if waits else 0)
        return 1

    def store_learning(
        self, records: Sequence[NewEvent], update: PeopleUpdate, show: Callable[[], None]
    ) -> None:
        """Store events together with an update about people; raises SpoolFull at once."""
        positions = positions_after(records)
        if stored := [record for record in records if record.states]:
            self._append(stored, positions, 0, update, show)
        else:
            if self._spool.durable:
                self._spool.learn(update, positions)
            show()
        # Not before: an event that comes again is learned from, unless it is remembered.
        self._keep_unstored(records)

    def _store(self, records: Sequence[NewEvent], wait: int) -> None:
        positions = positions_after(records)
        if len(records) > 1 or not records[0].states:
            self._keep_unstored(records)
            records = [record for record in records if record.states]
            if not records:
                self.keep_positions(positions)
                return
        self._append(records, positions, wait)

    def _append(
        self,
        records: Sequence[NewEvent],
        positions: Sequence[Position],
        wait: int,
        learned: PeopleUpdate | None = None,
        show: Callable[[], None] | None = None,
    ) -> None:
        first = records[0]
        awaited = first.listener or (len(records) > 1 and any(item.listener for item in records))
        enqueue = partial(self._enqueue_awaited, records) if awaited else self._workers.enqueue
        if show is not None:
            enqueue = partial(_in_order, show, enqueue)
        if self._bounded:
            self._make_room(records, wait)
        try:
            self._spool.append(records, enqueue, learned, positions)
        except SpoolFull:
            if not wait:
                raise
            self.wait_for_room(lambda: self._spool.append(records, enqueue, positions=positions))
        if awaited:
            self._listen_to_repeated(records)

    def _keep_unstored(self, records: Sequence[NewEvent]) -> None:
        """Remember the events that no destination takes, of those that came with an id."""
        self.keep_unstored(
            [
                Unstored(record.mark, record.at, record.left_out)
                for record in records
                if record.left_out and not record.states
            ]
        )

    def _enqueue_awaited(self, records: Sequence[NewEvent], runs: Sequence[EntryRun]) -> None:
        """Queue events that are stored, of which some are waited for."""
        new = (record for record in records if not record.repeats)
        entries = (entry for some, _ in runs for entry in some)
        listeners = {
            entry[0]: record.listener
            for entry, record in zip(entries, new, strict=True)
            if record.listener is not None
        }
        self._workers.enqueue(runs, listeners)

    def _listen_to_repeated(self, records: Sequence[NewEvent]) -> None:
        """Answer the calls that wait for an event accepted before."""
        again = [item for item in records if item.repeats and item.listener is not None]
        self._workers.listen_again(
            ((item.repeats, item.person, item.at, item.body), item.states, item.listener)
            for item in again
        )

    def came_before(self, marks: Collection[bytes], now: int) -> set[bytes]:
        """Return those of these marks of ids that came lately."""
        return self._spool.came_before(marks, now)

    def keep_mark(self, mark: bytes, now: int) -> None:
        """Remember the mark of a command's id."""
        self._spool.keep_mark(mark, now)

    def keep_unstored(self, events: Sequence[Unstored]) -> None:
        """Remember events that no destination takes; it is no loss where that fails."""
        if events:
            with suppress(SpoolError):
                self._spool.keep_unstored(events)

    def count_unstored(self, event: Mapping[str, Any], statuses: Mapping[str, str]) -> None:
        """Count an event at the destinations that ignore or drop it."""
        for id_, status in statuses.items():
            if status in ("ignored", "dropped"):
                self._workers[id_].count_unstored(status, event["id"], event["name"])

    def record(
        self,
        update: PeopleUpdate | None,
        notice: Sequence[NewEvent],
        position: Position | None = None,
    ) -> None:
        """Store a statement with its notice, which queues among the person's events.

        Raises SpoolFull at once, as the caller holds a lock that other statements wait for.
        """
        positions = [] if position is None else [position]
        if notice:
            self._make_room(notice, 0)
            awaited = any(item.listener for item in notice)
            enqueue = partial(self._enqueue_awaited, notice) if awaited else self._workers.enqueue
            self._spool.append(notice, enqueue, update, positions)
        elif update is not None and self._spool.durable:
            self._spool.learn(update, positions)
        else:
            self.keep_positions(positions)

    def keep_positions(self, positions: Sequence[Position]) -> None:
        """Store positions in inputs, if the spool is durable."""
        if positions and self._spool.durable:
            self._spool.keep_positions(positions)

    def maintain(self) -> None:
        """Drop events held for too long, and write delayed updates; see `Sink`."""
        self._workers.maintain()

    def release(self, people: set[str] | None) -> None:
        """Release held events of these people (None: everybody's) that consent admits now."""
        self._workers.release(people)

    def wait_for_calls(self, people: set[str] | None) -> int:
        """Wait for calls under way in any process, but not for that of the calling thread."""
        spool, me = self._spool, get_ident()
        if not spool.durable or any(worker.is_worker(me) for worker in self._workers.values()):
            return 0
        return wait_for_calls(spool, people, time.monotonic() + IN_FLIGHT_WAIT)

    def wait_for_room(self, work: Callable[[], T]) -> T:
        """Call `work` until the spool has room for it; raises SpoolFull after `queueWait`."""
        deadline = time.monotonic() + self._config.queue_wait / 1000
        while True:
            try:
                return work()
            except SpoolFull:
                if time.monotonic() >= deadline:
                    raise
            self._warn_event_loop()
            time.sleep(_POLL_INTERVAL)
            self._in_flight.check_open()  # nobody waits for room while the collector closes

    def _make_room(self, records: Sequence[NewEvent], wait: int) -> None:
        """Wait up to `wait` ms for room in the queues in memory; raises SpoolFull."""
        limit = self._config.queue_max
        for worker, state in self._bounded:
            if state.waiting + len(records) <= limit and state.bytes <= limit * EVENT_BYTES:
                continue
            count = sum(item.states.get(worker.id) is State.WAITING for item in records)
            deadline = time.monotonic() + wait / 1000
            if count and wait:
                self._warn_event_loop()
            if count and not worker.wait_for_room(count, limit, deadline, self._is_closed):
                self._in_flight.check_open()
                raise SpoolFull(
                    f"destination {worker.id}: {_crowd(state, limit)} "
                    f"and none left within {self._config.queue_wait:,} ms "
                    "(collector.queueWait); the event was not accepted. Configure "
                    "collector.spool to let them wait on disk"
                )

    def _warn_event_loop(self) -> None:
        """Warn, once, that a push is about to wait in the thread of an event loop."""
        asyncio = sys.modules.get("asyncio")
        if self._has_warned or asyncio is None or asyncio._get_running_loop() is None:
            return
        self._has_warned = True
        logger.warning(
            "there is no room, so push waits, and with it the event loop that it is called in; in "
            "coroutines write `await collector.apush(...)`"
        )

    def _is_closed(self) -> bool:
        return self._in_flight.closed


def _in_order(show: Callable[[], None], enqueue: OnCommitted, runs: Sequence[EntryRun]) -> None:
    """Show the owners of events, then queue them, behind older ones of the same person."""
    show()
    enqueue(runs)


def _crowd(state: PendingState, limit: int) -> str:
    """Return the waiting events that leave no room, with the limit that they have reached."""
    if state.waiting < limit and state.bytes > limit * EVENT_BYTES:
        each = f"collector.queueMax leaves {EVENT_BYTES:,} bytes for each of {limit:,} events"
        return f"{state.waiting:,} events of {state.bytes:,} bytes wait already ({each})"
    return f"{limit:,} events wait already (collector.queueMax)"
