"""Entries that are read back from the spool: their times bounded, damaged ones set aside."""

import attrs

from walker_collector.delivery.pending_state import PendingState
from walker_collector.spool import FRESH, Change, Entry, State, Stored, damage


class Restore:
    """Takes entries from the spool into memory."""

    def __init__(self, state: PendingState) -> None:
        self._state = state
        self._set_aside = False

    def waiting(self, stored: Stored, now: int) -> None:
        """Queue an entry, or make a dead letter of a damaged one."""
        state = self._state
        if stored.damage:
            state.waiting -= 1
            self._bury(stored, now)
            return
        if stored.attempt is not FRESH:
            state.attempts[stored.entry[0]] = stored.attempt
        # No retry waits longer than `cap`, whatever is on disk or was done to the clock.
        due = min(stored.attempt.due, now + state.destination.config.retry.cap)
        if due > now:
            state.queue.restore(due, _not_later(stored.entry, now))
        else:
            state.queue.add([_not_later(stored.entry, now)])

    def held(self, stored: Stored, now: int) -> Entry | None:
        """Return an entry to be held again; None where a dead letter was made of it."""
        if stored.damage:
            self._bury(stored, now)
            return None
        if stored.attempt.parts:
            self._state.attempts[stored.entry[0]] = stored.attempt
        return _not_later(stored.entry, now)

    def has_news(self) -> bool:
        """Tell, once, whether there are dead letters that the spool should learn of."""
        news, self._set_aside = self._set_aside, False
        return news

    def _bury(self, stored: Stored, now: int) -> None:
        state = self._state
        attempt = attrs.evolve(stored.attempt, reason=damage.reason_of(stored.damage))
        state.unacked.add([Change(stored.entry, State.DEAD, attempt, now)])
        state.dead += 1
        state.counts.died += 1
        self._set_aside = True
        state.log.error(
            "destination %s: event number %d in the spool is damaged (%s); it is a dead letter",
            state.destination.id,
            stored.entry[0],
            stored.damage,
        )


def _not_later(entry: Entry, now: int) -> Entry:
    """Return an entry accepted at `now` (ms) at the latest: else it would never be too old."""
    return entry if entry[2] <= now else (*entry[:2], now, entry[3])
