"""The dead letters of one destination: replay, and the limit `dlqMax`."""

from collections.abc import Collection, Container, Sequence

from walker_collector.delivery.own_fates import OwnFates
from walker_collector.delivery.pending_state import PendingState
from walker_collector.spool import DeadLetter, State


class DeadLetters:
    """Queues dead letters again, and deletes the oldest beyond the limit."""

    def __init__(self, state: PendingState, own: OwnFates) -> None:
        self._state = state
        self._own = own
        self._died = 0

    def requeue(self, letters: Sequence[DeadLetter], without: Collection[str] = ()) -> int:
        """Queue dead letters again, with attempts reset and without the parts in `without`.

        Returns the number of them that were still there.
        """
        with self._state.unacked.writing, self._state.refill_paused():
            requeued = self._state.spool.requeue(letters, without)
            with self._state.lock:
                # Whoever delivers reads them from the spool.
                if not self._state.leased or self._state.sharded:
                    return len(requeued)
                self._state.dead -= len(requeued)
                self._state.attempts.update(
                    (item.entry[0], item.delivery) for item in requeued if item.delivery.parts
                )
                self._state.queue_again([stored.entry for stored in requeued])
        return len(requeued)

    def replay(self, letters: Sequence[DeadLetter], without: Collection[str] = ()) -> int:
        """Queue dead letters again as `requeue` does, and count them as replayed."""
        count = self.requeue(letters, without)
        with self._state.lock:
            self._own.entries.add_again(letter.seq for letter in letters)
            self._state.counts.replayed += count
        self._state.wake()
        return count

    def delete(self, letters: Sequence[DeadLetter]) -> int:
        """Delete dead letters; return their count."""
        spool = self._state.spool
        count = spool.delete_dead(letters)
        with self._state.lock:
            self._state.dead -= count
        if spool.durable and not self._state.delivers_all:
            spool.announce()
        return count

    def requeue_refused(self, seqs: Container[int]) -> int:
        """Queue the dead letters with these numbers again; return their count."""
        letters = [
            item for item in self._state.spool.dead(self._state.destination.id) if item.seq in seqs
        ]
        count = self.requeue(letters) if letters else 0
        self._state.counts.requeued += count
        return count

    def bound(self, spared: int) -> int:
        """Delete the oldest dead letters beyond `dlqMax`, but none of the newest `spared`.

        Returns the number deleted. Raises SpoolError.
        """
        state = self._state
        limit = max(state.destination.config.dlq_max, spared)
        self._count_others()
        if state.dead <= limit:
            return 0
        # Counted again: of several threads that see the limit exceeded, one deletes the excess.
        with state.unacked.writing:
            excess = state.dead - limit
            if excess <= 0:
                return 0
            oldest = state.spool.dead(state.destination.id, excess)
            # Of several processes as well: they have found the same ones, or fewer are left.
            self._count_others(surely=True)
            dropped = state.spool.delete_dead(oldest[: max(0, state.dead - limit)])
            with state.lock:
                state.dead -= dropped
                state.counts.dead_dropped += dropped
        return dropped

    def _count_others(self, *, surely: bool = False) -> None:
        """Count the dead letters of all processes, if there may be more than before."""
        state = self._state
        if state.sharded and (surely or self._died != state.counts.died):
            self._died = state.counts.died
            state.dead = state.spool.counts().get(state.destination.id, {}).get(State.DEAD, 0)
