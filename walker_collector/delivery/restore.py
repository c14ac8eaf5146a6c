"""Entries read back from the spool: their times are bounded, damaged ones become dead letters."""

from collections.abc import Sequence

import attrs

from walker_collector.delivery.keyed_queue import size_of
from walker_collector.delivery.pending_state import PendingState
from walker_collector.spool import FRESH, Entry, SpoolUpdate, StoredEntry, UpdateKind, damage


class Restore:
    """Takes entries from the spool into memory."""

    def __init__(self, state: PendingState) -> None:
        self._state = state

    def waiting(self, stored: StoredEntry, now: int) -> None:
        """Queue an entry, or make a dead letter of a damaged one."""
        state = self._state
        if stored.damage:
            state.waiting -= 1
            self._set_aside(stored, now)
            return
        if stored.delivery is not FRESH:
            state.attempts[stored.entry[0]] = stored.delivery
        state.bytes += len(stored.entry[3])
        # No retry waits longer than `cap`, whatever is on disk or was done to the clock.
        due = min(stored.delivery.due, now + state.destination.config.retry.cap)
        if due > now:
            state.queue.restore(due, _not_later(stored.entry, now))
        else:
            state.queue.add([_not_later(stored.entry, now)])

    def fresh(self, entries: list[Entry]) -> None:
        """Queue entries that were never tried: the fast twin of `waiting`."""
        self._state.bytes += size_of(entries)
        self._state.queue.add(entries)

    def arrived(self, found: Sequence[StoredEntry], now: int) -> None:
        """Queue entries that belong before others which are in the queue."""
        fresh: list[Entry] = []
        for stored in found:
            if stored.damage or stored.delivery is not FRESH:
                self.waiting(stored, now)
            else:
                self._state.bytes += len(stored.entry[3])
                fresh.append(_not_later(stored.entry, now))
        self._state.queue.insert(fresh)

    def held(self, stored: StoredEntry, now: int) -> Entry | None:
        """Return an entry to hold again; None if it was damaged and is now a dead letter."""
        if stored.damage:
            self._set_aside(stored, now)
            return None
        if stored.delivery.parts:
            self._state.attempts[stored.entry[0]] = stored.delivery
        return _not_later(stored.entry, now)

    def _set_aside(self, stored: StoredEntry, now: int) -> None:
        state = self._state
        attempt = attrs.evolve(stored.delivery, reason=damage.reason_of(stored.damage))
        state.unacked.add([SpoolUpdate(stored.entry, UpdateKind.DEAD, attempt, now)])
        state.dead += 1
        state.counts.died += 1
        state.unwritten = True
        state.log.error(
            "destination %s: event number %d in the spool is damaged (%s); it is a dead letter",
            state.destination.id,
            stored.entry[0],
            stored.damage,
        )


def _not_later(entry: Entry, now: int) -> Entry:
    """Return the entry with a time of acceptance not after `now` (ms), so that it can expire."""
    return entry if entry[2] <= now else (*entry[:2], now, entry[3])
