"""The entries of one destination in flight: taken from the queue, and settled by their outcomes."""

from collections.abc import Callable
from typing import Any

from attrs import frozen

from walker_collector.delivery.erasures import Erasures
from walker_collector.delivery.holds import Holds
from walker_collector.delivery.keyed_queue import size_of
from walker_collector.delivery.outcome import Disposition, Outcome
from walker_collector.delivery.owned_shards import OwnedShards
from walker_collector.delivery.pending_state import PendingState
from walker_collector.delivery.retries import RetryTurns
from walker_collector.people.basis import Basis
from walker_collector.people.consent import ConsentSnapshot
from walker_collector.spool import FRESH, Entry, SpoolUpdate, UpdateKind


@frozen
class Batch:
    """Entries in flight, with the consent of their people when they were taken."""

    entries: list[Entry]
    snapshot: ConsentSnapshot

    @property
    def people(self) -> list[str]:
        """The person of each entry, by the key that was known when it was taken."""
        return [self.snapshot.names[entry[1]] for entry in self.entries]


class EntriesInFlight:
    """Takes entries from the queue, and moves them on by their outcomes.

    An entry leaves for good, is held, or returns to the queue. Call everything with the lock held.
    """

    def __init__(
        self, state: PendingState, holds: Holds, erasures: Erasures, shards: OwnedShards
    ) -> None:
        self._state = state
        self._holds = holds
        self._erasures = erasures
        self._shards = shards
        self.retry_turns = RetryTurns(max(1, state.destination.concurrency // 2))

    def take(self, take: Callable[..., list[Entry]], *args: Any) -> Batch | None:
        """Put the entries in flight that `take(*args)` takes from the queue; None if none."""
        state, holds = self._state, self._holds
        if holds.joins or holds.arrived:
            self._shards.follow_joins()
        entries = take(*args)
        if not entries:
            return None
        try:
            # One snapshot for the whole batch, so that a grant cannot come between two events.
            snapshot = state.consents.snapshot([entry[1] for entry in entries])
        except BaseException:
            state.queue.return_to_place(entries)
            raise
        if holds.joins:
            # Somebody has signed in since: an entry may have been taken as the person's although
            # the session's earlier ones are in flight.
            state.queue.return_to_place(entries)
            return self.take(take, *args)
        if state.held.entries and (overtaken := holds.overtaken(entries, snapshot)):
            # A grant is known, but its held events are not queued yet, and they must go first.
            state.queue.return_to_place(entries)
            holds.unhold(overtaken)
            return self.take(take, *args)
        if state.sharded and (others := self._shards.of_others(entries, snapshot)):
            state.queue.finish(others)
            for entry in others:
                self._leave(entry)
            entries = [entry for entry in entries if entry not in others]
            if not entries:
                return self.take(take, *args)
        for entry in entries:
            state.in_flight[entry[0]] = entry
        return Batch(entries, snapshot)

    # --- settle ----------------------------------------------------------------------------

    def settle(
        self, batch: Batch, outcomes: list[Outcome], dispositions: list[Disposition]
    ) -> None:
        """Move the entries of a batch by their dispositions, which are in the spool."""
        self._holds.follow_joins()
        self._state.counts.batches += 1
        # Collected first: the queue sorts the entries that return to it, so they return at once.
        done: list[Entry] = []
        others: list[tuple[Entry, int | None]] = []
        bases: dict[str, Basis] = {}
        for entry, outcome, disposition in zip(batch.entries, outcomes, dispositions, strict=True):
            del self._state.in_flight[entry[0]]
            self.retry_turns.settled(entry)
            if self._leaves(entry, outcome, disposition, bases):
                done.append(entry)
            else:
                others.append((entry, disposition.due))
        self._state.queue.finish(done)
        self._return(others)
        if self._holds.overtaking:
            self._holds.overtaking.difference_update(entry[0] for entry in batch.entries)

    def settle_delivered(self, batch: Batch) -> None:
        """Settle a batch of which every event was delivered, as most are.

        The fast twin of `settle`: the same result, without a decision per entry.
        """
        state, entries = self._state, batch.entries
        state.counts.batches += 1
        state.counts.delivered += len(entries)
        state.waiting -= len(entries)
        state.bytes -= size_of(entries)
        if len(state.in_flight) == len(entries):
            state.in_flight.clear()
        else:
            for entry in entries:
                del state.in_flight[entry[0]]
        if state.attempts:  # mostly empty, as mostly nothing was tried before
            for entry in entries:
                state.attempts.pop(entry[0], None)
                self.retry_turns.settled(entry)
        if self._erasures.revoked:
            self._erasures.all_delivered(entries)
        state.queue.finish(entries)
        if self._holds.overtaking:
            self._holds.overtaking.difference_update(entry[0] for entry in entries)

    def retry_later(self, batch: Batch, due: int) -> None:
        """Make the entries of an interrupted delivery wait until `due` (ms), in order."""
        others: list[tuple[Entry, int | None]] = []
        self._holds.overtaking.difference_update(entry[0] for entry in batch.entries)
        for entry in batch.entries:
            if self._state.in_flight.pop(entry[0], None) is not None:  # else settled before that
                self._erasures.undecide(entry)
                self.retry_turns.settled(entry)
                others.append((entry, due))
        self._return(others)

    def _leaves(
        self,
        entry: Entry,
        outcome: Outcome,
        disposition: Disposition,
        bases: dict[str, Basis],
    ) -> bool:
        """Note the disposition of an entry; return whether the entry leaves the waiting ones."""
        state, update = self._state, disposition.update
        if self._erasures.settled(entry, delivered=outcome.kind in ("delivered", "notified")):
            state.counts.add(outcome.kind, otherwise="erased")
            self._leave(entry)
            return True
        state.counts.add(outcome.kind)
        if outcome.kind == "held" and self._holds.consent(entry, bases) != outcome.consent:
            # The consent has changed since the decision, and the release that followed did not
            # find this entry held. It is decided on again; the spool has it as held so far.
            state.unacked.add([SpoolUpdate(entry, UpdateKind.RELEASED)])
            return False
        if disposition.is_done:
            self._leave(entry, update)
            return True
        state.counts.retried += update is not None
        if disposition.delivery != FRESH:
            state.attempts[entry[0]] = disposition.delivery
        return False

    def _leave(self, entry: Entry, update: SpoolUpdate | None = None) -> None:
        """Take an entry out of the waiting ones: it is gone, held or dead."""
        self._state.window.kept.discard(entry[0])  # if it waits again, it may have to be read
        self._state.waiting -= 1
        self._state.bytes -= len(entry[3])
        self._state.attempts.pop(entry[0], None)
        if update is None or update.kind is UpdateKind.ACKED:
            return
        if update.kind is UpdateKind.DEAD:
            self._state.dead += 1
            self._state.counts.died += 1
            return
        if update.delivery.parts:
            self._state.attempts[entry[0]] = update.delivery
        self._holds.hold([entry], update.delivery.consent)

    def _return(self, entries: list[tuple[Entry, int | None]]) -> None:
        """Queue entries that were in flight, each for its time due (ms), or in its place (None)."""
        queue = self._state.queue
        back: list[Entry] = []
        behind: list[Entry] = []
        retrying: set[str] = set()
        for entry, due in entries:
            person = queue.people.of.get(entry[0], "")
            if person in retrying:
                # An earlier entry of its person waits for a retry, and this one goes after it.
                behind.append(entry)
            elif due is None:  # not attempted, or the destination was unavailable
                back.append(entry)
            else:
                queue.retries.add(due, entry)
                retrying |= {person} - {""}
        queue.park_behind_retry(behind)
        queue.return_to_place(back)
