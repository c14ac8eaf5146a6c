"""Consent: the statements of people, and the decision for an event.

walkerOS keeps one consent state, right for a browser tab. A server has many visitors: here
consent belongs to a person, and the default holds for people without statements.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from attrs import frozen

from walker_collector.config import Consent
from walker_collector.errors import EventError
from walker_collector.events import CONSENT_KEYS
from walker_collector.people.gate import granted
from walker_collector.people.merges import KnownPeople
from walker_collector.spool import (
    ConsentRecord,
    DefaultConsent,
    PeopleUpdate,
)

T = TypeVar("T")


@frozen
class Grant:
    """One key of a decision, with its source: the event, the person, or the default."""

    key: str
    granted: bool
    source: str


@frozen
class ConsentSnapshot:
    """The consent of people at one version of the store.

    `bases` has the keys granted for each person's events, `names` the key that each person is
    known by.
    """

    version: int
    bases: dict[str, Consent]
    names: Mapping[str, str]


class ConsentStore(KnownPeople):
    """The statements of people about consent, and the decision for each event; thread-safe."""

    @property
    def default(self) -> dict[str, bool]:
        """The consent that holds if neither event nor person states anything."""
        return dict(self._default.consent)

    def begin(self, *, forked: bool) -> None:
        """Take the default of the spool over, or store the flow's if the flow has changed.

        A forked child has the flow of its parent, which may be an older one: it follows.
        """
        if self._store is not None:
            self._until_current(lambda: self._begin(forked))

    def _begin(self, forked: bool) -> None:
        with self._recording:
            default = None if forked else self._default.from_flow()
            if default is None:
                self._default.reread()
            else:
                self._store_default(default, self._records.store)

    def set_default(
        self, update: Consent, keep: Callable[[PeopleUpdate, Consent], object] | None = None
    ) -> None:
        """Change the default, for all processes of a durable spool.

        `keep` stores it, before anybody else sees it; if it raises, nothing changes. Raises
        EventError for more than `CONSENT_KEYS` keys.
        """
        self._until_current(lambda: self._set_default(update, keep))

    def _set_default(
        self, update: Consent, keep: Callable[[PeopleUpdate, Consent], object] | None
    ) -> None:
        with self._recording:
            default = self._default.changed_to(
                _extended(self._default.consent, update, "the default")
            )
            store = self._records.store if keep is None else partial(_keep_default, keep)
            self._store_default(default, store)

    def _store_default(
        self, default: DefaultConsent, store: Callable[[PeopleUpdate], object]
    ) -> None:
        change = self._based(PeopleUpdate(default=default))
        store(change)
        self._default.show(default)
        self.version += 1
        self._note_shown(change)

    # --- statements ------------------------------------------------------------------------

    def record_consent(
        self,
        update: Consent,
        user: Mapping[str, Any],
        keep: Callable[[PeopleUpdate, str, Consent], object] | None = None,
    ) -> tuple[str, dict[str, bool]]:
        """Record the statement of a person; return their key and all their statements.

        `keep` stores it, given the person and these statements; if it raises, nothing changes.
        Raises ValueError if `user` has no identifier, EventError for a person with more than
        `CONSENT_KEYS` keys.
        """
        return self._until_current(lambda: self._record(update, user, keep))

    def _record(
        self,
        update: Consent,
        user: Mapping[str, Any],
        keep: Callable[[PeopleUpdate, str, Consent], object] | None,
    ) -> tuple[str, dict[str, bool]]:
        with self._recording:
            person, _ = self.identify(user)
            if not person:
                raise ValueError("user needs an id, a device or a session")
            at = self._records.next_stamp()
            new = {key: (bool(value), at) for key, value in update.items()}
            record = _extended(self._records.get(person), new, "the person")
            state = _state(record)
            change = self._based(PeopleUpdate(consents={person: record}))
            if keep is None:
                self._records.store(change)
            else:
                keep(change, person, state)
            self._records.put(person, record)
            self.version += 1
            self._note_shown(change)
        return person, state

    def state(self, person: str) -> dict[str, bool]:
        """Return all statements of a person, as they are now."""
        if self._records.is_empty or not person:
            return {}
        return _state(self._records.get(person))

    # --- decisions -------------------------------------------------------------------------

    def decide(self, own: Mapping[str, Any] | None, person: str) -> Mapping[str, Any]:
        """Return the consent that holds for an event: its own, else the person's, else default."""
        base = self._default.consent if self._records.is_empty else self.base(person)
        return {**base, **own} if own else base

    def base(self, person: str) -> Mapping[str, Any]:
        """Return the consent that holds for a person's events without consent of their own."""
        if self._records.is_empty:
            return self._default.consent
        return {**self._default.consent, **self.state(self.canonical(person))}

    def snapshot(self, people: Iterable[str]) -> ConsentSnapshot:
        """Return the consent granted for each of these people's events (see `base`)."""
        version = self.version  # read first: a statement made since then outdates the snapshot
        names = {person: self.canonical(person) for person in people}
        if self._records.is_empty:
            return ConsentSnapshot(
                version, dict.fromkeys(names, granted(self._default.consent)), names
            )
        return ConsentSnapshot(
            version, {person: granted(self.base(person)) for person in names}, names
        )

    def explain(self, own: Mapping[str, Any], person: str) -> list[Grant]:
        """Return each key of the decision with its source."""
        stated = self.state(self.canonical(person))
        return [
            Grant(key, bool(value), source(key, own, stated))
            for key, value in self.decide(own, person).items()
        ]


def _extended(before: Mapping[str, T], update: Mapping[str, T], whose: str) -> dict[str, T]:
    """Return consent with an update; raises EventError for more than `CONSENT_KEYS` keys."""
    after = {**before, **update}
    # What is known can be withdrawn in any case.
    if len(after) > max(CONSENT_KEYS, len(before)):
        raise EventError(
            f"consent: {whose} would have {len(after):,} keys with this; "
            f"the limit is {CONSENT_KEYS}"
        )
    return after


def _keep_default(keep: Callable[[PeopleUpdate, Consent], object], change: PeopleUpdate) -> None:
    assert change.default is not None
    keep(change, change.default.current)


def _state(record: ConsentRecord) -> dict[str, bool]:
    """Return the consent that statements amount to."""
    return {key: value for key, (value, _) in record.items()}


def source(key: str, own: Mapping[str, Any], stated: Mapping[str, Any]) -> str:
    """Return which of the three decided a consent key: "event", "person" or "default"."""
    if key in own:
        return "event"
    return "person" if key in stated else "default"
