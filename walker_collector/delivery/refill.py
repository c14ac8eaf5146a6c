"""The refill of memory with entries from the window, as it runs low."""

from collections.abc import Sequence

from walker_collector.delivery.holds import Holds
from walker_collector.delivery.linger import Linger
from walker_collector.delivery.pending_state import PendingState
from walker_collector.delivery.restore import Restore
from walker_collector.spool import FRESH, Entry, StoredEntry


class Refill:
    """Takes the next entries of the window into the queue, or the hold."""

    def __init__(self, state: PendingState, holds: Holds, restore: Restore, linger: Linger) -> None:
        self._state = state
        self._holds = holds
        self._restore = restore
        self._linger = linger

    def run(self, now: int) -> bool:
        """Load the next slice of waiting entries when memory runs low; return whether it does."""
        state, window = self._state, self._state.window
        if not window.wants_refill(len(state.queue), state.bytes):
            return False
        # An entry that was released or dropped would be read as it was before.
        if state.unacked.any_beyond(window.loaded_up_to):
            return False
        stored = window.read_on()
        self._take_in(stored, now)
        if stored:
            window.known_up_to = max(window.known_up_to, stored[-1].entry[0])
        if not window.more_on_disk:  # everything that waits is in memory
            state.waiting = len(state.queue) + len(state.in_flight)
            state.changed.notify_all()
        if stored:
            self._linger.arrived(now)
        return True

    def _take_in(self, stored: Sequence[StoredEntry], now: int) -> None:
        """Queue or hold entries in their order; most of them at once, as they are plain."""
        state, window = self._state, self._state.window
        fresh: list[Entry] = []
        for item in stored:
            seq, _, at, _ = entry = item.entry
            if seq in window.kept:
                continue
            if not item.held and seq > window.known_up_to:
                state.waiting += 1
            if item.delivery is FRESH and not item.held and not item.damage and at <= now:
                fresh.append(entry)
                continue
            self._restore.fresh(fresh)
            fresh = []
            if item.held:
                self._holds.restore(item, now)
            else:
                self._restore.waiting(item, now)
        self._restore.fresh(fresh)
