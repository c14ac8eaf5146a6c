"""The workers of all destinations of a flow."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from walker_collector.delivery.destination import Destination
from walker_collector.delivery.own_entries import OwnEntries
from walker_collector.delivery.status import DestinationStatus
from walker_collector.delivery.waiters import Listener, Listeners
from walker_collector.delivery.watch import Watch
from walker_collector.delivery.worker import DestinationWorker
from walker_collector.interrupts import uninterrupted
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import DeadLetter, Entry, EntryRun, Spool
from walker_collector.text import counted, get_logger

logger = get_logger("walker_collector")


class DestinationWorkers(Mapping[str, DestinationWorker]):
    """The worker of each destination, by its id; `active` are those that are not disabled."""

    def __init__(
        self,
        destinations: Sequence[Destination],
        spool: Spool,
        consents: ConsentStore,
        now: Callable[[], int],
        random: Callable[[], float],
    ) -> None:
        self._spool = spool
        self.watch = watch = Watch()
        self._workers = {
            item.id: DestinationWorker(item, spool, consents, now, random, watch)
            for item in destinations
        }
        for worker in self.values():
            worker.require([self[id_] for id_ in worker.destination.config.require])
        self.active = [
            (worker, worker.destination)
            for worker in self.values()
            if not worker.destination.config.disabled
        ]

    def __getitem__(self, id_: str) -> DestinationWorker:
        return self._workers[id_]

    def __iter__(self) -> Iterator[str]:
        return iter(self._workers)

    def __len__(self) -> int:
        return len(self._workers)

    def start(self) -> None:
        """Warn of events in the spool for destinations not in the flow."""
        for destination, counts in self._spool.counts().items():
            waiting = sum(counts.values())
            if destination not in self and waiting:
                logger.warning(
                    "spool: %s kept for destination %s, which the flow does not have; "
                    "add it again to deliver them, or drop them with `walker spool drop`",
                    counted(waiting, "event"),
                    destination,
                )

    def enqueue(self, runs: Sequence[EntryRun], listeners: Listeners | None = None) -> None:
        """Hand committed events to the workers, in the order of their numbers."""
        for entries, states in runs:
            for id_, state in states.items():
                self._workers[id_].enqueue(entries, state, listeners)

    def listen_again(self, repeats: Iterable[tuple[Entry, Iterable[str], Listener]]) -> None:
        """Have the answers to entries that were enqueued before given to further listeners.

        Each stands with the destinations that are listened to.
        """
        by_destination: dict[str, list[tuple[Entry, Listener]]] = {}
        for entry, destinations, listener in repeats:
            for id_ in destinations:
                by_destination.setdefault(id_, []).append((entry, listener))
        for id_, pairs in by_destination.items():
            self._workers[id_].listen_again(pairs)

    def release(self, people: set[str] | None) -> None:
        """Queue held events of these people (None: everybody's) that consent admits now.

        So are events of keys merged into these people.
        """
        for worker, _ in self.active:
            worker.follow_joins()
        all_holds = [worker.pending.holds for worker, _ in self.active]
        concerned = [holds for holds in all_holds if holds.concerns(people)]
        if not concerned:
            return

        def release_all() -> None:
            for holds in concerned:
                holds.release(people)

        # A signal handler must not leave one destination released and another not.
        uninterrupted(release_all)

    def maintain(self) -> None:
        """Drop events held longer than `queueAge`, and write unwritten updates to the spool."""
        for worker, _ in self.active:
            state = worker.pending.state
            if state.held.entries or state.unacked.updates:
                worker.pending.holds.expire()

    def replay(
        self,
        letters: Mapping[str, list[DeadLetter]],
        without: Collection[str],
        *,
        without_messages: bool,
    ) -> int:
        """Queue dead letters, given by destination, again; return their count."""
        return sum(
            self[id_].pending.dead_letters.replay(
                found, {*without, *(self[id_].message_parts if without_messages else ())}
            )
            for id_, found in letters.items()
            if id_ in self
        )

    def delete_dead(self, letters: Mapping[str, list[DeadLetter]]) -> int:
        """Delete dead letters, given by destination; return their count."""
        return sum(
            self[id_].pending.dead_letters.delete(found)
            if id_ in self
            else self._spool.delete_dead(found)
            for id_, found in letters.items()
        )

    def flush(self, deadline: float, given_up: Callable[[], bool]) -> bool:
        """Wait until no worker has waiting events; see Flushes.flush."""
        # A list, so that every worker is flushed, even after one that cannot be.
        done = [worker.flushes.flush(deadline, given_up) for worker in self.values()]
        return all(done)

    def finish(
        self, deadline: float, given_up: Callable[[], bool], handed_over: Collection[str]
    ) -> None:
        """Wait until nothing waits that any process has accepted, except where others deliver."""
        for worker in self.values():
            if worker.id not in handed_over:
                worker.read_on()  # others may have committed some that were not noticed yet
                worker.flushes.flush(deadline, given_up, everything=True)

    def stop(self, expired: Callable[[], bool], handed_over: Collection[str] = ()) -> int:
        """Stop all workers; log and return the number of events that are left.

        `handed_over`: the destinations that other processes deliver to.
        """
        for worker in self.values():
            worker.stop(expired)
        return sum(
            self._report_left(worker.id, worker.status(), worker.calls.longest_call())
            for worker in self.values()
            if worker.id not in handed_over
        )

    def own_inherited(self) -> None:
        """Count the entries of earlier processes in the spool as accepted by this one.

        That is so anyway in a process that delivers; this is for one whose children do.
        """
        inherited = self._spool.inherited if self._spool.durable else 0
        for worker in self.values():
            worker.pending.own.entries = OwnEntries(inherited)

    def is_own(self, letter: DeadLetter) -> bool:
        """Return whether this process has accepted the event of a dead letter."""
        worker = self.get(letter.destination)
        return worker is not None and letter.seq in worker.pending.own.entries

    def _report_left(self, id_: str, status: DestinationStatus, under_way: str) -> int:
        reasons = "; ".join(filter(None, (status.reason, under_way)))
        because = f": {reasons}" if reasons else ""
        fields = {"destination": id_}
        loss = self._loss()
        if (status.waiting or status.held) and loss:
            logger.error(
                "destination %s: closed with %s undelivered and %s held for consent; lost, %s%s",
                id_,
                counted(status.waiting, "event"),
                f"{status.held:,}",
                loss,
                because,
                extra=fields,
            )
        elif status.waiting:
            logger.warning(
                "destination %s: closed with %s waiting in the spool%s",
                id_,
                counted(status.waiting, "event"),
                because,
                extra=fields,
            )
        if status.unrecorded:
            logger.error(
                "destination %s: closed with %s not yet recorded in the spool; "
                "they will %sbe delivered again on the next start%s",
                id_,
                counted(status.unrecorded, "delivered event"),
                *(("not ", f", {loss}") if loss else ("", "")),
                extra=fields,
            )
        return status.waiting + status.unrecorded

    def _loss(self) -> str:
        """Return the reason why the next process finds no event of this one; "" if it does."""
        if not self._spool.durable:
            return "since no spool is configured (collector.spool)"
        if self._spool.is_at_path():
            return ""
        return "unless the spool file is put back, which was deleted, moved, emptied or replaced"
