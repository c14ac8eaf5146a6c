"""The entries of one destination that are held for consent, until a grant or `queueAge`."""

from collections.abc import Collection
from typing import Final

from walker_collector.config import Consent
from walker_collector.delivery.pending_state import PendingState
from walker_collector.delivery.restore import Restore
from walker_collector.events import CONSENT_AT, decode
from walker_collector.interrupts import run_to_the_end, uninterrupted
from walker_collector.people.basis import Basis
from walker_collector.people.consent import ConsentSnapshot
from walker_collector.spool import DeliveryState, Entry, SpoolUpdate, StoredEntry, UpdateKind
from walker_collector.text import counted

_MANY_JOINS: Final = 1_000
_TOO_MANY_HELD: Final = "queueMax: more events than that held for consent"
_TOO_LONG_HELD: Final = "queueAge: held for consent longer than that"


class Holds:
    """Holds entries, and releases them when their person's consent admits them."""

    def __init__(self, state: PendingState, restore: Restore) -> None:
        self._state = state
        self.joins = state.consents.follow()
        """Identity merges since the last `follow_joins`."""
        self.arrived: set[str] = set()
        """Merged people of this process's shards: see `of_person`."""
        self.overtaking: set[int] = set()
        """Entries in flight of such people, which may come before older ones."""
        self._joined: set[int] = set()
        """Held entries re-keyed by an identity merge, which the person's consent may admit."""
        self._restore = restore

    def load(self, shards: Collection[int] | None) -> None:
        """Hold the entries that a durable spool has as held, of these shards or of all."""
        state = self._state
        if state.spool.durable:
            for stored in state.spool.held(state.destination.id, shards):
                if stored.entry[0] in state.in_flight:  # held on disk, and in memory in a moment
                    continue
                entry = self._restore.held(stored, state.now())
                if entry is not None:
                    # The consent that refused it is not stored, so it is checked anew.
                    self.hold([entry])

    def restore(self, stored: StoredEntry, now: int) -> None:
        """Hold an entry that another process has added, unless consent admits it."""
        if stored.entry[0] in self._state.held.entries:
            return
        entry = self._restore.held(stored, now)
        if entry is not None:
            self.hold([entry])
            self._release_now(entry)

    def _release_now(self, entry: Entry) -> None:
        entry = self._state.held.entries.get(entry[0], entry)
        if entry[0] in self._state.held.entries and self._admits(entry, {}):
            self.unhold([entry])
            self._state.unwritten = True

    def hold(self, entries: list[Entry], under: Consent | None = None) -> None:
        """Hold entries that consent `under` did not admit; drop those beyond `queueMax`."""
        held = self._state.held
        owned = [self._owned(entry) for entry in entries]
        try:
            evicted = [out for entry in owned for out in held.add(entry, under)]
        except BaseException:  # a signal handler raised
            run_to_the_end(held.mend)
            raise
        # The merge was known before its events came, so that `follow_joins` finds none of them.
        moved = [new[0] for new, entry in zip(owned, entries, strict=True) if new is not entry]
        self._joined.update(moved)
        self._drop(evicted, _TOO_MANY_HELD)

    def release(self, people: set[str] | None) -> None:
        """Queue the held events of these people (None: everybody's) that consent admits now.

        So are those of keys that an identity merge has moved.
        """
        with self._state.lock:
            self.follow_joins()
            joined, self._joined = self._joined, set()
            if people is not None and not joined and not self._state.held.concerns(people):
                return
        self.expire()
        with self._state.unacked.writing, self._state.refill_paused():
            with self._state.lock:
                bases: dict[str, Basis] = {}
                candidates = self._state.held.of(people, joined)
                entries = [entry for entry in candidates if self._admits(entry, bases)]
                self.unhold(entries)
            if entries:
                self._state.unacked.write()
        # A release pauses the reading from disk; a thread that wanted to read has gone to sleep.
        if entries or people is None or self._state.window.more_on_disk:
            self._state.wake()

    def concerns(self, people: set[str] | None) -> bool:
        """Return whether any events of these people, or of keys merged into them, are held.

        Also true for None, everybody, and when many merges are queued: without deliveries only
        `release` works them off.
        """
        if people is None:
            return True
        with self._state.lock:
            if self._joined or len(self.joins) > _MANY_JOINS:
                return True
            return bool(self._state.held.entries) and self._state.held.concerns(
                {*people, *dict(self.joins.copy())}
            )

    def follow_joins(self) -> None:
        """Re-key held and in-flight entries after identity merges.

        Called before entries are taken. An event accepted after a sign-in is in the queue only
        after its merge is in `_joins`, so it waits for the session's events in flight.
        """
        while self.joins:
            key, person = self.joins.popleft()
            self._state.queue.rejoin([key])
            self._joined.update(self._state.held.join(key, person))
            if self._state.spool.durable:
                self._move(person)

    def _move(self, person: str) -> None:
        """Note that a person has got events of others, which may have been in another shard.

        If they are another process's now, that one reads them.
        """
        state = self._state
        if not state.owns(person):
            for entry in state.held.of([person]):
                state.held.remove(entry)
            return
        if state.sharded:
            self.arrived.add(person)
        # One that another process has accepted after the merge may have been taken before the
        # merge was known here.
        canonical = state.consents.canonical
        self.overtaking.update(
            seq for seq, entry in state.in_flight.items() if canonical(entry[1]) == person
        )

    def _owned(self, entry: Entry) -> Entry:
        """Return an entry under the key of the person it belongs to now."""
        person = self._state.consents.canonical(entry[1])
        return entry if person == entry[1] else (entry[0], person, *entry[2:])

    def unhold(self, entries: list[Entry]) -> None:
        """Move held entries to the queue; the spool gets the update with the next write."""
        for entry in entries:
            self._state.held.remove(entry)
        self._state.unacked.add(SpoolUpdate(entry, UpdateKind.RELEASED) for entry in entries)
        self._state.queue_again(entries)

    def overtaken(self, batch: list[Entry], snapshot: ConsentSnapshot) -> list[Entry]:
        """Return held events that consent admits now, and that a batch would overtake."""
        held = self._state.held
        people = {person for person in snapshot.names.values() if held.concerns((person,))}
        bases: dict[str, Basis] = {}
        # Only those older than the batch: newer ones are not overtaken, and may be beyond the
        # window, from where they would be read a second time.
        older = [entry for entry in held.of(people) if entry < max(batch)]
        return [entry for entry in older if self._admits(entry, bases)]

    def _admits(self, entry: Entry, bases: dict[str, Basis]) -> bool:
        """Return whether a held entry may go, as far as the destination's own consent tells."""
        consent = self.consent(entry, bases)
        # Consent that has not changed would be refused by the entry's rule again.
        return self._state.destination.admits(consent) and consent != self._state.held.under(entry)

    def consent(self, entry: Entry, bases: dict[str, Basis]) -> Consent:
        """Return the consent granted for an entry; `bases` caches that of each person."""
        person = entry[1]
        if person not in bases:
            bases[person] = self._state.consents.basis(person)
        return bases[person].of_event(*_own_consent(entry))

    def expire(self) -> None:
        """Drop entries held longer than `queueAge`, and write the updates that are kept."""
        with self._state.lock:
            needed = bool(self._state.unacked.updates or self._expired())
        if needed:
            uninterrupted(self._expire_now)

    def _expired(self) -> list[Entry]:
        return self._state.held.older_than(
            self._state.now.earlier() - self._state.destination.config.queue_age
        )

    def _expire_now(self) -> None:
        with self._state.lock:
            expired = self._expired()
            for entry in expired:
                self._state.held.remove(entry)
            self._drop(expired, _TOO_LONG_HELD)
            unacked = bool(self._state.unacked.updates)
        if unacked:
            self._state.unacked.write()

    def _drop(self, entries: list[Entry], reason: str) -> None:
        """Drop held entries; the spool gets the update with the next write."""
        if not entries:
            return
        self._state.counts.dropped += len(entries)
        for entry in entries:
            self._state.attempts.pop(entry[0], None)
        now, state = self._state.now(), DeliveryState(reason=reason)
        self._state.unacked.add(
            SpoolUpdate(entry, UpdateKind.ACKED, state, now, "dropped") for entry in entries
        )
        self._state.log.warning(
            "destination %s: %s dropped (%s)",
            self._state.destination.id,
            counted(len(entries), "event"),
            reason,
        )


def _own_consent(entry: Entry) -> tuple[Consent, int | None]:
    """Return the consent that an event states itself, and since when nothing else counts."""
    try:
        event = decode(entry[3])
        own, since = event.get("consent"), event.get(CONSENT_AT)
    except (ValueError, AttributeError):  # no JSON, or no object; it cannot be mapped either
        return {}, None
    return own if isinstance(own, dict) else {}, since if isinstance(since, int) else None
