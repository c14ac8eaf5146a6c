"""Reading people from the spool: those of a whole group of events at once."""

from collections.abc import Collection
from typing import Final

from walker_collector.spool import ConsentRecord, KnownKeys, PeopleStore, PeopleUpdate

_NOTHING: Final = KnownKeys(frozenset())


class ReadAhead:
    """Answers for keys that were looked up ahead; asks the spool for any other.

    What was looked up counts until the next write: `forget` it before that. Otherwise it is as old
    as anything in memory, and a write that is based on what has changed since is refused.
    """

    def __init__(self, store: PeopleStore) -> None:
        self._store = store
        self._known = _NOTHING
        self.has_consent = store.has_consent
        self.last_stamp = store.last_stamp

    def look_up(self, keys: Collection[str]) -> None:
        """Read all that is known of these keys."""
        self._known = self._store.known_of(keys) if keys else _NOTHING

    def forget(self) -> None:
        """Forget the keys that were looked up."""
        self._known = _NOTHING

    def learn(self, update: PeopleUpdate) -> None:
        """Write an update about people; see `PeopleStore`."""
        self.forget()
        self._store.learn(update)

    def link(self, key: str) -> tuple[str | None, str | None]:
        """Return the owner of a key, and the last other person to sign in under it."""
        known = self._known
        if key in known.keys:
            return known.owners.get(key), known.signed_in.get(key)
        return self._store.link(key)

    def aliases_of(self, person: str) -> Collection[str]:
        """Return the other keys that belong to a person."""
        known = self._known
        if person in known.keys:
            return known.aliases.get(person, ())
        return self._store.aliases_of(person)

    def consent_of(self, person: str) -> ConsentRecord:
        """Return the statements of a person about consent."""
        known = self._known
        if person in known.keys:
            return known.consents.get(person, {})
        return self._store.consent_of(person)

    def has_claimed_people(self) -> bool:
        """Return whether untrusted callers have named keys together, or stated consent."""
        known = self._known
        return known.any_claimed if known.keys else self._store.has_claimed_people()
