"""The shards of one destination that this process delivers."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

from walker_collector.delivery.erasures import Erasures
from walker_collector.delivery.holds import Holds
from walker_collector.delivery.pending_state import PendingState
from walker_collector.delivery.restore import Restore
from walker_collector.errors import SpoolError
from walker_collector.people.consent import ConsentSnapshot
from walker_collector.spool import Entry, StoredEntry, shard_of

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 5.0
"""Seconds between attempts to write results without which no shard changes hands; they double."""


class OwnedShards:
    """Takes shards over and gives them up; follows people from one to another."""

    def __init__(
        self, state: PendingState, holds: Holds, erasures: Erasures, restore: Restore
    ) -> None:
        self._state = state
        self._holds = holds
        self._erasures = erasures
        self._restore = restore
        self._write_due = self._pause = 0.0

    # --- leases ----------------------------------------------------------------------------

    def take_over(self, shard: int = 0) -> None:
        """Begin to deliver the waiting and held entries of a shard on disk.

        Raises SpoolError, and nothing begins.
        """
        state = self._state
        if self._is_put_off():
            raise self._unwritten()
        with state.unacked.in_step(), state.lock:
            if self._put_off_if_unwritten():
                raise self._unwritten()
            before = state.shards
            state.shards |= {shard}
            try:
                held = state.held.entries if before else {}  # of the shards before: they stay
                self._read_anew(lambda entry: entry[0] not in held, {shard})
            except BaseException:
                state.shards = before
                raise

    def _read_anew(self, which: Callable[[Entry], bool], held_in: Collection[int] | None) -> None:
        """Forget entries, and read the spool from its beginning; those in flight stay."""
        state = self._state
        state.forget_entries(which)
        self._holds.joins.clear()  # every key is looked up anew
        self._holds.arrived.clear()
        state.held_elsewhere = 0
        newest = state.spool.newest() if state.spool.durable else 0
        state.window.restart(newest)
        if state.sharded:
            state.window.known_up_to = 0  # each is counted as it is read
            state.waiting = len(state.in_flight)
        else:
            state.count_stored(newest)
        self._holds.load(held_in if state.sharded else None)
        state.window.kept = set(state.in_flight)
        state.queue.rejoin(list(state.queue.people.counts))

    def abandon(self, shard: int = 0) -> bool:
        """Begin no delivery of a shard.

        Returns whether nothing of it is in flight, so that another process may.
        """
        state = self._state
        with state.lock:
            state.shards -= {shard}
            if any(not state.owns_entry(entry) for entry in state.in_flight.values()):
                return False
        if self._is_put_off():
            return False
        state.unacked.write()
        with state.lock:
            if self._put_off_if_unwritten():
                return False  # the disk is full, say: nobody else must deliver them again
            state.forget_entries(lambda entry: not state.owns_entry(entry))
            if state.sharded:
                state.waiting = len(state.queue) + len(state.in_flight)
            state.changed.notify_all()
        return True

    def _is_put_off(self) -> bool:
        """Return whether results could not be written just now: the spool may be full for long."""
        return bool(self._state.unacked.updates) and time.monotonic() < self._write_due

    def _put_off_if_unwritten(self) -> bool:
        """Return whether results are unwritten still; then the next attempt is put off."""
        if not self._state.unacked.updates:
            self._pause = 0.0
            return False
        self._pause = min(max(_FIRST_PAUSE, 2 * self._pause), _LONGEST_PAUSE)
        self._write_due = time.monotonic() + self._pause
        return True

    def _unwritten(self) -> SpoolError:
        return SpoolError(
            f"destination {self._state.destination.id}: results of deliveries are not in the "
            "spool yet, so that no more of it can be read"
        )

    def reload(self) -> None:
        """Read all entries again, except those in flight, which stay in memory."""
        state = self._state
        with state.unacked.in_step(), state.lock:
            if not state.leased:  # given up since
                return
            self._erasures.revoke_gone()
            # With a full disk, what is on it is not the truth. Without a lease, others read.
            if state.leased and not state.unacked.updates:
                self._read_anew(lambda entry: True, state.shards)
                if state.sharded:  # older entries of their people may have been moved here
                    self._holds.overtaking.update(state.in_flight)

    # --- people ----------------------------------------------------------------------------

    def note_joins(self) -> None:
        """Note which entries in flight may overtake others, after merges of people."""
        if self._holds.joins:
            with self._state.lock:
                self._holds.follow_joins()

    def follow_joins(self) -> None:
        """Re-key entries after merges of people; read those that have come from another shard.

        Raises SpoolError.
        """
        state, arrived = self._state, self._holds.arrived
        self._holds.follow_joins()
        while arrived and state.spool.durable:
            person = next(iter(arrived))
            up_to = state.window.loaded_up_to  # later ones are read in their turn
            found = state.spool.of_person(state.destination.id, person, up_to)
            if found:
                self._take_in(found)
            arrived.discard(person)

    def _take_in(self, found: Sequence[StoredEntry]) -> None:
        """Queue or hold entries that are not in memory yet, in their places."""
        state, now = self._state, self._state.now()
        known = {entry[0] for entry in state.queue} | state.in_flight.keys()
        known |= {update.entry[0] for update in state.unacked.updates}
        fresh = [item for item in found if item.entry[0] not in known]
        waiting = [item for item in fresh if not item.held]
        state.waiting += len(waiting)
        self._restore.arrived(waiting, now)
        for item in fresh:
            if item.held:
                self._holds.restore(item, now)

    def of_others(self, entries: list[Entry], snapshot: ConsentSnapshot) -> list[Entry]:
        """Return the entries that another process delivers, after a merge of people."""
        # As `owns` says, and written out, as it is asked for each event of a batch.
        names, owned, shards = snapshot.names, self._state.shards, self._state.spool.shards
        return [
            entry for entry in entries if shard_of(names[entry[1]], entry[0], shards) not in owned
        ]
